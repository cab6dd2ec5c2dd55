"""The tables of the report: plain cells that the template only has to write down."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ncf_spark.config import LAST_NIGHT
from ncf_spark.evaluation.choice import Choice
from ncf_spark.evaluation.page.figures import (
    ACCURACY,
    DESCRIPTIVE,
    Estimate,
    Estimates,
    decimals,
    finite,
    measure,
    percent,
)

USER_SEGMENTS = ("users few", "users some", "users many")


class Cell(NamedTuple):
    """A value, empty if there is none, with its interval; `best` puts a star beside it."""

    text: str
    interval: str = ""
    best: bool = False


class Line(NamedTuple):
    """A row: its name, what is remarked on the name, and its cells."""

    name: str
    cells: Sequence[Cell]
    remark: str = ""


class Table(NamedTuple):
    """Lines under a head; the first of the head is over the names."""

    caption: str
    head: Sequence[str]
    lines: Sequence[Line]


def model_table(
    figures: Estimates, protocol: str, own: str, other: str | None, other_is: str
) -> Table:
    """The models at the main k, best first, the best of each column marked.

    Args:
        own: the night's own model.
        other: the one that it is compared with, called `other_is`.
    """
    k, models = figures.main_k, figures.models(protocol)
    metrics = figures.metrics(protocol, ACCURACY)
    columns = [_marked([figures.get(m, protocol, metric, k) for m in models]) for metric in metrics]
    remarks = {own: "the night's own model", other: other_is, LAST_NIGHT: "on the users it knows"}
    return Table(
        f"Models under {protocol}",
        ["Model", *(measure(metric, k) for metric in metrics)],
        [
            Line(model, cells, remarks.get(model, ""))
            for model, *cells in zip(models, *columns, strict=True)
        ],
    )


def candidate_table(choice: Choice) -> Table:
    """The candidates in their order, by the figure that decided."""
    remarks = {choice.incumbent: "published before", choice.champion: "published"}
    figures = [Estimate(finite(c.value), finite(c.low), finite(c.high)) for c in choice.candidates]
    lines = [
        Line(candidate.name, [cell], remarks.get(candidate.name, ""))
        for candidate, cell in zip(choice.candidates, _marked(figures), strict=True)
    ]
    return Table("Candidates for publishing", ["Model", choice.measure], lines)


def _cell(figure: Estimate, best: bool = False) -> Cell:
    return Cell(decimals(figure.value), figure.interval, best)


def _marked(column: Sequence[Estimate]) -> list[Cell]:
    """Cells of which the greatest is marked, and all that print the same."""
    best = max((figure.value for figure in column if figure.value is not None), default=None)
    return [
        _cell(
            figure,
            len(column) > 1 and best is not None and decimals(figure.value) == decimals(best),
        )
        for figure in column
    ]


def segment_tables(figures: Estimates, protocol: str, own: str, other: str | None) -> list[Table]:
    """The own model beside the other one at the main k: by user, by category, by anything else.

    User segments come in their order; others by the difference, where the own model is furthest
    ahead first, and last those without one.
    """

    def difference(segment: str) -> tuple[bool, float, str]:
        values = [figures.main(model, protocol, segment).value for model in (own, other)]
        if values[0] is None or (other and values[1] is None):
            return True, 0.0, segment
        return False, (values[1] or 0.0) - values[0], segment

    names = figures.segments(protocol)
    users = [segment for segment in USER_SEGMENTS if segment in names]
    rest = sorted((s for s in names if s not in users), key=difference)
    kinds = {
        "Users by their number of train items": users,
        "Categories of the held-out item": [s for s in rest if s.startswith("category=")],
        "Other segments": [s for s in rest if not s.startswith("category=")],
    }
    return [
        _segment_table(figures, protocol, f"{kind}, under {protocol}", chosen, own, other)
        for kind, chosen in kinds.items()
        if chosen
    ]


def _segment_table(
    figures: Estimates,
    protocol: str,
    caption: str,
    segments: Sequence[str],
    own: str,
    other: str | None,
) -> Table:
    k = figures.main_k
    head, columns = ["Segment"], []
    for metric in figures.metrics(protocol, ("ndcg", "hr")):
        models = [own, other] if other else [own]
        rows = [[figures.get(m, protocol, metric, k, s) for m in models] for s in segments]
        if all(figure == Estimate() for row in rows for figure in row):
            continue
        head += [
            f"{measure(metric, k)} of {own}",
            *([f"of {other}", "difference"] if other else []),
        ]
        columns.append([[*_marked(row), *([_difference(*row)] if other else [])] for row in rows])
    lines = [
        Line(re.sub("^(category=|users )", "", segment), [c for cells in of_metric for c in cells])
        for segment, *of_metric in zip(segments, *columns, strict=True)
    ]
    return Table(caption, head, lines)


def _difference(own: Estimate, other: Estimate) -> Cell:
    both = own.value is not None and other.value is not None
    return Cell(f"{(own.value or 0.0) - (other.value or 0.0):+.4f}" if both else "")


def descriptive_table(figures: Estimates, protocol: str) -> Table | None:
    """Coverage and its like of each model at the main k; None without such figures."""
    k, metrics = figures.main_k, figures.metrics(protocol, DESCRIPTIVE)
    lines = [
        Line(model, [_cell(figures.get(model, protocol, metric, k)) for metric in metrics])
        for model in figures.models(protocol)
    ]
    head = ["Model", *(measure(metric, k) for metric in metrics)]
    return Table(f"What is recommended, under {protocol}", head, lines) if metrics else None


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
    """Index of the chosen epoch: the last record of that number, as phases count from 1 again."""
    found = [number for number, record in enumerate(history) if record["epoch"] == chosen]
    return found[-1] if found else None


def measures_of(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """(ndcg, 10) for a history with ndcg@10; by k, then by name."""
    keys = {key for record in history for key in record}
    found = {match for key in keys if (match := re.fullmatch(r"(\w+)@(\d+)", key))}
    return sorted(((match[1], int(match[2])) for match in found), key=lambda m: (m[1], m[0]))


def _amount(value: Any, digits: int) -> str:
    number = finite(value)
    return "" if number is None else f"{number:,.{digits}f}"


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


def plain(value: Any) -> str:
    """A fact as text: thousands separated, fractions rounded."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if finite(value) is None:
        return "no value"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.4g}"
