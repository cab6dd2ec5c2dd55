"""The summary of a night: one page of text from what the steps recorded. No Spark here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ncf_spark.config import LAST_NIGHT
from ncf_spark.schemas.results import (
    DROP_REASONS,
    LATER_DROP_REASONS,
    CampaignCounts,
    EventCounts,
    ItemLists,
    Preparation,
    Training,
    UserLists,
    find_result,
)

Rows = Sequence[Mapping[str, Any]]
Records = Mapping[str, Mapping[str, Any]]

_SHOWN = ("hr", "ndcg")
# The sources of a campaign's slots.
_SOURCES = {
    "pin": "pinned items",
    "model": "from the model",
    "bought_together": "bought together with a purchase",
    "similar": "similar to a purchase",
    "bestseller": "best-sellers",
    "bestseller_here": "best-sellers of the country or segment",
}


@dataclass(frozen=True)
class NightFacts:
    """What a summary is made of.

    Args:
        run_date: YYYY-MM-DD.
        run: its name.
        uri: of the run.
        own: the name of the model that users are scored with.
        records: what each step wrote about itself, by the step.
        metrics: figures over all users at one cut-off: model, protocol, metric, k, value, and low
            and high where there is an interval.
        before: the run that was published before tonight, and the name of its model; None: there is
            none.
        metrics_before: its figures.
        verdicts: a sentence of each gate.
        published: whether readers are pointed at the run.
        outcome: the same in a sentence: where, or why not.
    """

    run_date: str
    run: str
    uri: str
    own: str
    records: Records
    metrics: Rows
    before: tuple[str, str] | None
    metrics_before: Rows
    verdicts: Sequence[str]
    published: bool
    outcome: str


def night_summary(facts: NightFacts) -> str:
    """One page: what came in, what was dropped and why, how the model did, what was published."""
    sections = {
        "Input": _input(facts.records),
        "Dropped events, and why": _dropped(facts.records),
        "Model quality": _quality(facts),
        "Gates": facts.verdicts,
        "Output": _output(facts),
        "Duration": _durations(facts.records),
        "Published": [facts.outcome],
    }
    lines = [f"Night of {facts.run_date}, run {facts.run}"]
    for title, content in sections.items():
        if content:
            lines += ["", title, *(f"  {line}" for line in content)]
    return "\n".join(lines) + "\n"


def _num_rows(records: Records, table: str) -> int | None:
    for record in records.values():
        if table in record.get("tables", {}):
            return int(record["tables"][table]["num_rows"])
    return None


def _input(records: Records) -> list[str]:
    prepared = find_result(records.get("build_interactions"), Preparation)
    if prepared is None:
        return []
    counts = [("raw events", prepared.events.raw), ("events used", prepared.events.used)]
    tables = {
        "interactions": "interactions",
        "users known": "user_index",
        "items known": "item_index",
    }
    counts += [(name, _num_rows(records, table) or 0) for name, table in tables.items()]
    return [*_aligned(counts), f"from {prepared.input}"]


def event_counts(records: Records) -> EventCounts:
    """The counts of raw events; all zero where they are not recorded."""
    prepared = find_result(records.get("build_interactions"), Preparation)
    return prepared.events if prepared else EventCounts(raw=0, dropped={}, used=0, interactions=0)


def _dropped(records: Records) -> list[str]:
    events = event_counts(records)
    meanings = DROP_REASONS | LATER_DROP_REASONS
    shares = {
        f"{meanings[reason]} ({count / max(1, events.raw):.1%})": count
        for reason, count in events.dropped.items()
        if count
    }
    lines = _aligned(shares.items()) or ["no event"]
    # Whatever else a step left out or found odd, it counted.
    for step in ("build_interactions", "export_campaign"):
        notes = records.get(step, {}).get("notes", {})
        lines += _aligned((name, n) for name, n in notes.items() if isinstance(n, int) and n)
    exported = find_result(records.get("export_campaign"), CampaignCounts)
    left_out = exported.recipients_left_out if exported else {}
    return [*lines, *_aligned((f"recipients: {code}", n) for code, n in left_out.items())]


def _quality(facts: NightFacts) -> list[str]:
    figures = _figures(facts.metrics)
    before = _figures(facts.metrics_before)
    own_before = facts.before[1] if facts.before else ""
    lines = []
    for (model, protocol, metric, k), row in figures.items():
        if model != facts.own or metric not in _SHOWN:
            continue
        interval = ""
        if row.get("low") is not None and row.get("high") is not None:
            interval = f" ({row['low']:.4f} to {row['high']:.4f})"
        line = f"{metric}@{k} {protocol}: {facts.own} {row['value']:.4f}{interval}"
        line += _beside("last night", row, before.get((own_before, protocol, metric, k)))
        judged_again = figures.get((LAST_NIGHT, protocol, metric, k))
        if facts.own != LAST_NIGHT:
            line += _beside("last night's model on tonight's holdout", row, judged_again)
        line += _beside("popularity", row, figures.get(("popularity", protocol, metric, k)))
        lines.append(line)
    trained = find_result(facts.records.get("train"), Training)
    failed = trained.failed if trained else {}
    lines += [f"{name} failed and is not compared with: {why}" for name, why in failed.items()]
    if facts.before is None:
        lines.append("There is no published run before to compare with.")
    elif lines:
        lines.append(f"Last night is run {facts.before[0]}, each on the holdout of its own night.")
    return lines


def _figures(rows: Rows) -> dict[tuple[str, str, str, int], Mapping[str, Any]]:
    found = {(r["model"], r["protocol"], r["metric"], int(r["k"])): r for r in rows}
    return dict(sorted(found.items()))


def _beside(whose: str, row: Mapping[str, Any], other: Mapping[str, Any] | None) -> str:
    if other is None:
        return ""
    return f"; {whose} {other['value']:.4f} ({row['value'] - other['value']:+.4f})"


def _output(facts: NightFacts) -> list[str]:
    users = find_result(facts.records.get("score_users"), UserLists)
    items = find_result(facts.records.get("similar_items"), ItemLists)
    exported = find_result(facts.records.get("export_campaign"), CampaignCounts)
    rows: dict[str, int | None] = {
        "users with recommendations": users.users_with_recommendations if users else None,
        "items with similar ones": items.items_with_similar_ones if items else None,
        "rows to send": _num_rows(facts.records, "campaign"),
    }
    slots = exported.slots_by_source if exported else {}
    rows |= {f"slots: {_SOURCES.get(source, source)}": n for source, n in slots.items()}
    places = [f"{facts.uri}/{name}" for name in ("campaign_files", "report/index.html")]
    return [*_aligned(rows.items()), *places]


def _durations(records: Records) -> list[str]:
    seconds = {
        step: round(record.get("seconds", 0))
        for step, record in records.items()
        if "copied_from" not in record
    }
    parts = ", ".join(f"{step} {spent} s" for step, spent in seconds.items())
    return [f"{sum(seconds.values()):,} s: {parts}"] if seconds else []


def _aligned(counts: Iterable[tuple[str, int | None]]) -> list[str]:
    """`1,234  raw events`, the numbers one below the other; without those that are not known."""
    known = [(f"{count:,}", name) for name, count in counts if count is not None]
    width = max((len(count) for count, _ in known), default=0)
    return [f"{count:>{width}}  {name}" for count, name in known]
