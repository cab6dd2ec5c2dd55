"""The events that followed a campaign, checked and in our terms."""

from __future__ import annotations

from pyspark.sql import DataFrame

from ncf_spark.config import ConfigError
from ncf_spark.inputs import sources
from ncf_spark.inputs.checks import check_files
from ncf_spark.interactions import columns as read
from ncf_spark.job.context import Job
from ncf_spark.job.intake import read_raw


def read_outcomes(job: Job) -> DataFrame:
    """(user_id, type, event_at, value, campaign_id), one row an event; null: cannot be read.

    Raises:
        ConfigError: when no source of later events is configured.
        SchemaError: when a configured column is missing or of a type that cannot serve.
        DataError: when the source cannot be read.
    """
    source, time_format = job.config.outcomes, job.config.input.time_format
    if not source.configured:
        raise ConfigError(
            "outcomes.path: is not set, so there is nothing to measure by. Name the events that "
            "followed the campaign in outcomes.path or outcomes.table."
        )
    columns = source.columns.model_dump()
    check_files(job.spark, {"outcomes": source})
    raw = read_raw(job, source, "outcomes", columns, time_format, "input.time_format")
    return sources.filter_source(raw, source, "outcomes").select(
        read.id_column(raw, columns["user"]).alias("user_id"),
        read.text_column(columns["type"]).alias("type"),
        read.time_column(raw, columns["time"], time_format).alias("event_at"),
        read.number_column(columns["value"]).alias("value"),
        read.id_column(raw, columns["campaign"]).alias("campaign_id"),
    )
