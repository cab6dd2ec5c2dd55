"""The evaluation as one HTML page that needs nothing else: no script, nothing from the network.

The same data gives the same bytes. Import it on the driver only: it imports matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from ncf_spark.evaluation.choice import Choice
from ncf_spark.evaluation.page import charts, tables
from ncf_spark.evaluation.page.charts import Chart, printable
from ncf_spark.evaluation.page.figures import (
    Comparison,
    Estimates,
    better_model,
    compare,
    decimals,
    finite,
    headline,
    measure,
    percent,
    protocol_words,
)


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


class Section(NamedTuple):
    """A part of the page: sentences, at most one chart, tables, and tables that are folded away."""

    name: str
    title: str
    sentences: Sequence[str]
    chart: Chart | None = None
    tables: Sequence[tables.Table] = ()
    folded: Sequence[tables.Table] = ()


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
        compared_with=comparisons[0].other_is if comparisons else "",
        protocols=_protocols(data, figures, comparisons),
        candidates=tables.candidate_table(data.choice) if data.choice else None,
        sections=[
            _models(data, figures),
            _segments(data, figures),
            _popularity(data, figures),
            _training(data, figures),
            Section(
                "cutoffs",
                "All metrics at all cut-offs",
                () if figures.by_key else ("There are no figures.",),
                folded=[tables.full_table(figures, protocol) for protocol in figures.protocols],
            ),
        ],
        facts=[(label, tables.plain(value)) for label, value in data.facts],
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
        # Names may hold characters that no page can.
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters["breakable"] = _breakable
    return environment.from_string(text)


def _breakable(name: str) -> Markup:
    """The name, escaped, which may go on in the next line after an underscore."""
    return Markup(str(escape(printable(name))).replace("_", "_<wbr>"))


def _protocols(
    data: ReportData, figures: Estimates, comparisons: Sequence[Comparison]
) -> list[tuple[str, str, str]]:
    """Name, explanation and result of each protocol."""
    results = {c.protocol: f"{c.sentence} {better_model(figures, c)}".strip() for c in comparisons}
    missing = f"There are no figures of {data.own} and another model to compare."
    return [(p, protocol_words(p), results.get(p, missing)) for p in figures.protocols]


def _models(data: ReportData, figures: Estimates) -> Section:
    name, title = "models", "Models"
    if not figures.protocols:
        return Section(name, title, ["There are no figures of any model."])
    has_intervals = any(figure.interval for figure in figures.by_key.values())
    intervals = "The 95\u00a0% interval is below each value."
    found, other_is = [], "the best baseline" if data.baselines else "the best other model"
    for protocol in figures.protocols:
        other = figures.best_baseline(protocol, data.own, data.baselines)
        found.append(tables.model_table(figures, protocol, data.own, other, other_is))
    sentences = [
        "The best model comes first. ★ marks the best value of a column, and values that are equal "
        f"to it at four decimals. {intervals if has_intervals else 'No intervals were computed.'}"
    ]
    if chart := _model_chart(data, figures):
        sentences.append(f"In the chart, {data.own} is the circle and {other_is} is the diamond.")
    return Section(name, title, sentences, chart, found)


def _model_chart(data: ReportData, figures: Estimates) -> Chart | None:
    """The main metric of all models, under `full` if it was computed."""
    protocol = min(figures.protocols, key=lambda p: (p != "full", p))
    models = {model: figures.main(model, protocol) for model in figures.models(protocol)}
    values = [(m, figure.value) for m, figure in models.items() if figure.value is not None]
    if not values:
        return None
    other = figures.best_baseline(protocol, data.own, data.baselines)
    title = f"{measure(figures.main_metric, figures.main_k)} under {protocol}"
    text = "; ".join(f"{model} {decimals(value)}" for model, value in values)
    return Chart(title, charts.draw_models(models, data.own, other), f"{title}: {text}.")


def _segments(data: ReportData, figures: Estimates) -> Section:
    found = []
    for protocol in figures.protocols:
        other = figures.best_baseline(protocol, data.own, data.baselines)
        found += tables.segment_tables(figures, protocol, data.own, other)
    sentences = [
        f"{data.own} beside the model that it is compared with, for groups of users and items. "
        f"Categories come in the order of the difference: first where {data.own} is furthest ahead."
        if found
        else "There are no figures of segments."
    ]
    return Section("segments", "Users and categories", sentences, tables=found)


def _popularity(data: ReportData, figures: Estimates) -> Section:
    by_model: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in sorted(data.popularity, key=lambda row: int(row["decile"])):
        by_model.setdefault(row["model"], {})[row["decile"]] = row
    shares = {model: by_model[model] for model in _own_first(data, figures, by_model)}
    chart = _share_chart(*next(iter(shares.items()))) if shares else None
    sentences = ["There are no shares by decile of popularity."]
    if chart:
        sentences = [
            chart.text,
            f"This counts each user's first {figures.main_k or ''} recommendations. Decile 1 is "
            "the tenth of the items with the fewest users, decile 10 the tenth with the most. A "
            "bar above the catalogue's share: recommended more often than by chance. A bar above "
            "the interactions' share: more often than users chose these items.",
        ]
    described = [tables.descriptive_table(figures, protocol) for protocol in figures.protocols]
    return Section(
        "popularity",
        "How popular are the recommended items?",
        sentences,
        chart,
        [table for table in described if table is not None],
        [tables.share_table(shares)] if shares else [],
    )


def _share_chart(model: str, deciles: Mapping[int, Mapping[str, Any]]) -> Chart | None:
    last = deciles[max(deciles)]
    names = ("share_of_recommendations", "share_of_items", "share_of_interactions")
    recommended, items, interactions = (percent(last.get(name)) for name in names)
    if not any(percent(row.get(names[0])) for row in deciles.values()):
        return None
    text = (
        f"{recommended or 'An unknown share'} of what {model} recommends is from decile "
        f"{max(deciles)}, the most popular items. They are {items or 'an unknown share'} of the "
        f"catalogue and have {interactions or 'an unknown share'} of the interactions."
    )
    title = f"Recommendations of {model} by popularity"
    return Chart(title, charts.draw_shares(deciles), text)


def _training(data: ReportData, figures: Estimates) -> Section:
    name, title = "training", "Training by epoch"
    histories = {
        model: (history, tables.chosen_position(history, data.chosen_epochs.get(model)))
        for model in _own_first(data, figures, data.histories)
        if (history := data.histories[model])
    }
    if not histories:
        return Section(name, title, ["No model has a history of epochs."])
    chart = _training_chart(next(iter(histories)), *next(iter(histories.values())))
    found = [tables.epoch_table(model, *history) for model, history in histories.items()]
    return Section(name, title, [data.selection], chart, folded=found)


def _training_chart(
    model: str, history: Sequence[Mapping[str, Any]], chosen: int | None
) -> Chart | None:
    known = [loss for r in history if (loss := finite(r.get("loss"))) is not None]
    if not known:
        return None
    text = (
        f"{model}, {len(history):,} epochs: the loss is {decimals(known[0])} at first and "
        f"{decimals(known[-1])} at last."
    )
    if chosen is not None:
        text += f" The dashed line marks the chosen epoch, number {chosen + 1:,}."
    return Chart(f"Training of {model}", charts.draw_training(history, chosen), text)


def _own_first(data: ReportData, figures: Estimates, models: Iterable[str]) -> list[str]:
    """The own model, then the others as the first protocol orders them."""
    ranked = figures.models(figures.protocols[0]) if figures.protocols else []
    order = {model: number for number, model in enumerate(ranked)}
    return sorted(models, key=lambda m: (m != data.own, order.get(m, len(order)), m))
