"""Builds the results of a campaign from the counts of each arm: rows, and text for a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ncf_spark.measurement.outcomes import ARMS
from ncf_spark.measurement.revenue import revenue_lift
from ncf_spark.measurement.statistics import Lift, rate_lift

REVENUE = "revenue"

# Below this p-value the arms' sizes are a mismatch (Fabijan et al. 2019, "Diagnosing sample ratio
# mismatch in online controlled experiments").
MISMATCH_P_VALUE = 0.001


@dataclass(frozen=True)
class Row:
    """One outcome of one arm, and how the arm `model` differs; an empty lift for `model` itself."""

    arm: str
    outcome: str
    num_users: int
    num_with: int
    value: float
    lift: Lift

    @property
    def cells(self) -> dict[str, Any]:
        """The columns of schemas.CAMPAIGN_RESULTS except the campaign and the night."""
        own = {name: value for name, value in vars(self).items() if name != "lift"}
        return own | self.lift._asdict()


def result_rows(
    counts: Iterable[tuple[str, str, int, int]], revenue: Mapping[str, np.ndarray]
) -> list[Row]:
    """Each outcome of each arm, the outcomes in the order of `counts`, `model` first in each.

    Args:
        counts: (arm, outcome, num_users, num_with), of arms with users.
        revenue: (1 + B,) of each arm, of `revenue.revenue_means`; read if there are counts of it.
    """
    by_outcome: dict[str, dict[str, tuple[int, int]]] = {}
    for arm, outcome, num_users, num_with in counts:
        by_outcome.setdefault(outcome, {})[arm] = (num_with, num_users)
    return [
        row for outcome, found in by_outcome.items() for row in _rows_of(outcome, found, revenue)
    ]


def _rows_of(
    outcome: str, found: Mapping[str, tuple[int, int]], revenue: Mapping[str, np.ndarray]
) -> Iterator[Row]:
    own = ARMS[0]
    for arm in (arm for arm in ARMS if arm in found):
        num_with, num_users = found[arm]
        value, lift = num_with / num_users, Lift()
        if outcome == REVENUE:
            value = float(revenue[arm][0])
        if arm != own and own in found:
            lift = (
                revenue_lift(revenue[own], revenue[arm])
                if outcome == REVENUE
                else rate_lift(*found[own], *found[arm])
            )
        yield Row(arm, outcome, num_users, num_with, value, lift)


def sample_ratio_sentence(
    sizes: Mapping[str, int], shares: Mapping[str, float], p_value: float | None
) -> str:
    """A sentence that says whether the arms' sizes match their shares.

    Args:
        sizes: users of each arm.
        shares: of each arm, at the time of the export.
        p_value: of `statistics.sample_ratio_p`.
    """
    if p_value is None:
        return "There is only one arm: set campaign.arms to compare it with others."
    total = sum(sizes.values())
    found = ", ".join(
        f"{arm} {sizes.get(arm, 0):,} ({share * total:,.0f} expected)"
        for arm, share in shares.items()
        if share > 0 or arm in sizes
    )
    if p_value >= MISMATCH_P_VALUE:
        return f"The sizes of the arms match their shares: {found}; p = {p_value:.3f}."
    return (
        f"SAMPLE RATIO MISMATCH: the sizes of the arms do not match their shares: {found}; "
        f"p = {p_value:.1g}. Something other than chance decided who is in which arm, so do not "
        "trust the results: look for users who were left out of one arm only, or assigned twice."
    )


_HEAD = (
    *("outcome", "arm", "users", "with it", "value"),
    *("difference", "95 % interval", "lift", "95 % interval", "p"),
)
_TEXTS = 2  # columns of text, which come first


def table_text(rows: Sequence[Row]) -> str:
    """The results as a table of text, for a person."""
    lines = [_HEAD, *[_cells(row) for row in rows]]
    widths = [max(len(line[n]) for line in lines) for n in range(len(_HEAD))]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(width) if n < _TEXTS else cell.rjust(width)
        for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    lift, is_money = row.lift, row.outcome == REVENUE
    value = f"{row.value:,.3f}" if is_money else f"{row.value:.2%}"
    factor = 1 if is_money else 100
    difference = _figure(lift.difference, factor, "" if is_money else " points")
    return (
        *(row.outcome, row.arm, f"{row.num_users:,}", f"{row.num_with:,}", value),
        *(difference, _interval(lift.difference_low, lift.difference_high, factor)),
        *(_figure(lift.lift, 100, " %"), _interval(lift.lift_low, lift.lift_high, 100)),
        "" if lift.p_value is None else _p_text(lift.p_value),
    )


def _figure(value: float | None, factor: int, unit: str) -> str:
    return "" if value is None else f"{value * factor:+,.2f}{unit}"


def _interval(low: float | None, high: float | None, factor: int) -> str:
    if low is None or high is None:
        return ""
    return f"{_figure(low, factor, '')} to {_figure(high, factor, '')}"


def _p_text(p_value: float) -> str:
    return f"{p_value:.3f}" if p_value >= MISMATCH_P_VALUE else "< 0.001"
