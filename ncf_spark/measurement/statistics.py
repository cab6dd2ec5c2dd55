"""Rates of two arms beside each other, and arms beside their shares; statsmodels and SciPy.

Both come with the extra `measure`, and are imported when they are needed: a night needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from ncf_spark.errors import ConfigError
from ncf_spark.measurement.lift import Lift


def check_installed() -> None:
    """Raises ConfigError when a library of the extra `measure` is not installed."""
    missing = [name for name in ("statsmodels", "scipy") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)}: not installed, but campaigns are measured with it. Install "
            "this package with its extra measure (pip install 'ncf-spark[measure]')."
        )


def rate_lift(num_with: int, num_users: int, base_with: int, base_users: int) -> Lift:
    """How a rate differs from the rate of another arm.

    The p-value is of the pooled two-proportion z-test, two-sided; None where nobody or everybody of
    both arms has the outcome. The interval of the difference is Newcombe's (1998, "Interval
    estimation for the difference between independent proportions", method 10), that of the lift
    the log interval of the ratio of the rates with half a user added: both also hold for rates
    of 0 and 1, which the inverted score test of statsmodels does not. Close to p = 0.05 test and
    interval may disagree by a hair.

    Args:
        num_with: users with the outcome, of `num_users`, at least 1.
        base_with: the same of the arm that is compared with, of `base_users`, at least 1.
    """
    from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

    counts = (num_with, num_users, base_with, base_users)
    rate, base = num_with / num_users, base_with / base_users
    low, high = confint_proportions_2indep(*counts, compare="diff", method="newcomb")
    found = Lift(rate - base, float(low), float(high))
    if 0 < num_with + base_with < num_users + base_users:
        _, p_value = proportions_ztest([num_with, base_with], [num_users, base_users])
        found = found._replace(p_value=float(p_value))
    if not base_with:
        return found
    low, high = confint_proportions_2indep(*counts, compare="ratio", method="log-adjusted")
    lift = rate / base - 1
    # The added half leaves out a ratio of 0 itself.
    return found._replace(lift=lift, lift_low=min(float(low) - 1, lift), lift_high=float(high) - 1)


def sample_ratio_p(sizes: Mapping[str, int], shares: Mapping[str, float]) -> float | None:
    """The p-value of the arms' sizes under their shares, by the chi-square test; None: one arm.

    0 where an arm without a share has users.

    Args:
        sizes: users of each arm.
        shares: of each arm; they sum to 1.
    """
    from scipy.stats import chisquare

    total, meant = sum(sizes.values()), [arm for arm, share in shares.items() if share > 0]
    if set(sizes) - set(meant):
        return 0.0
    if len(meant) < 2 or not total:
        return None
    observed = [sizes.get(arm, 0) for arm in meant]
    return float(chisquare(observed, [shares[arm] * total for arm in meant]).pvalue)
