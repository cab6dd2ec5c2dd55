"""The tables of the report: plain cells that the template only has to write down."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ncf_spark.config import LAST_NIGHT
from ncf_spark.evaluation.choice import Choice
from ncf_spark.evaluation.page.comparison import (
    ACCURACY,
    DESCRIPTIVE,
    Estimate,
    Estimates,
    decimals,
    finite,
    interval,
    measure,
)

USER_SEGMENTS = ("users few", "users some", "users many")


@dataclass(frozen=True)
class Cell:
    """A value, empty if there is none, with its interval; `best` puts a star beside it."""

    text: str
    interval: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    """A row: its name, what is remarked on the name, and its cells."""

    name: str
    cells: Sequence[Cell]
    remark: str = ""


@dataclass(frozen=True)
class Table:
    """Lines under a head; the first of the head is over the names."""

    caption: str
    head: Sequence[str]
    lines: Sequence[Line]


def model_table(
    figures: Estimates, protocol: str, own: str, rival: str | None, rival_is: str
) -> Table:
    """The models at the main k, best first, the best of each column marked."""
    k, models = figures.main_k, figures.models(protocol)
    metrics = figures.metrics(protocol, ACCURACY)
    columns = [_column([figures.get(m, protocol, metric, k) for m in models]) for metric in metrics]
    remarks = {own: "the night's own model", rival: rival_is, LAST_NIGHT: "on users it knows"}
    return Table(
        f"Models under {protocol}",
        ["Model", *(measure(metric, k) for metric in metrics)],
        [
            Line(model, [column[number] for column in columns], remarks.get(model, ""))
            for number, model in enumerate(models)
        ],
    )


def candidate_table(choice: Choice) -> Table:
    """The candidates in their order, by the figure that decided."""
    remarks = {choice.incumbent: "published before", choice.champion: "published"}
    figures = [Estimate(finite(c.value), finite(c.low), finite(c.high)) for c in choice.candidates]
    lines = [
        Line(candidate.name, [cell], remarks.get(candidate.name, ""))
        for candidate, cell in zip(choice.candidates, _column(figures), strict=True)
    ]
    return Table("Candidates for publishing", ["Model", choice.measure], lines)


def _column(column: Sequence[Estimate]) -> list[Cell]:
    """Cells of which the greatest is marked, and all that print the same."""
    best = max((figure.value for figure in column if figure.value is not None), default=None)
    return [
        Cell(
            text := decimals(figure.value),
            interval(figure),
            best=len(column) > 1 and text != "" and text == decimals(best),
        )
        for figure in column
    ]


def segment_table(
    figures: Estimates, protocol: str, segments: Sequence[str], own: str, rival: str | None
) -> Table:
    """The own model beside the best baseline, one line a segment, at the main k."""
    k = figures.main_k
    head, columns = ["Segment"], []
    for metric in figures.metrics(protocol, ("ndcg", "hr")):
        pairs = [segment_pair(figures, protocol, metric, s, own, rival) for s in segments]
        if all(figure == Estimate() for pair in pairs for figure in pair):
            continue
        marked = [_column(pair if rival else pair[:1]) for pair in pairs]
        head.append(f"{measure(metric, k)} of {own}")
        columns.append([pair[0] for pair in marked])
        if rival:
            head += [f"of {rival}", "difference"]
            columns.append([pair[1] for pair in marked])
            columns.append([Cell(_difference(pair)) for pair in pairs])
    lines = [
        Line(segment_name(segment), [column[number] for column in columns])
        for number, segment in enumerate(segments)
    ]
    return Table(f"Segments under {protocol}", head, lines)


def segment_pair(
    figures: Estimates, protocol: str, metric: str, segment: str, own: str, rival: str | None
) -> tuple[Estimate, Estimate]:
    """The own figure and the baseline's, an empty one without a baseline."""
    own_figure = figures.get(own, protocol, metric, figures.main_k, segment)
    if rival is None:
        return own_figure, Estimate()
    return own_figure, figures.get(rival, protocol, metric, figures.main_k, segment)


