"""Compares the rates of two arms, and the sizes of the arms with their shares.

statsmodels and SciPy come with the extra `measure`, and are imported when they are needed: a night
needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import NamedTuple

from ncf_spark.errors import ConfigError


class Lift(NamedTuple):
    """How a value of the arm `model` differs from another arm's, with 95 % intervals.

    Args:
        difference: value of `model` minus value of the other arm.
        lift: the difference divided by the other arm's value; None: that value is 0.
        p_value: the probability of a difference at least as large by chance alone, if there is no
            true difference; None: not tested.
    """

    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    lift: float | None = None
    lift_low: float | None = None
    lift_high: float | None = None
    p_value: float | None = None


def check_installed() -> None:
    """Raises ConfigError when a library of the extra `measure` is not installed."""
    missing = [name for name in ("statsmodels", "scipy") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)}: not installed, but needed to measure a campaign. Install "
            "this package with its extra measure (pip install 'ncf-spark[measure]')."
        )


def rate_lift(num_with: int, num_users: int, base_with: int, base_users: int) -> Lift:
    """How a rate differs from the rate of another arm.

    The p-value is that of the pooled two-proportion z-test, two-sided; None where all users of both
    arms have the outcome, or none. The interval of the difference is Newcombe's (1998, "Interval
    estimation for the difference between independent proportions", method 10); the interval of the
    lift is the log interval of the ratio of the rates with half a user added. Both are valid for
    rates of 0 and 1 too, which the inverted score test of statsmodels is not. Close to p = 0.05 the
    test and the interval may disagree slightly.

    Args:
        num_with: users with the outcome, of `num_users`, at least 1.
        base_with: the same of the other arm, of `base_users`, at least 1.
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
    # With the added half, the interval of a ratio of 0 does not contain 0.
    return found._replace(lift=lift, lift_low=min(float(low) - 1, lift), lift_high=float(high) - 1)


def sample_ratio_p(sizes: Mapping[str, int], shares: Mapping[str, float]) -> float | None:
    """The p-value of the arms' sizes given their shares, by the chi-square test.

    None where there is one arm only; 0 where an arm without a share has users.

    Args:
        sizes: users of each arm.
        shares: of each arm; they sum to 1.
    """
    from scipy.stats import chisquare

    total, planned = sum(sizes.values()), [arm for arm, share in shares.items() if share > 0]
    if set(sizes) - set(planned):
        return 0.0
    if len(planned) < 2 or not total:
        return None
    observed = [sizes.get(arm, 0) for arm in planned]
    return float(chisquare(observed, [shares[arm] * total for arm in planned]).pvalue)
