"""What each step says about itself in its record, for gates, summary and the nights after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from ncf_spark.errors import DataError

# In the order in which they are looked at: an event counts under the first that holds.
DROP_REASONS = {
    "where": "input.where does not hold",
    "no_user": "the user id is null or empty",
    "no_item": "the item id is null or empty",
    "no_time": "the time is null",
    "bad_time": "the time does not parse",
    "unknown_type": "the type is not in input.event_weights",
    "no_value": "the value is null or not a number",
    "low_value": "the value is below input.min_value",
    "after_run_date": "the event is later than the run date",
    "before_window": "the event is older than input.window_days",
}
# What becomes of events that no reason above drops.
LATER_DROP_REASONS = {
    "duplicates": "another event is equal to it",
    "minimum_counts": "its user or item is below the minimum counts",
}


class Result(BaseModel):
    """Of a step; counts are named by their fields in the log."""

    model_config = ConfigDict(frozen=True, extra="forbid")


ResultT = TypeVar("ResultT", bound=Result)


class EventCounts(Result):
    """Raw events, those dropped by reason, those used, and the pairs that they make."""

    raw: int
    dropped: dict[str, int]
    used: int
    interactions: int


class IdCounts(Result):
    """Users or items: with events tonight, known without any, and new."""

    present: int
    departed: int
    new: int


class Start(Result):
    """Which run's model training starts from (None: from random weights), and why.

    `last_full_training` is the date of the last one from random weights, known once trained.
    """

    run: str | None
    reason: str
    last_full_training: str | None = None


class Preparation(Result):
    """Of `build_interactions`.

    `input` is the path or table of the events, `column_types` Spark's types of its columns;
    `people_files` tells the files of recipients, lists and send log apart, by section;
    `suppression_rows` counts rows by list and by what they hold.
    """

    input: str
    column_types: dict[str, str]
    events: EventCounts
    users: IdCounts
    items: IdCounts
    start: Start
    people_files: dict[str, str]
    suppression_rows: dict[str, dict[str, int]]


class Training(Result):
    """Of `train`: where it started, and why models failed that are only compared with."""

    start: Start
    failed: dict[str, str]


class Metric(Result):
    """A row of `schemas.METRICS`."""

    model: str
    protocol: str
    metric: str
    k: int
    segment: str
    value: float
    low: float | None
    high: float | None


class CommonMetric(Result):
    """A metric of tonight's champion and of last night's, over the users that both judged."""

    protocol: str
    metric: str
    k: int
    champion: float
    last_night: float
    num_users: int


class LastNight(Result):
    """The run that was published before, its model's name, and how tonight's compares with it."""

    run: str
    model: str
    metrics: list[CommonMetric]


class Candidate(Result):
    """What could be published, and its figure by `model.selection`, where it has one."""

    name: str
    value: float | None
    low: float | None
    high: float | None


class Evaluation(Result):
    """Of `evaluate`: what is published, why, and the `metrics` of all users at the main cut-off.

    `measure` is what `candidates` are compared by, `incumbent` what was published before.
    """

    champion: str
    reason: str
    measure: str
    incumbent: str | None
    candidates: list[Candidate]
    metrics: list[Metric]
    last_night: LastNight | None

    @property
    def k(self) -> int:
        """The cut-off of `metrics`."""
        return self.metrics[0].k


class UserLists(Result):
    """Of `score_users`."""

    users_with_recommendations: int


class ItemLists(Result):
    """Of `similar_items`."""

    items_with_similar_ones: int


class CampaignCounts(Result):
    """Of `export_campaign`.

    Counts by code (`campaign.reasons`), and the shares that the gates look at: of trained users
    with `campaign.k` recommendations, and of the items in users' lists that were not in last
    night's (None without such a night).
    """

    recipients_left_out: dict[str, int]
    recipients_by_arm: dict[str, int]
    slots_by_source: dict[str, int]
    items_not_shown: dict[str, int]
    pairs_passed_over: dict[str, int]
    recipients_on_suppressions: dict[str, int]
    full_lists: float
    churn: float | None


def find_result(record: Mapping[str, Any] | None, kind: type[ResultT]) -> ResultT | None:
    """The result in a step's record; None where there is no record, or it is older than results."""
    if record is None or record.get("result") is None:
        return None
    return kind.model_validate(record["result"])


def read_result(record: Mapping[str, Any] | None, kind: type[ResultT]) -> ResultT:
    """The result in a step's record.

    Raises:
        DataError: when there is none.
    """
    found = find_result(record, kind)
    if found is None:
        step = (record or {}).get("step", "a step")
        raise DataError(
            f"{step} has not finished, or an older version of ncf_spark ran it. Run it again with "
            "--force."
        )
    return found


def counts_of(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a step counted, by name: `("events", {"raw": 1200, …})`, `("odd rows", 3)`."""
    for name, value in {**(record.get("result") or {}), **record.get("notes", {})}.items():
        if (counts := _only_counts(value)) not in (None, {}):
            yield name.replace("_", " "), counts


def _only_counts(value: Any) -> Any:
    """`value` without what is no count: texts, shares, lists and zeros."""
    if isinstance(value, Mapping):
        parts = {name: _only_counts(part) for name, part in value.items()}
        return {name: part for name, part in parts.items() if part not in (None, {})}
    return value if isinstance(value, int) and not isinstance(value, bool) and value else None
