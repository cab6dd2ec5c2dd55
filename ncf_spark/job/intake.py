"""The customer's tables, checked and counted, in our terms: where a night's input comes in."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import timedelta
from functools import reduce

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.config import Source
from ncf_spark.inputs import sources
from ncf_spark.interactions import catalogue, events
from ncf_spark.job import findings
from ncf_spark.job.context import Job
from ncf_spark.schemas import DataError, SchemaError
from ncf_spark.storage import tables


def write_interactions(job: Job) -> DataFrame:
    """Reads the raw events, once, and writes `history` and `interactions`.

    Counts what each filter drops.

    Raises:
        SchemaError: when a configured column is missing or of a type that cannot serve.
        DataError: when the input cannot be read, too many times don't parse, or nothing is left.
    """
    settings, types = job.config.input, job.config.campaign.pairs
    job.note("input", {"from": settings.table or settings.path, "format": settings.format})
    observation = Observation()
    counted = [count.alias(name) for name, count in events.count_raw().items()]
    rows = events.build_history(
        read_events(job).observe(observation, *counted),
        drop_duplicates=settings.duplicates == "drop",
        bought_types=types.bought_types,
        wanted_types=types.wanted_types,
    )
    kept = {"kept": F.sum("num_kept")}
    history = job.write("history", rows, schemas.KEPT_HISTORY, counts=kept)
    raw = observation.get
    _check_times(job, raw)
    pairs = _with_min_counts(job, events.build_interactions(history))
    used = {"num_events": F.sum("num_events")}
    interactions = job.write("interactions", pairs, schemas.INTERACTIONS, counts=used)
    _report_counts(job, raw)
    return interactions


def read_catalogue(job: Job) -> DataFrame:
    """The item catalogue with the configured side features; empty where none is configured."""
    source, features = job.config.catalogue, list(job.config.activity.features)
    schema = schemas.with_features(schemas.CATALOGUE, features)
    if not source.configured:
        return tables.empty_table(job.spark, schema)
    columns = source.columns.model_dump()
    raw = read_raw(job, source, "catalogue", columns)
    missing = [
        f"catalogue: column {name} is missing. Columns present: {raw.columns}. "
        "Change activity.features in the configuration."
        for name in features
        if name not in raw.columns
    ]
    if missing:
        raise SchemaError("\n".join(missing))
    rows = sources.filter_source(raw, source, "catalogue")
    numbers = [*features, *([columns["price"]] if columns["price"] else [])]
    findings.note_numbers(job, rows, numbers)
    return catalogue.build_catalogue(rows, columns, features, ends_at=job.ends_at)


def read_provided_holdout(job: Job) -> DataFrame:
    """(user_id, item_id, negatives: array of item ids) of the provided test set."""
    source = job.config.split.holdout
    columns = source.columns.model_dump()
    raw = read_raw(job, source, "split.holdout", columns)
    negatives = sources.column(columns["negatives"]) if columns["negatives"] else F.array()
    return sources.filter_source(raw, source, "split.holdout").select(
        sources.column(columns["user"]).cast("string").alias("user_id"),
        sources.column(columns["item"]).cast("string").alias("item_id"),
        negatives.cast("array<string>").alias("negatives"),
    )


def read_raw(job: Job, source: Source, name: str, columns: dict[str, str | None]) -> DataFrame:
    """The rows of a configured source, whose columns and filter are checked but not applied."""
    raw = sources.read_source(job.spark, source, name)
    sources.check_columns(raw, columns, name)
    if source.where is not None:
        sources.check_where(raw, source.where, name)
    return raw


def read_events(job: Job) -> DataFrame:
    """Every raw event, with the reason why it is dropped, or none."""
    settings = job.config.input
    columns = settings.columns.model_dump()
    raw = read_raw(job, settings, "input", columns)
    findings.check_types(job, {name: raw.schema[name] for name in columns.values() if name})
    if settings.time_format not in events.TIME_FORMATS:
        sources.check_time_format(job.spark, settings.time_format)
    window = settings.window_days
    return events.build_events(
        raw,
        columns,
        settings.time_format,
        settings.event_weights,
        settings.min_value,
        settings.where,
        starts_at=None if window is None else job.ends_at - timedelta(days=window),
        ends_at=job.ends_at,
    )


def _check_times(job: Job, raw: Mapping[str, int]) -> None:
    settings, bad, total = job.config.input, raw["bad_time"], sum(raw.values())
    if bad <= settings.max_bad_time_share * total:
        return
    unreadable = read_events(job).where(F.col("drop_reason") == "bad_time")
    examples = [row[0] for row in unreadable.select("raw_time").limit(3).collect()]
    raise DataError(
        f"input: column {settings.columns.time} does not parse as a time in {bad:,} of {total:,} "
        f"rows ({bad / total:.2%}), for instance {examples}. input.time_format is "
        f"{settings.time_format}; set it to the pattern of these values, or raise "
        "input.max_bad_time_share to drop such rows."
    )


def _with_min_counts(job: Job, pairs: DataFrame) -> DataFrame:
    """Drops small users and small items, in turns, until a turn finds none.

    Staged in each turn are the ids that go, of which there are few, not the rows that stay.
    """
    settings = job.config.input
    least = {"user_id": settings.min_user_items, "item_id": settings.min_item_users}
    sides = [name for name in least if least[name] > 1]
    if not sides:
        return pairs
    if len(sides) == 1:
        rare = events.build_rare_ids(pairs, sides[0], at_least=least[sides[0]])
        return events.filter_out_ids(pairs, rare)
    left, gone = pairs, dict[str, DataFrame]()
    for turn in itertools.count():
        name = sides[turn % len(sides)]
        rare = events.build_rare_ids(left, name, at_least=least[name])
        rare = job.stage(rare, f"{name}/turn={turn}")
        gone[name] = gone[name].union(rare) if name in gone else rare
        left = reduce(events.filter_out_ids, gone.values(), pairs)
        # What the other side counted in its last turn still holds then.
        if turn > 0 and rare.isEmpty():
            return left
    raise AssertionError("unreachable")


def _report_counts(job: Job, raw: Mapping[str, int]) -> None:
    """Notes the events left after each filter; an empty result is an error with these figures.

    Args:
        raw: raw events by drop reason, and those that are kept.
    """
    distinct, used = job.counts["history"]["kept"], job.counts["interactions"]["num_events"]
    figures = {"raw events": sum(raw.values())}
    for reason, meaning in events.DROP_REASONS.items():
        if raw[reason]:
            figures[f"dropped, {reason} ({meaning})"] = raw[reason]
    figures["dropped, duplicates"] = raw["kept"] - distinct
    figures["dropped, of users or items below the minimum counts"] = distinct - used
    figures["events used"] = used
    figures["interactions"] = job.num_rows("interactions")
    job.note("events", figures)
    if not figures["interactions"]:
        lines = "\n".join(f"  {name}: {count:,}" for name, count in figures.items())
        raise DataError(
            f"interactions: no row is left. Rows after each filter:\n{lines}\n"
            "Loosen the filter that took them (section input of the configuration)."
        )
