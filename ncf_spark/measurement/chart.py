"""Draws the lifts of a campaign: a dot with its interval for each outcome and arm."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ncf_spark.measurement.results import Row

_INK, _MUTED, _GRID = "#1a1a1a", "#565656", "#d4d4d4"
# Each arm has its own shape too: colours alone are not enough for everyone.
_MARKS = {"popular": ("#a84300", "D"), "holdout": ("#0b57a4", "o")}
_LINE_HEIGHT = 0.42  # inches
_PERCENT = FuncFormatter(lambda lift, _: f"{100 * lift:+.4g} %" if abs(lift) > 1e-9 else "0 %")
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ncf_spark",  # the same rows give the same file
    "font.family": ["DejaVu Sans"],
    "font.size": 11,
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.labelcolor": _MUTED,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _MUTED,
}


class _Dot(NamedTuple):
    name: str
    arm: str
    lift: float
    low: float
    high: float


def draw_lifts(rows: Sequence[Row], *, title: str) -> str:
    """An SVG file: the relative lift of `model` over each other arm, with 95 % intervals.

    Rows without a lift or its interval are left out; if no row is left, the chart says so.

    Args:
        rows: from top to bottom.
    """
    dots = [dot for row in rows if (dot := _dot(row)) is not None]
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(7.2, 1.3 + _LINE_HEIGHT * max(len(dots), 1)), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontsize=12)
        if dots:
            _draw(axes, dots)
        else:
            axes.axis("off")
            axes.text(0, 0.5, "No lift: the other arms have no outcomes.")
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Title": title})
        return text.getvalue()


def _dot(row: Row) -> _Dot | None:
    lift, low, high = row.lift.lift, row.lift.lift_low, row.lift.lift_high
    if lift is None or low is None or high is None:
        return None
    return _Dot(f"{row.outcome}, over {row.arm}", row.arm, lift, low, high)


def _draw(axes: Axes, dots: Sequence[_Dot]) -> None:
    axes.axvline(0, color=_INK, linewidth=1)
    for height, dot in enumerate(dots):
        colour, marker = _MARKS[dot.arm]
        ends = (dot.low, dot.high)
        axes.plot(ends, (height, height), "-|", color=colour, linewidth=2, markersize=9)
        axes.plot(dot.lift, height, marker, color=colour, markersize=7)
    axes.set_yticks(range(len(dots)), [dot.name for dot in dots])
    axes.set_ylim(len(dots) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(_PERCENT)
    axes.set_xlabel("lift of the arm model, with 95 % intervals")
    axes.grid(axis="x", color=_GRID)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "left", "right"]].set_visible(False)
