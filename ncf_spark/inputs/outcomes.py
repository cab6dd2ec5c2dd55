"""The events that followed a campaign, checked and in our terms."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.errors import ConfigError, DataError
from ncf_spark.inputs import columns as read
from ncf_spark.inputs import sources, values
from ncf_spark.inputs.checks import check_files
from ncf_spark.inputs.intake import read_raw
from ncf_spark.inputs.time_checks import Times
from ncf_spark.pipeline.context import Job

# Above this share of times that are none, or are of another age, nothing is measured.
_MAX_BAD_SHARE = 0.5


def read_outcomes(job: Job) -> DataFrame:
    """(user_id, type, event_at, value, campaign_id), one row an event; null: cannot be read.

    Raises:
        ConfigError: when no source of later events is configured.
        SchemaError: when a configured column is missing or of a type that cannot serve.
        DataError: when the source cannot be read, or most of its times.
    """
    source = job.config.outcomes
    if not source.configured:
        raise ConfigError(
            "outcomes.path: is not set, so there is nothing to measure by. Name the events that "
            "followed the campaign in outcomes.path or outcomes.table."
        )
    time_format = source.time_format or job.config.input.time_format
    columns = source.columns.model_dump()
    check_files(job.spark, {"outcomes": source})
    raw = read_raw(job, source, "outcomes", columns, time_format, "outcomes.time_format")
    rows = sources.filter_source(raw, source, "outcomes")
    events = rows.select(
        read.id_column(raw, columns["user"]).alias("user_id"),
        read.id_finding(raw, columns["user"]).alias("user_finding"),
        read.text_column(columns["type"]).alias("type"),
        read.time_column(raw, columns["time"], time_format).alias("event_at"),
        read.time_text(raw, columns["time"]).alias("event_at_text"),
        read.number_column(columns["value"]).alias("value"),
        read.id_column(raw, columns["campaign"]).alias("campaign_id"),
    )
    _check(job, events, time_format)
    return events.drop("user_finding", "event_at_text")


def _check(job: Job, events: DataFrame, time_format: str) -> None:
    has_user = F.col("user_id").isNotNull()
    text, at = (F.when(has_user, F.col(name)) for name in ("event_at_text", "event_at"))
    times = Times(
        *("outcomes", "time", job.config.outcomes.columns.time, text, at, time_format),
        max_bad_share=_MAX_BAD_SHARE,
    )
    asked = {"with a user": F.count_if(has_user), **times.counts, **values.count_ids("user")}
    [row] = events.agg(*[count.alias(name) for name, count in asked.items()]).collect()
    values.note_ids(job, "outcomes", "user", row.asDict(), events)
    if row["with a user"] and not row["time filled"]:
        raise DataError(
            f"outcomes: column {times.name} (outcomes.columns.time) is empty in all of "
            f"{row['with a user']:,} rows with a user. Name the column with the time of the event."
        )
    if problem := times.problem(row.asDict(), events):
        raise DataError(problem)
