"""What the arm `model` brought beside another arm."""

from __future__ import annotations

from typing import NamedTuple


class Lift(NamedTuple):
    """One figure of the arm `model` beside the same of another arm, with 95 % intervals.

    Args:
        difference: model's value less the other's.
        lift: the difference as a share of the other's value; None: that value is 0.
        p_value: how often chance alone would make a difference at least as large, if there were
            none; None: not tested.
    """

    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    lift: float | None = None
    lift_low: float | None = None
    lift_high: float | None = None
    p_value: float | None = None
