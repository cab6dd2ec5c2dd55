"""The pictures of the report, each with its message; none where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from ncf_spark.evaluation.page import charts
from ncf_spark.evaluation.page.comparison import Estimate, Estimates, decimals, finite, measure
from ncf_spark.evaluation.page.tables import measures_of, percent, segment_name, segment_pair

_MOST_SEGMENTS = 16  # in one picture; the table has them all

History = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Picture:
    """An element for the page with what stands above and below it."""

    title: str
    svg: Markup
    message: str  # what the picture tells; read out in its place
    note: str = ""  # what its marks mean here


def _picture(title: str, svg: str, message: str, note: str = "") -> Picture:
    return Picture(title, Markup(svg), message, note)


def model_pictures(figures: Estimates, protocol: str, own: str, rival: str | None) -> list[Picture]:
    """NDCG and HR of all models at the main k, in the order of the table."""
    k = figures.main_k
    pictures = []
    kinds = {own: "own"} | ({rival: "rival"} if rival else {})
    for metric in figures.metrics(protocol, ("ndcg", "hr")):
        found = [
            (model, figures.get(model, protocol, metric, k)) for model in figures.models(protocol)
        ]
        drawn = [(model, figure) for model, figure in found if figure.value is not None]
        if not drawn:
            continue
        rows = [charts.Row(m, [(kinds.get(m, "other"), figure)]) for m, figure in drawn]
        title = f"{measure(metric, k)} under {protocol}"
        best = max(drawn, key=lambda pair: pair[1].value or 0.0)
        worst = min(drawn, key=lambda pair: pair[1].value or 0.0)
        message = f"{title}: highest is {best[0]} with {decimals(best[1].value)}"
        if len(drawn) > 1:
            message += f", lowest is {worst[0]} with {decimals(worst[1].value)}"
        left_out = [model for model, figure in found if figure.value is None]
        note = f"Not drawn, for want of a value: {', '.join(left_out)}." if left_out else ""
        pictures.append(
            _picture(title, charts.draw_dots(rows, label=f"{message}."), f"{message}.", note)
        )
    return pictures


def segment_picture(
    figures: Estimates,
    protocol: str,
    kind: str,
    segments: Sequence[str],
    own: str,
    rival: str | None,
) -> Picture | None:
    """The own model and the best baseline in each segment; None without a value.

    Args:
        figures, protocol: those to draw from.
        kind: users, categories or other.
        segments: in order; of many, those at both ends are drawn.
        own, rival: the night's own model and the best baseline.
    """
    metric = figures.main_metric
    pairs = {s: segment_pair(figures, protocol, metric, s, own, rival) for s in segments}
    drawn = [s for s in segments if any(figure.value is not None for figure in pairs[s])]
    if not drawn:
        return None
    half = _MOST_SEGMENTS // 2
    shown = drawn if len(drawn) <= _MOST_SEGMENTS else drawn[:half] + drawn[-half:]
    marks = ("own", "rival") if rival else ("own",)
    rows = [charts.Row(segment_name(s), list(zip(marks, pairs[s], strict=False))) for s in shown]
    title = f"{measure(metric, figures.main_k)} by {kind} under {protocol}"
    message = f"{title}: {_lead(list(pairs.values()), own, rival)}"
    note = f"Drawn are the first and the last {half} of the {len(drawn)} segments of the table."
    svg = charts.draw_dots(rows, label=message)
    return _picture(title, svg, message, note if len(shown) < len(drawn) else "")


def _lead(pairs: Sequence[tuple[Estimate, Estimate]], own: str, rival: str | None) -> str:
    """How often the own model is ahead."""
    both = [(mine.value, other.value) for mine, other in pairs]
    differences = [a - b for a, b in both if a is not None and b is not None]
    if not rival:
        return f"{own} in {len(pairs)} segments."
    ahead = sum(difference > 0 for difference in differences)
    return f"{own} is ahead of {rival} in {ahead} of {len(differences)} segments."


def share_picture(
    model: str, shares: Mapping[str, Mapping[int, Mapping[str, Any]]]
) -> Picture | None:
    """What the model recommends by decile; None without a share.

    Args:
        model: the one to draw.
        shares: rows by decile of all models, which share one axis.
    """
    names = ("share_of_recommendations", "share_of_items", "share_of_interactions")
    own = [[finite(shares[model].get(d, {}).get(name)) for d in range(1, 11)] for name in names]
    if all(share is None for share in own[0]):
        return None
    every = [
        finite(row.get(name)) for rows in shares.values() for row in rows.values() for name in names
    ]
    top = max((share for share in every if share is not None), default=0.0) or 1.0
    recommended, items, interactions = own
    end = max(decile for decile in range(1, 11) if shares[model].get(decile))
    message = (
        f"Of what {model} recommends, {percent(recommended[end - 1]) or 'an unknown share'} is "
        f"from decile {end}, the most popular items"
    )
    if items[end - 1] is not None and interactions[end - 1] is not None:
        message += (
            f", which are {percent(items[end - 1])} of the catalogue and have "
            f"{percent(interactions[end - 1])} of the interactions"
        )
    svg = charts.draw_shares(recommended, items, interactions, top=top, label=f"{message}.")
    return _picture(model, svg, f"{message}.")


def training_picture(
    model: str, history: History, chosen: int | None, top: float | None
) -> Picture | None:
    """Loss and NDCG by epoch; None without either.

    Args:
        model: its name.
        history: a record for each epoch, in order.
        chosen: position of the chosen record.
        top: of the axis of NDCG, the same for all models.
    """
    curves = _curves(history, top)
    if not curves:
        return None
    epochs = _epochs(history)
    ends = [number for number in range(len(history) - 1) if _phase_ends(history, number)]
    message = " ".join(
        [f"{model}, epochs: {len(history):,}.", *(_course(c, epochs) for c in curves)]
    )
    note = _training_note(history, epochs, chosen, ends)
    svg = charts.draw_curves(
        curves,
        epochs,
        chosen=None if chosen is None else epochs[chosen],
        ends=[epochs[number] + 0.5 for number in ends],
        label=f"{message} {note}",
    )
    return _picture(model, svg, message, note)


def _curves(history: History, top: float | None) -> list[charts.Curve]:
    """Those of loss and NDCG that have a value."""
    metric = _curve_metric(history)
    curves = [charts.Curve("Loss", [finite(record.get("loss")) for record in history])]
    if metric:
        values = [finite(record.get(metric[1])) for record in history]
        curves.append(charts.Curve(metric[0], values, top))
    return [curve for curve in curves if any(value is not None for value in curve.values)]


def greatest_metric(histories: Iterable[History]) -> float | None:
    """The greatest value that any of the curves reaches."""
    values = [
        value
        for history in histories
        if (metric := _curve_metric(history))
        for record in history
        if (value := finite(record.get(metric[1]))) is not None
    ]
    return max(values, default=None)


def _curve_metric(history: History) -> tuple[str, str] | None:
    """(NDCG@10, ndcg@10): NDCG if there is one, and the cut-off nearest to 10."""
    found = measures_of(history)
    if not found:
        return None
    metric, k = min(found, key=lambda m: (m[0] != "ndcg", m[0] != "hr", abs(m[1] - 10), m))
    return measure(metric, k), f"{metric}@{k}"


def _epochs(history: History) -> list[int]:
    """The epochs' numbers; counted through where they begin again."""
    epochs = [int(record["epoch"]) for record in history]
    rising = all(before < after for before, after in pairwise(epochs))
    return epochs if rising else list(range(1, len(epochs) + 1))