def segment_name(segment: str) -> str:
    """category=Tea → Tea."""
    return segment.removeprefix("category=").removeprefix("users ")


def _difference(pair: tuple[Estimate, Estimate]) -> str:
    own, rival = pair[0].value, pair[1].value
    return "" if own is None or rival is None else f"{own - rival:+.4f}"


def descriptive_table(figures: Estimates, protocol: str) -> Table:
    """Coverage and its like of each model at the main k; no end of them is the better one."""
    k, metrics = figures.main_k, figures.metrics(protocol, DESCRIPTIVE)
    lines = [
        Line(model, [_cell(figures.get(model, protocol, metric, k)) for metric in metrics])
        for model in figures.models(protocol)
    ]
    head = ["Model", *(measure(metric, k) for metric in metrics)]
    return Table(f"What is recommended, under {protocol}", head, lines)


def full_table(figures: Estimates, protocol: str) -> Table:
    """All metrics at all cut-offs, a line for each model and k."""
    metrics = figures.metrics(protocol)
    lines = [
        Line(model, [Cell(f"{k:,}"), *(_cell(figures.get(model, protocol, m, k)) for m in metrics)])
        for model in figures.models(protocol)
        for k in figures.ks
    ]
    head = ["Model", "k", *(measure(metric, None) for metric in metrics)]
    return Table(f"All cut-offs under {protocol}", head, lines)


def _cell(figure: Estimate) -> Cell:
    return Cell(decimals(figure.value), interval(figure))


def epoch_table(model: str, history: Sequence[Mapping[str, Any]], chosen: int | None) -> Table:
    """What was recorded of each epoch; `chosen` is a position in the history."""
    measures = measures_of(history)
    head = ["Epoch", "Phase", "Loss", *(measure(metric, k) for metric, k in measures)]
    keys = ["loss", *(f"{metric}@{k}" for metric, k in measures)]
    lines = [
        Line(
            f"{record['epoch']:,}",
            [Cell(record.get("phase") or "")]
            + [Cell(decimals(finite(record.get(key)))) for key in keys]
            + [Cell(_amount(record.get("seconds"), 1)), Cell(_amount(record.get("samples"), 0))],
            "chosen" if number == chosen else "",
        )
        for number, record in enumerate(history)
    ]
    return Table(f"Epochs of {model}", [*head, "Seconds", "Samples"], lines)


def chosen_position(history: Sequence[Mapping[str, Any]], chosen: int | None) -> int | None:
    """Where the chosen epoch stands: the last record of that number, as phases may count anew."""
    places = [number for number, record in enumerate(history) if record["epoch"] == chosen]
    return places[-1] if places else None


def measures_of(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """(ndcg, 10) for a history with ndcg@10; by k, then by name."""
    keys = {key for record in history for key in record}
    found = {match for key in keys if (match := re.fullmatch(r"(\w+)@(\d+)", key))}
    return sorted(((match[1], int(match[2])) for match in found), key=lambda m: (m[1], m[0]))


def _amount(value: Any, places: int) -> str:
    number = finite(value)
    return "" if number is None else f"{number:,.{places}f}"


def share_table(shares: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> Table:
    """Shares by decile: the catalogue, the interactions and what each model recommends."""
    first = next(iter(shares.values()), {})
    lines = [
        Line(
            str(decile),
            [
                Cell(percent(first.get(decile, {}).get("share_of_items"))),
                Cell(percent(first.get(decile, {}).get("share_of_interactions"))),
                *(
                    Cell(percent(of.get(decile, {}).get("share_of_recommendations")))
                    for of in shares.values()
                ),
            ],
        )
        for decile in range(1, 11)
    ]
    head = ["Decile", "Catalogue", "Interactions", *shares]
    return Table("Shares by decile of popularity", head, lines)


def percent(share: Any) -> str:
    """0.0414 → 4.1 %; empty without a value."""
    number = finite(share)
    return "" if number is None else f"{number:.1%}".replace("%", "\u00a0%")


def plain(value: Any) -> str:
    """A fact as text: thousands separated, a few places of what is no whole number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if finite(value) is None:
        return "no value"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.4g}"
