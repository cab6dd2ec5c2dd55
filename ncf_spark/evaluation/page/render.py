"""The evaluation as one HTML page that needs nothing else: no script, nothing from afar.

The same data gives the same bytes. Import it on the driver only: it brings matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from ncf_spark.evaluation.choice import Choice
from ncf_spark.evaluation.page import tables
from ncf_spark.evaluation.page.comparison import (
    Comparison,
    Estimates,
    compare,
    headline,
    leader,
    protocol_words,
    rival_words,
)
from ncf_spark.evaluation.page.pictures import (
    Picture,
    greatest_metric,
    model_pictures,
    segment_picture,
    share_picture,
    training_picture,
)
from ncf_spark.evaluation.page.svg import printable

# Models whose pictures are shown; those of further ones are folded away.
_SHOWN = 6


@dataclass(frozen=True)
class ReportData:
    """All that the page tells. Anything but the names of the run and the model may be empty."""

    run_name: str
    run_date: str
    split: str  # in words
    selection: str  # which item each epoch and model was selected by, a sentence
    own: str  # name of the night's own model
    # Dicts with the columns of the table `metrics`.
    metrics: Sequence[Mapping[str, Any]] = ()
    # By model, a dict for each epoch: epoch, loss, seconds, samples, some of ndcg@10 and its like,
    # perhaps phase. Epochs may count from 1 again in each phase.
    histories: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    # By model; of its last phase.
    chosen_epochs: Mapping[str, int | None] = field(default_factory=dict)
    # Dicts: model, decile (1 the least popular items, 10 the most; some may be missing),
    # share_of_recommendations, share_of_items, share_of_interactions.
    popularity: Sequence[Mapping[str, Any]] = ()
    # Label and value; numbers get their separators here.
    facts: Sequence[tuple[str, Any]] = ()
    notes: Sequence[str] = ()  # what is odd
    choice: Choice | None = None  # which candidate is published; None: there were none to choose
    last_night: str = ""  # how last night's model does, a sentence; empty: it was not judged
    # Which of the models are baselines; empty: all but the own.
    baselines: Sequence[str] = ()
    # Dicts as those of `metrics`: each other model's figures less the own model's, with paired
    # intervals. They say more of a difference than the intervals of the two.
    differences: Sequence[Mapping[str, Any]] = ()


def render_report(data: ReportData) -> str:
    """The page, self-contained and the same for the same data."""
    figures = Estimates.of(data.metrics)
    differences = Estimates.of(data.differences)
    comparisons = [
        found
        for protocol in figures.protocols
        if (found := compare(figures, protocol, data.own, data.baselines, differences))
    ]
    page = _template().render(
        data=data,
        headline=headline(data.own, comparisons),
        rival_is=rival_words(data.baselines) if comparisons else "",
        main_k=figures.main_k,
        protocols=_protocols(data, figures, comparisons),
        segments=_segments(data, figures),
        popularity=_popularity(data, figures),
        trainings=_trainings(data, figures),
        full=[tables.full_table(figures, protocol) for protocol in figures.protocols],
        has_intervals=any(figure.has_interval for figure in figures.by_key.values()),
        candidates=tables.candidate_table(data.choice) if data.choice else None,
        facts=[(label, tables.plain(value)) for label, value in data.facts],
        shown=_SHOWN,
    )
    return page + "\n"


@cache
def _template() -> Template:
    text = resources.files("ncf_spark.evaluation.page").joinpath("page.html.j2").read_text("utf-8")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_written,
    )
    environment.filters["breakable"] = _breakable
    return environment.from_string(text)


def _written(value: Any) -> Any:
    """Names may hold characters that no page can."""
    return printable(value) if type(value) is str else value


def _breakable(name: str) -> Markup:
    """The name, escaped, which may go on in the next line after an underscore."""
    return Markup(str(escape(printable(name))).replace("_", "_<wbr>"))


@dataclass(frozen=True)
class _Protocol:
    name: str
    words: str
    sentence: str
    table: tables.Table
    pictures: Sequence[Picture]


def _protocols(
    data: ReportData, figures: Estimates, comparisons: Sequence[Comparison]
) -> list[_Protocol]:
    sentences = {c.protocol: f"{c.sentence} {leader(figures, c)}".rstrip() for c in comparisons}
    parts = []
    for protocol in figures.protocols:
        rival = figures.best_rival(protocol, data.own, data.baselines)
        missing = f"There is no figure of {data.own} beside another model."
        parts.append(
            _Protocol(
                protocol,
                protocol_words(protocol),
                sentences.get(protocol, missing),
                tables.model_table(figures, protocol, data.own, rival, rival_words(data.baselines)),
                model_pictures(figures, protocol, data.own, rival),
            )
        )
    return parts


@dataclass(frozen=True)
class _Segments:
    protocol: str
    kind: str
    rival: str | None
    table: tables.Table
    picture: Picture | None


def _segments(data: ReportData, figures: Estimates) -> dict[str, list[_Segments]]:
    """Kind of segment → one part for each protocol that has some."""
    kinds: dict[str, list[_Segments]] = {"users": [], "categories": [], "other": []}
    for protocol in figures.protocols:
        rival = figures.best_rival(protocol, data.own, data.baselines)
        names = figures.segments(protocol)
        users = [segment for segment in tables.USER_SEGMENTS if segment in names]
        categories = [segment for segment in names if segment.startswith("category=")]
        others = [segment for segment in names if segment not in (*users, *categories)]
        for kind, chosen in (("users", users), ("categories", categories), ("other", others)):
            if chosen:
                ordered = chosen if kind == "users" else _by_lead(data, figures, protocol, chosen)
                table = tables.segment_table(figures, protocol, ordered, data.own, rival)
                picture = segment_picture(figures, protocol, kind, ordered, data.own, rival)
                kinds[kind].append(_Segments(protocol, kind, rival, table, picture))
    return kinds


def _by_lead(data: ReportData, figures: Estimates, protocol: str, segments: list[str]) -> list[str]:
    """Where the own model is furthest ahead first; without a difference last."""
    rival = figures.best_rival(protocol, data.own, data.baselines)

    def lead(segment: str) -> tuple[bool, float, str]:
        metric = figures.main_metric
        own, other = tables.segment_pair(figures, protocol, metric, segment, data.own, rival)
        if own.value is None or (rival and other.value is None):
            return True, 0.0, segment
        return False, (other.value or 0.0) - own.value, segment

    return sorted(segments, key=lead)


@dataclass(frozen=True)
class _Popularity:
    sentence: str
    pictures: Sequence[Picture]
    table: tables.Table
    descriptive: Sequence[tables.Table]


def _popularity(data: ReportData, figures: Estimates) -> _Popularity:
    shares: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in data.popularity:
        shares.setdefault(row["model"], {})[row["decile"]] = row
    order = _own_first(data, figures, shares)
    ordered = {model: shares[model] for model in order}
    pictures = [share_picture(model, ordered) for model in order]
    descriptive = [tables.descriptive_table(figures, protocol) for protocol in figures.protocols]
    drawn = [picture for picture in pictures if picture is not None]
    return _Popularity(
        drawn[0].message if drawn else "",
        drawn,
        tables.share_table(ordered),
        [table for table in descriptive if len(table.head) > 1],
    )


@dataclass(frozen=True)
class _Training:
    model: str
    picture: Picture | None
    table: tables.Table


def _trainings(data: ReportData, figures: Estimates) -> list[_Training]:
    top = greatest_metric(data.histories.values())
    trainings = []
    for model in _own_first(data, figures, data.histories):
        history = data.histories[model]
        if history:
            chosen = tables.chosen_position(history, data.chosen_epochs.get(model))
            picture = training_picture(model, history, chosen, top)
            table = tables.epoch_table(model, history, chosen)
            trainings.append(_Training(model, picture, table))
    return trainings


def _own_first(data: ReportData, figures: Estimates, models: Iterable[str]) -> list[str]:
    """The own model, then the others as the first protocol orders them."""
    ranked = figures.models(figures.protocols[0]) if figures.protocols else []
    places = {model: place for place, model in enumerate(ranked)}
    return sorted(models, key=lambda m: (m != data.own, places.get(m, len(places)), m))