def _phase_ends(history: History, number: int) -> bool:
    now, after = history[number].get("phase"), history[number + 1].get("phase")
    return now is not None and after is not None and now != after


def _course(curve: charts.Curve, epochs: Sequence[int]) -> str:
    points = [(v, e) for v, e in zip(curve.values, epochs, strict=True) if v is not None]
    if curve.title == "Loss":
        return f"Loss {decimals(points[0][0])} at first, {decimals(points[-1][0])} at last."
    best = max(points, key=lambda point: point[0])
    return f"{curve.title} is highest at epoch {best[1]:,}: {decimals(best[0])}."


def _training_note(
    history: History, epochs: Sequence[int], chosen: int | None, ends: Sequence[int]
) -> str:
    """What the lines of the picture mean."""
    parts = []
    if chosen is not None:
        parts.append(f"Dashed line and star: epoch {epochs[chosen]:,}, the chosen one.")
    if ends:
        names = [
            f"{history[number]['phase']} ends after epoch {epochs[number]:,}" for number in ends
        ]
        parts.append(f"Dotted: {'; '.join(names)}.")
    if [record["epoch"] for record in history] != list(epochs):
        parts.append("Epochs are counted through all phases.")
    if not measures_of(history):
        parts.append("No epoch was judged by a metric.")
    return " ".join(parts)
