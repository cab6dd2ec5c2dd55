"""The pictures of the report, as SVG that fits a phone: 288 px wide, text of 16 px.

No colour stands alone: each kind of mark has a shape of its own as well.
"""

from __future__ import annotations

import io
import textwrap
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ncf_spark.evaluation.page.comparison import Estimate, decimals
from ncf_spark.evaluation.page.svg import inline_svg, printable

WIDTH = 288  # px: a phone of 320 px less the page's margins
_TEXT = 16  # px
_LINE = 21  # px from one line of text to the next
_INK, _MUTED, _GRID, _PAPER = "#1a1a1a", "#565656", "#d4d4d4", "#ffffff"
_OWN, _RIVAL = "#0b57a4", "#a84300"
# The page's variable for each colour.
_COLOURS = {_INK: "ink", _MUTED: "muted", _GRID: "grid", _PAPER: "paper", _OWN: "own"} | {
    _RIVAL: "rival"
}
# Colour, marker and face of each kind of mark.
_MARKS = {
    "own": (_OWN, "o", _OWN),
    "rival": (_RIVAL, "D", _PAPER),
    "other": (_MUTED, "s", _PAPER),
}
_SHORT = FuncFormatter(lambda value, _: f"{value:.4g}")
_PERCENT = FuncFormatter(lambda share, _: f"{100 * share:.3g}\u00a0%")
_STYLE = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": _TEXT,
    "text.parse_math": False,  # a name may hold dollars
    "text.color": _INK,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "axes.edgecolor": _MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


@dataclass(frozen=True)
class Row:
    """A line of a chart of dots: a name, and one or two figures with their kind of mark."""

    name: str
    marks: Sequence[tuple[str, Estimate]]


@dataclass(frozen=True)
class Curve:
    """Values by epoch, None where there is none, with what is marked on the axis."""

    title: str
    values: Sequence[float | None]
    top: float | None = None  # of the axis; None: the greatest value


def draw_dots(rows: Sequence[Row], *, label: str) -> str:
    """Name above, dot and interval below, on one axis from 0; a single figure is written out.

    Args:
        rows: from top to bottom; figures without a value are not drawn.
        label: what the picture tells.
    """
    names = [_lines(row.name, 20 if len(row.marks) == 1 else 27) for row in rows]
    lanes = [15 * len(row.marks) + 4 for row in rows]
    heights = [_LINE * len(name) + lane + 6 for name, lane in zip(names, lanes, strict=True)]
    with _canvas(sum(heights) + 34) as canvas:
        axes = _axes(canvas, left=8, top=4, width=WIDTH - 28, height=sum(heights))
        axes.set_xlim(0, _top([end for row in rows for end in _ends(row)]))
        axes.set_ylim(sum(heights), 0)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(_SHORT)
        top = 0
        for row, name, height, lane in zip(rows, names, heights, lanes, strict=True):
            _draw_row(axes, row, name, top, lane)
            top += height
        return _svg(canvas, label)


def _draw_row(axes: Axes, row: Row, name: Sequence[str], top: int, lane: int) -> None:
    weight = "bold" if row.marks[0][0] == "own" and len(row.marks) == 1 else "normal"
    left = axes.get_yaxis_transform()
    for number, line in enumerate(name):
        axes.text(0, top + _LINE * (number + 0.75), line, transform=left, weight=weight)
    begin = top + _LINE * len(name)
    ticks = [tick for tick in axes.get_xticks() if tick <= axes.get_xlim()[1]]
    axes.vlines(ticks, begin, begin + lane, color=_GRID, linewidth=1, zorder=1)
    for number, (kind, figure) in enumerate(row.marks):
        if figure.value is None:
            continue
        height = begin + 10 + 15 * number
        colour, marker, face = _MARKS[kind]
        if figure.low is not None and figure.high is not None:
            ends = (figure.low, figure.high)
            axes.hlines(height, *ends, color=colour, linewidth=2, zorder=2)
            axes.vlines(ends, height - 6, height + 6, color=colour, linewidth=1.5, zorder=2)
        axes.plot(figure.value, height, marker, ms=6, mew=1.5, mec=colour, mfc=face, zorder=3)
    if len(row.marks) == 1:
        value = decimals(row.marks[0][1].value)
        axes.text(1, top + _LINE * 0.75, value, transform=left, ha="right", weight=weight)


def _ends(row: Row) -> Iterator[float]:
    for _, figure in row.marks:
        yield from (end for end in (figure.value, figure.high) if end is not None)


