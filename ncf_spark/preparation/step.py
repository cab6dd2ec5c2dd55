"""The first steps of a night: events in, interactions and their split out, and items' activity."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.config import Config, Source
from ncf_spark.errors import DataError
from ncf_spark.inputs import events as raw_events
from ncf_spark.inputs.audience import read_audience
from ncf_spark.inputs.audience_checks import check_audience, check_item_rules
from ncf_spark.inputs.checks import check_input_files
from ncf_spark.inputs.event_checks import check_events, find_column_types
from ncf_spark.inputs.id_checks import check_catalogue, check_ids, check_provided
from ncf_spark.inputs.intake import name_events, read_catalogue, read_raw_events
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.step import Step
from ncf_spark.preparation import activity, interactions
from ncf_spark.preparation.minimum_counts import filter_rare_ids
from ncf_spark.preparation.numbering import write_indexes
from ncf_spark.preparation.splitting import check_sizes, write_split
from ncf_spark.schemas.results import (
    DROP_REASONS,
    LATER_DROP_REASONS,
    EventCounts,
    Preparation,
)

BY_COUNTS = {"num_users": 1.0, "recent_events": 1.0}


def build_interactions(job: Job) -> Preparation:
    """Events and catalogue → history, interactions, indexes, catalogue, and the split.

    Looks at all of the customer's tables, also at those that later steps read, so that a night
    that cannot end well is refused before its expensive part.
    """
    check_input_files(job)
    audience = read_audience(job)
    people = check_audience(job, audience)
    check_item_rules(job)
    schema = schemas.with_features(schemas.CATALOGUE, list(job.config.activity.features))
    catalogue = job.write("catalogue", read_catalogue(job), schema)
    column_types, counts, pairs = write_interactions(job)
    check_catalogue(job, pairs, catalogue)
    check_provided(job, pairs)
    indexes, present = write_indexes(job, pairs)
    check_ids(job, audience, indexes["user"])
    check_sizes(job, present["item"].present)
    start = write_split(job, pairs, indexes["user"], indexes["item"], present["item"].present)
    return Preparation(
        input=str(job.config.input.table or job.config.input.path),
        column_types=column_types,
        events=counts,
        users=present["user"],
        items=present["item"],
        start=start,
        people_files=people.files,
        suppression_rows=people.suppression_rows,
    )


def write_interactions(job: Job) -> tuple[dict[str, str], EventCounts, DataFrame]:
    """Reads the raw events, once, and writes `history` and `interactions`.

    Returns:
        The types of their columns, their counts, and `schemas.INTERACTIONS`.

    Raises:
        SchemaError: when a configured column is missing or of a type that cannot serve.
        DataError: when the input cannot be read, too many times don't parse or are of another age,
            or nothing is left.
    """
    settings, types = job.config.input, job.config.campaign.pairs
    raw = read_raw_events(job)
    column_types = find_column_types(job, raw)
    events = name_events(job, raw)
    observation = Observation()
    aggregates = {**raw_events.count_raw(), **raw_events.count_odd()}
    rows = interactions.build_history(
        events.observe(observation, *[count.alias(name) for name, count in aggregates.items()]),
        drop_duplicates=settings.duplicates == "drop",
        bought_types=types.bought_types,
        wanted_types=types.wanted_types,
    )
    kept = {"kept": F.sum("num_kept")}
    history = job.write("history", rows, schemas.KEPT_HISTORY, counts=kept)
    by_reason = check_events(job, observation.get, events)
    pairs = filter_rare_ids(job, interactions.build_interactions(history))
    used = {"num_events": F.sum("num_events")}
    pairs = job.write("interactions", pairs, schemas.INTERACTIONS, counts=used)
    return column_types, _count_events(job, by_reason), pairs


def _count_events(job: Job, by_reason: Mapping[str, int]) -> EventCounts:
    """The raw events by what was done with them.

    Args:
        by_reason: raw events by drop reason, and those that are `kept`.

    Raises:
        DataError: when no interaction is left.
    """
    distinct, used = job.counts["history"]["kept"], job.counts["interactions"]["num_events"]
    dropped = {reason: by_reason[reason] for reason in DROP_REASONS if by_reason[reason]}
    dropped |= {"duplicates": by_reason["kept"] - distinct, "minimum_counts": distinct - used}
    num_raw, num_pairs = sum(by_reason.values()), job.num_rows("interactions")
    if not num_pairs:
        meanings = DROP_REASONS | LATER_DROP_REASONS
        lines = [f"  {n:,} since {meanings[reason]}" for reason, n in dropped.items() if n]
        raise DataError(
            f"interactions: no row is left of {num_raw:,} raw events. Dropped:\n"
            + "\n".join(lines)
            + "\nLoosen the filter that took them (section input of the configuration)."
        )
    return EventCounts(raw=num_raw, dropped=dropped, used=used, interactions=num_pairs)


def score_item_activity(job: Job) -> None:
    """Interactions and side features → item_activity: how active an item is, how often drawn.

    Scores by the configured side features, or by counts where there are none.
    """
    settings, given = job.config.activity, list(job.config.activity.features)
    catalogue = job.read("catalogue", schemas.with_features(schemas.CATALOGUE, given))
    # Pairs that are in a provided test set alone are no interactions.
    pairs = job.read("split", schemas.SPLIT).where("num_events is not null")
    counts = pairs.withColumn("is_train", F.expr("not is_holdout and not is_validation")).transform(
        activity.build_item_counts, job.ends_at, settings.half_life_days
    )
    items = (
        # What follows looks at all items several times, and need not count them every time.
        job.stage(counts, "counts")
        .join(job.read("item_index", schemas.ITEM_INDEX), on="item_index", how="inner")
        .join(catalogue.select("item_id", *given), on="item_id", how="left")
        .fillna(0.0, subset=given)
        .transform(activity.with_activity, settings.features or BY_COUNTS)
        .transform(activity.with_activity, BY_COUNTS, into="activity_by_counts")
        .transform(activity.with_is_new, job.run_date, settings.new_item_days)
        .transform(activity.with_distributions)
    )
    job.write("item_activity", items, schemas.with_features(schemas.ITEM_ACTIVITY, given))


def _inputs(config: Config) -> dict[str, Source]:
    found: dict[str, Source] = {"input": config.input, "catalogue": config.catalogue}
    if config.split.method == "provided":
        found["split.holdout"] = config.split.holdout
    return found


BUILD_INTERACTIONS = Step(
    "build_interactions",
    build_interactions,
    writes=(
        *("history", "interactions", "user_index", "item_index", "catalogue", "split"),
        *("train", "validation", "holdout"),
    ),
    settings=(
        *("run.seed", "input", "catalogue", "activity.features", "split"),
        *("training.num_shards", "evaluation.num_negatives"),
        *("training.warm_epochs", "training.full_retrain_every_days"),
        *("campaign.pairs.bought_types", "campaign.pairs.wanted_types"),
    ),
    inputs=_inputs,
    other_runs=("based_on", "night_before"),
)
SCORE_ITEM_ACTIVITY = Step(
    "score_item_activity",
    score_item_activity,
    reads=("catalogue", "split", "item_index"),
    writes=("item_activity",),
    settings=("activity",),
)
