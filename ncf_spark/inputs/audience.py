"""Who is written to: the customer's recipients, suppression lists and send log come in here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StringType, StructField, StructType

from ncf_spark import schemas
from ncf_spark.config import Config, Source
from ncf_spark.inputs import sources
from ncf_spark.inputs.canonical import address, id_key
from ncf_spark.inputs.columns import id_column, id_finding, time_column, time_text
from ncf_spark.inputs.consent import consent
from ncf_spark.inputs.intake import read_raw
from ncf_spark.inputs.text import Options
from ncf_spark.pipeline.context import Job

_ROW_ID = StructField("row_id", LongType())


@dataclass(frozen=True)
class Audience:
    """The customer's tables of people in our terms, as they are read: not checked yet.

    Args:
        recipients: `schemas.RECIPIENTS` with consent_text, email_text, last_sent_at_text (as they
            were written), is_no_address and user_finding (`columns.id_finding`); None: not
            configured.
        suppressions: `schemas.SUPPRESSIONS` by the list's name, with user_text, email_text,
            email_sha256_text, is_no_address, is_garbled, has_rows_in_cell, user_id and
            user_finding.
        send_log: `schemas.SEND_LOG` with sent_at_text, user_finding and item_finding; None: not
            configured.
    """

    recipients: DataFrame | None
    suppressions: dict[str, DataFrame]
    send_log: DataFrame | None


def sources_of_people(config: Config) -> dict[str, Source]:
    """Recipients, send log and suppression lists, by the section that names them."""
    lists = {f"suppressions.{name}": one for name, one in config.suppressions.items()}
    return {"recipients": config.recipients, "send_log": config.send_log, **lists}


def read_audience(job: Job) -> Audience:
    """The configured tables of people.

    Raises:
        DataError: when a place does not exist, or a condition does not fit its table.
        SchemaError: when a configured column is missing.
    """
    config = job.config
    return Audience(
        read_recipients(job) if config.recipients.configured else None,
        {name: read_suppression_list(job, name) for name in config.suppressions},
        _read_send_log(job) if config.send_log.configured else None,
    )


def read_send_log(job: Job) -> DataFrame | None:
    """`schemas.SEND_LOG`; rows without a user or a time count for nobody. None: no log."""
    if not job.config.send_log.configured:
        return None
    return schemas.conform(_read_send_log(job), schemas.SEND_LOG, "send_log")


def read_recipients(job: Job) -> DataFrame:
    """As `Audience.recipients`."""
    source = job.config.recipients
    names = ("user", "email", "locale", "country", "segment", "consent", "last_sent_at")
    words = source.consent_values
    rows = _texts(job, source, "recipients", names, source.time_format).withColumns(
        {"found": address(F.col("email")), "key": id_key(F.col("user"))}
    )
    email = F.when(~F.col("found.is_garbled"), F.col("found.email"))
    return rows.select(
        F.when(F.col("key").isNotNull(), F.col("user")).alias("user_id"),
        F.col("key").alias("user"),
        email.alias("email"),
        "found.address",
        "found.spellings",
        *("locale", "country", "segment"),
        consent(F.col("consent"), words.yes, words.no).alias("consent"),
        "last_sent_at",
        F.col("consent").alias("consent_text"),
        F.col("email").alias("email_text"),
        "last_sent_at_text",
        (F.col("found").isNotNull() & email.isNull()).alias("is_no_address"),
        "user_finding",
    )


def read_suppression_list(job: Job, name: str, *, numbered: bool = False) -> DataFrame:
    """One suppression list, as in `Audience`.

    Args:
        numbered: whether `row_id` numbers the rows of the table from 0, in their order and before
            `where`.
    """
    source = job.config.suppressions[name]
    names = ("user", "email", "email_sha256")
    rows = _texts(job, source, f"suppressions.{name}", names, numbered=numbered)
    found = F.col("found")
    is_garbled = found["is_garbled"] | F.contains("user", F.lit("\ufffd"))
    return rows.withColumn("found", address(F.col("email"))).select(
        id_key(F.col("user")).alias("user"),
        "found.spellings",
        id_key(F.col("email_sha256")).alias("email_sha256"),
        *[F.col(one).alias(f"{one}_text") for one in names],
        (found.isNotNull() & found["address"].isNull()).alias("is_no_address"),
        F.coalesce(is_garbled, F.lit(False)).alias("is_garbled"),
        "has_rows_in_cell",
        F.col("user").alias("user_id"),
        "user_finding",
        *(["row_id"] if numbered else []),
    )


def _read_send_log(job: Job) -> DataFrame:
    source = job.config.send_log
    names = ("user", "item", "campaign", "sent_at")
    return _texts(job, source, "send_log", names, source.time_format).select(
        F.col("user").alias("user_id"),
        F.col("item").alias("item_id"),
        F.col("campaign").alias("campaign_id"),
        *("sent_at", "sent_at_text", "user_finding", "item_finding"),
    )


def _texts(
    job: Job,
    source: Source,
    name: str,
    ours: tuple[str, ...],
    time_format: str | None = None,
    *,
    numbered: bool = False,
) -> DataFrame:
    """The source's columns by our names; what is not configured is null.

    Ids have their `id_finding` beside them (`user_finding`), times what is written
    (`sent_at_text`), and all others are texts.
    """
    columns = source.columns.model_dump()  # type: ignore[attr-defined]
    raw = read_raw(job, source, name, columns, time_format, f"{name}.time_format")
    if numbered:
        rows = raw.rdd.zipWithIndex().map(lambda pair: (*pair[0], pair[1]))
        raw = job.spark.createDataFrame(rows, StructType([*raw.schema, _ROW_ID]))
    kept = sources.filter_source(raw, source, name)
    found: dict[str, Column] = {}
    for one in ours:
        column = columns[one]
        if one in ("user", "item", "campaign"):
            found |= {one: id_column(kept, column), f"{one}_finding": id_finding(kept, column)}
        elif one.endswith("_at"):
            found[one] = time_column(kept, column, str(time_format))
            found[f"{one}_text"] = time_text(kept, column)
        else:
            found[one] = (sources.column(column) if column else F.lit(None)).cast("string")
    if name.startswith("suppressions."):
        found["has_rows_in_cell"] = _has_rows_in_cell(kept, Options(source.options).sep)
    more = ["row_id"] if numbered else []
    return kept.select(*[column.alias(one) for one, column in found.items()], *more)


def _has_rows_in_cell(rows: DataFrame, sep: str) -> Column:
    """Whether a text holds lines that look like rows with an address: of a quote left open."""
    sep = re.escape(sep)
    row = rf"[\r\n][^\r\n]*(?:@[^\r\n]*{sep}|{sep}[^\r\n]*@)"
    texts = [f.name for f in rows.schema if isinstance(f.dataType, StringType)]
    found = [F.coalesce(sources.column(name).rlike(row), F.lit(False)) for name in texts]
    return reduce(or_, found, F.lit(False))