def draw_curves(
    curves: Sequence[Curve],
    epochs: Sequence[int],
    *,
    chosen: int | None,
    ends: Sequence[float],
    label: str,
) -> str:
    """One panel below the other over the same epochs.

    Args:
        curves: each with a value for each of `epochs`.
        epochs: ascending.
        chosen: the epoch that is marked by a dashed line and a star.
        ends: where a phase ends, marked by dotted lines.
        label: what the picture tells.
    """
    height, distance = 100, 162
    with _canvas(distance * len(curves)) as canvas:
        for number, curve in enumerate(curves):
            top = number * distance + 30
            canvas.text(0, 1 - (top - 11) / _height(canvas), f"{curve.title} by epoch")
            axes = _axes(canvas, left=66, top=top, width=WIDTH - 82, height=height)
            axes.set_xlim(epochs[0] - 0.5, max(epochs[-1], epochs[0] + 1) + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            greatest = _top([value for value in (curve.top, *curve.values) if value])
            _set_heights(axes, greatest, MaxNLocator(3), _SHORT)
            _draw_curve(axes, curve, epochs, chosen, ends)
        return _svg(canvas, label)


def _draw_curve(
    axes: Axes, curve: Curve, epochs: Sequence[int], chosen: int | None, ends: Sequence[float]
) -> None:
    for end in ends:
        axes.axvline(end, color=_MUTED, linestyle=":", linewidth=2)
    points = [(e, v) for e, v in zip(epochs, curve.values, strict=True) if v is not None]
    for begin, end in zip([-1.0, *ends], [*ends, epochs[-1] + 1.0], strict=True):
        phase = [point for point in points if begin < point[0] < end]
        axes.plot(*zip(*phase, strict=True), "-o", color=_OWN, ms=4) if phase else None
    if chosen is not None:
        axes.axvline(chosen, color=_INK, linestyle="--", linewidth=1.5)
        for epoch, value in points:
            if epoch == chosen:
                axes.plot(epoch, value, "*", ms=15, mec=_INK, mfc=_PAPER, mew=1.5, zorder=3)


def draw_shares(
    recommended: Sequence[float | None],
    items: Sequence[float | None],
    interactions: Sequence[float | None],
    *,
    top: float,
    label: str,
) -> str:
    """Shares by decile: bars of what is recommended, lines and diamonds to compare them with.

    Args:
        recommended: ten shares; None: not drawn.
        items, interactions: the same of the catalogue and of the interactions.
        top: of the axis.
        label: what the picture tells.
    """
    deciles = range(1, 11)
    with _canvas(200) as canvas:
        axes = _axes(canvas, left=56, top=12, width=WIDTH - 64, height=158)
        axes.set_xlim(0.4, 10.6)
        axes.set_xticks(list(deciles))
        _set_heights(axes, top * 1.05, MaxNLocator(4), _PERCENT)
        axes.bar(deciles, [share or 0 for share in recommended], color=_OWN, width=0.7)
        for decile, share in zip(deciles, items, strict=True):
            if share is not None:
                axes.hlines(share, decile - 0.45, decile + 0.45, color=_INK, linewidth=3, zorder=3)
        for decile, share in zip(deciles, interactions, strict=True):
            if share is not None:
                axes.plot(decile, share, "D", ms=7, mec=_RIVAL, mfc=_PAPER, mew=2, zorder=4)
        return _svg(canvas, label)


@contextmanager
def _canvas(height: float) -> Iterator[Canvas]:
    """An empty picture, whatever matplotlib settings the machine has."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield Canvas(figsize=(WIDTH / 72, height / 72), facecolor="none")


def _height(canvas: Canvas) -> float:
    return float(canvas.get_figheight() * 72)


def _axes(canvas: Canvas, *, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in px from the upper left corner."""
    total = _height(canvas)
    box = (left / WIDTH, 1 - (top + height) / total, width / WIDTH, height / total)
    axes = canvas.add_axes(box, facecolor="none")
    axes.spines[["top", "left", "right"]].set_visible(False)
    return axes


def _set_heights(
    axes: Axes, greatest: float, locator: MaxNLocator, formatter: FuncFormatter
) -> None:
    """The vertical axis from 0, with lines behind the marks."""
    axes.set_ylim(0, greatest)
    axes.yaxis.set_major_locator(locator)
    axes.yaxis.set_major_formatter(formatter)
    axes.grid(axis="y", color=_GRID)
    axes.set_axisbelow(True)


def _svg(canvas: Canvas, label: str) -> str:
    text = io.StringIO()
    with warnings.catch_warnings():
        # Names in scripts that matplotlib's font lacks: the browser has a font for them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        canvas.savefig(text, format="svg")
    return inline_svg(text.getvalue(), label=label, colours=_COLOURS)


def _top(values: Sequence[float]) -> float:
    return max(values, default=0.0) * 1.05 or 1.0


def _lines(name: str, width: int) -> list[str]:
    """At most two lines; what is longer ends in an ellipsis."""
    if any(unicodedata.east_asian_width(letter) in "FW" for letter in name):
        width //= 2
    lines = textwrap.wrap(" ".join(printable(name).split()), width) or ["–"]
    return lines if len(lines) < 3 else [lines[0], f"{lines[1][: width - 1]}…"]
