"""The customer's tables, checked and counted, in our terms: where a night's input comes in."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType

from ncf_spark import schemas
from ncf_spark.config import Source
from ncf_spark.errors import DataError, SchemaError
from ncf_spark.inputs import sources
from ncf_spark.interactions import catalogue, events
from ncf_spark.interactions.columns import TIME_FORMATS, id_column, id_finding, id_text
from ncf_spark.job import event_findings, findings
from ncf_spark.job.catalogue_findings import note_catalogue_values
from ncf_spark.job.column_types import check_types
from ncf_spark.job.context import Job
from ncf_spark.storage import tables


def write_interactions(job: Job) -> DataFrame:
    """Reads the raw events, once, and writes `history` and `interactions`.

    Counts what each filter drops.

    Raises:
        SchemaError: when a configured column is missing or of a type that cannot serve.
        DataError: when the input cannot be read, too many times don't parse or are of another age,
            or nothing is left.
    """
    settings, types = job.config.input, job.config.campaign.pairs
    job.note("input", {"from": settings.table or settings.path, "format": settings.format})
    observation = Observation()
    aggregates = {**events.count_raw(), **events.count_odd()}
    counted = [count.alias(name) for name, count in aggregates.items()]
    rows = events.build_history(
        read_events(job).observe(observation, *counted),
        drop_duplicates=settings.duplicates == "drop",
        bought_types=types.bought_types,
        wanted_types=types.wanted_types,
    )
    kept = {"kept": F.sum("num_kept")}
    history = job.write("history", rows, schemas.KEPT_HISTORY, counts=kept)
    raw = _check_events(job, observation.get)
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
    raw = read_raw(job, source, "catalogue", columns, source.time_format, "catalogue.time_format")
    missing = [
        f"catalogue: column {name} is missing. Columns present: {raw.columns}. "
        "Change activity.features in the configuration."
        for name in features
        if name not in raw.columns
    ]
    if missing:
        raise SchemaError("\n".join(missing))
    rows = sources.filter_source(raw, source, "catalogue")
    note_catalogue_values(job, rows, features)
    return catalogue.build_catalogue(
        rows, columns, features, ends_at=job.ends_at, time_format=source.time_format
    )


def read_provided_holdout(job: Job) -> DataFrame:
    """The provided test set: user_id, item_id, negatives (array of item ids).

    And user_finding and item_finding, of `columns.id_finding`.
    """
    source = job.config.split.holdout
    columns = source.columns.model_dump()
    raw = read_raw(job, source, "split.holdout", columns)
    rows = sources.filter_source(raw, source, "split.holdout")
    return rows.select(
        id_column(raw, columns["user"]).alias("user_id"),
        id_column(raw, columns["item"]).alias("item_id"),
        _negatives(raw, columns["negatives"]).alias("negatives"),
        id_finding(raw, columns["user"]).alias("user_finding"),
        id_finding(raw, columns["item"]).alias("item_finding"),
    )


def _negatives(raw: DataFrame, name: str | None) -> Column:
    if name is None:
        return F.array().cast("array<string>")
    of_array = raw.schema[name].dataType
    if not isinstance(of_array, ArrayType):
        raise SchemaError(
            f"split.holdout: column {name} (split.holdout.columns.negatives) is "
            f"{of_array.simpleString()}, expected an array of item ids. Make one by "
            "split.holdout.derived, e.g. \"split(others, ' ')\"."
        )
    return F.transform(sources.column(name), lambda item: id_text(item, of_array.elementType))


def read_raw(
    job: Job,
    source: Source,
    name: str,
    columns: dict[str, str | None],
    time_format: str | None = None,
    time_setting: str | None = None,
) -> DataFrame:
    """The rows of a configured source, whose columns and filter are checked but not applied.

    Args:
        time_format: of its columns with times; None: who reads them checks these.
        time_setting: the setting that holds it.
    """
    raw = sources.read_source(job.spark, source, name)
    sources.check_columns(raw, columns, name)
    if source.where is not None:
        sources.check_where(raw, source.where, name)
    check_types(raw, columns, name, time_format, time_setting, source.where)
    if time_format is not None and time_format not in TIME_FORMATS:
        sources.check_time_format(job.spark, time_format, str(time_setting))
    return raw


def read_events(job: Job) -> DataFrame:
    """Every raw event, with the reason why it is dropped, or none."""
    settings = job.config.input
    columns = settings.columns.model_dump()
    raw = read_raw(job, settings, "input", columns, settings.time_format, "input.time_format")
    findings.check_types(job, {name: raw.schema[name] for name in columns.values() if name})
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


def _check_events(job: Job, found: Mapping[str, int]) -> dict[str, int]:
    """The raw events by drop reason, after a look at what else was counted."""

    def passing() -> DataFrame:
        return read_events(job).where("drop_reason is null or drop_reason <> 'where'")

    raw = {reason: found[reason] for reason in ("kept", *events.DROP_REASONS)}
    event_findings.check_times(job, raw, passing)
    event_findings.check_ages(job, raw, found["implausible"], passing)
    event_findings.note_event_ids(job, found["odd_ids"], passing)
    event_findings.warn_of_drops(job, raw, passing)
    return raw


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
    dropped = {reason: raw[reason] for reason in events.DROP_REASONS if raw[reason]}
    dropped |= {"duplicates": raw["kept"] - distinct, "minimum_counts": distinct - used}
    num_raw, num_pairs = sum(raw.values()), job.num_rows("interactions")
    job.note(
        "events",
        {
            "raw events": num_raw,
            "dropped": dropped,
            "events used": used,
            "interactions": num_pairs,
        },
    )
    if not num_pairs:
        meanings = events.DROP_REASONS | events.LATER_DROP_REASONS
        lines = [
            f"  {count:,} since {meanings[reason]}" for reason, count in dropped.items() if count
        ]
        raise DataError(
            f"interactions: no row is left of {num_raw:,} raw events. Dropped:\n"
            + "\n".join(lines)
            + "\nLoosen the filter that took them (section input of the configuration)."
        )
