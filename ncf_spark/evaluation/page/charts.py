"""The three charts of the report, as data URIs of SVG: the same data gives the same bytes.

Colours are never the only difference: each kind of mark has its own shape.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ncf_spark.evaluation.page.figures import Estimate, finite, measure
from ncf_spark.evaluation.page.tables import measures_of

_INK, _MUTED, _OWN, _OTHER = "#1a1a1a", "#565656", "#0b57a4", "#a84300"
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ncf_spark",
    "font.family": ["DejaVu Sans"],
    "font.size": 11,
    "text.parse_math": False,  # a name may hold dollars
    "text.color": _INK,
    "xtick.labelcolor": _MUTED,
    "axes.edgecolor": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
}
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Chart(NamedTuple):
    """A picture with what it tells those who do not see it."""

    title: str
    uri: str
    text: str


def printable(text: str) -> str:
    """The text without what neither XML nor a page can hold."""
    return _NOT_XML.sub("\ufffd", text)


def draw_models(models: Mapping[str, Estimate], own: str, other: str | None) -> str:
    """A dot and its 95 % interval for each model, from top to bottom.

    Args:
        models: those without a value have a line without a dot.
        own, other: the night's own model and the one that it is compared with.
    """
    with _axes(0.7 + 0.34 * len(models)) as ([axes], save):
        for height, (model, figure) in enumerate(models.items()):
            if figure.value is None:
                continue
            colour, marker = {own: (_OWN, "o"), other: (_OTHER, "D")}.get(model, (_MUTED, "s"))
            if figure.low is not None and figure.high is not None:
                ends = (figure.low, figure.high)
                axes.plot(ends, (height, height), "-|", color=colour, linewidth=2, markersize=8)
            axes.plot(figure.value, height, marker, color=colour, markersize=7)
        axes.set_yticks(range(len(models)), [_short(model) for model in models])
        axes.set_ylim(len(models) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.grid(axis="x", color="#d4d4d4")
        return save()


def draw_shares(deciles: Mapping[int, Mapping[str, Any]]) -> str:
    """Shares by decile: bars of what is recommended, with the catalogue's and the interactions'.

    Args:
        deciles: rows of one model, with share_of_recommendations, share_of_items and
            share_of_interactions.
    """
    marks: dict[str, tuple[str, dict[str, Any]]] = {
        "share_of_items": ("catalogue", {"marker": "_", "color": _INK, "ms": 18, "mew": 3}),
        "share_of_interactions": ("interactions", {"marker": "D", "color": _OTHER}),
    }
    with _axes(2.6) as ([axes], save):
        shown = {d: finite(row.get("share_of_recommendations")) for d, row in deciles.items()}
        axes.bar(list(shown), [s or 0 for s in shown.values()], color=_OWN, label="recommendations")
        for name, (label, style) in marks.items():
            found = {d: s for d, row in deciles.items() if (s := finite(row.get(name))) is not None}
            axes.plot(list(found), list(found.values()), linestyle="", label=label, **style)
        axes.set_xticks(range(1, 11))
        axes.set_xlabel("decile of popularity")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.grid(axis="y", color="#d4d4d4")
        axes.legend(frameon=False, fontsize=10)
        return save()


def draw_training(history: Sequence[Mapping[str, Any]], chosen: int | None) -> str:
    """Loss, and NDCG or the metric next to it, by epoch; a gap where a phase ends.

    Args:
        history: a record for each epoch, in order.
        chosen: position of the chosen record, which a dashed line marks.
    """
    keys = {"loss": "Loss"}
    if found := measures_of(history):
        metric, k = min(found, key=lambda m: (m[0] != "ndcg", m[0] != "hr", abs(m[1] - 10), m))
        keys[f"{metric}@{k}"] = measure(metric, k)
    phases = list(dict.fromkeys(record.get("phase") for record in history))
    with _axes(1.9 * len(keys), len(keys)) as (panels, save):
        for axes, (key, name) in zip(panels, keys.items(), strict=True):
            for phase in phases:
                points = [
                    (number, value)
                    for number, record in enumerate(history, 1)
                    if record.get("phase") == phase
                    and (value := finite(record.get(key))) is not None
                ]
                axes.plot(*zip(*points, strict=True), "-o", color=_OWN, ms=4) if points else None
            if chosen is not None:
                axes.axvline(chosen + 1, color=_INK, linestyle="--")
            axes.set_ylim(bottom=0)
            axes.set_ylabel(name)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axes.grid(axis="y", color="#d4d4d4")
        panels[-1].set_xlabel("epoch")
        return save()


@contextmanager
def _axes(height: float, panels: int = 1) -> Iterator[tuple[list[Axes], Any]]:
    """Empty axes and what saves them; matplotlib settings of the machine have no effect."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(5.5, height), layout="constrained")
        axes = figure.subplots(panels, sharex=True, squeeze=False)[:, 0]

        def save() -> str:
            svg = io.BytesIO()
            with warnings.catch_warnings():
                # Names in scripts that matplotlib's font lacks: the browser has a font for them.
                warnings.filterwarnings("ignore", message="Glyph .* missing from")
                figure.savefig(svg, format="svg", metadata={"Date": None})
            return f"data:image/svg+xml;base64,{base64.b64encode(svg.getvalue()).decode()}"

        yield list(axes), save


def _short(name: str) -> str:
    return printable(name if len(name) <= 24 else f"{name[:23]}…").replace("\n", " ")
