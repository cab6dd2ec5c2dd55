"""Who is written to: the customer's recipients, suppression lists and send log come in here."""

from __future__ import annotations

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DataType, NumericType

from ncf_spark import schemas
from ncf_spark.campaign import recipients
from ncf_spark.config import Source
from ncf_spark.inputs import sources
from ncf_spark.interactions.columns import id_column
from ncf_spark.job import findings
from ncf_spark.job.context import Job
from ncf_spark.job.intake import read_raw
from ncf_spark.schemas import DataError
from ncf_spark.storage import tables


def check_audience(job: Job) -> None:
    """Raises what is wrong with the place, columns or conditions of these tables, in time."""
    if job.config.recipients.configured:
        raw = _read_recipients(job)
        _check_last_mails(job, raw)
        users = recipients.build_users(_conform(raw))
        named = users.select("user_id", "locale", "country", "segment")
        _check_sql(named, job.config.campaign.audience, "campaign.audience", BooleanType)
    for name, rows in _read_suppressions(job).items():
        _check_suppressions(name, rows)
    if job.config.send_log.configured:
        _check_send_log(job)


def check_item_rules(job: Job) -> None:
    """Raises DataError when an SQL of section campaign does not fit the columns of items."""
    names = ("item_id", "title", "category", "brand", "price", "url", "image_url")
    items = tables.empty_table(job.spark, schemas.CATALOGUE).select(*names)
    rules = job.config.campaign
    conditions = {
        "campaign.items.where": rules.items.where,
        "campaign.pairs.consumable": rules.pairs.consumable,
        "campaign.lists.pin": rules.lists.pin,
    }
    for setting, condition in conditions.items():
        _check_sql(items, condition, setting, BooleanType)
    _check_sql(items, rules.lists.boost, "campaign.lists.boost", NumericType)


def read_users(job: Job, present: DataFrame) -> DataFrame:
    """The recipients, one row a user; all of `present` (user_id, …) where none are configured."""
    if not job.config.recipients.configured:
        nothing = [
            F.lit(None).cast(field.dataType).alias(field.name)
            for field in schemas.RECIPIENTS
            if field.name not in ("user_id", "consent")
        ]
        rows = present.select("user_id", *nothing, F.lit(True).alias("consent"))
        return recipients.build_users(rows)
    raw = _read_recipients(job)
    _check_last_mails(job, raw)
    rows = _conform(raw)
    findings.note_recipients(job, rows, raw)
    return recipients.build_users(rows)


def read_countries(job: Job) -> DataFrame | None:
    """(user_id, country) of the recipients; None where no item is bound to countries."""
    source = job.config.recipients
    is_known = source.configured and source.columns.country is not None
    if not is_known or job.config.catalogue.columns.countries is None:
        return None
    return recipients.build_users(_conform(_read_recipients(job))).select("user_id", "country")


def read_suppressed(job: Job) -> DataFrame | None:
    """What the suppression lists name, as `campaign.recipients.build_suppressed`; None: no list."""
    lists = _read_suppressions(job)
    return recipients.build_suppressed(lists) if lists else None


def note_suppressions(job: Job) -> None:
    """Counts the rows of each suppression list.

    Raises:
        DataError: when a list has something else than its columns say: it would bar nobody.
    """
    counts = {
        name: _check_suppressions(name, rows) for name, rows in _read_suppressions(job).items()
    }
    if counts:
        job.note("rows of suppressions", counts)


def _read_suppressions(job: Job) -> dict[str, DataFrame]:
    """(user_id, email, email_sha256) by the list's name."""
    lists = {}
    for name, source in job.config.suppressions.items():
        rows = _texts(job, source, f"suppressions.{name}", ("user", "email", "email_sha256"))
        lists[name] = rows.withColumnRenamed("user", "user_id")
    return lists


def _check_suppressions(name: str, rows: DataFrame) -> int:
    """The rows of a list, after a look at what its columns hold."""
    email, hashed = F.trim("email"), F.trim("email_sha256")
    row = rows.agg(
        F.count(F.lit(1)).alias("rows"),
        F.count_if((email != "") & ~F.contains(email, F.lit("@"))).alias("email"),
        F.count_if((hashed != "") & ~hashed.rlike("^[0-9a-fA-F]{64}$")).alias("email_sha256"),
    ).first()
    assert row is not None
    wanted = {"email": "an address", "email_sha256": "a SHA-256 of 64 hexadecimal digits"}
    for column, what in wanted.items():
        if row[column]:
            raise DataError(
                f"suppressions.{name}.columns.{column}: {row[column]:,} of {row['rows']:,} rows "
                f"hold something else than {what} there, and would bar nobody. Name the right "
                "column (user, email or email_sha256), or leave these rows out by "
                f"suppressions.{name}.where."
            )
    return int(row["rows"])


def read_send_log(job: Job) -> DataFrame:
    """`schemas.SEND_LOG`; rows without a user or a time count for nobody."""
    return _send_log(job).select(
        F.col("user").alias("user_id"),
        F.col("item").alias("item_id"),
        F.col("campaign").alias("campaign_id"),
        _time("sent_at").alias("sent_at"),
    )


def note_send_log(job: Job) -> None:
    """Counts the rows of the log that cannot be used.

    Raises:
        DataError: when times cannot be read: those mails would count for nobody.
    """
    job.note("rows of send_log without a user or a time, left out", _check_send_log(job))


def _check_send_log(job: Job) -> int:
    """The rows without a user or a time, after a look at how times are written."""
    log = _send_log(job)
    is_empty = F.col("user").isNull() | (F.trim(F.coalesce("sent_at", F.lit(""))) == "")
    row = log.agg(F.count(F.lit(1)), F.count_if(is_empty), F.count_if(_is_no_time("sent_at")))
    [(num_rows, num_empty, num_bad)] = row.collect()
    if num_bad:
        raise DataError(
            f"send_log: column {job.config.send_log.columns.sent_at} is no time in {num_bad:,} of "
            f"{num_rows:,} rows, whose mails would count for nobody. {_TIMES} Convert them by "
            "send_log.derived, or leave such rows out by send_log.where."
        )
    if num_rows and num_empty == num_rows:
        raise DataError(
            f"send_log: none of its {num_rows:,} rows has a user and a time (columns "
            f"{job.config.send_log.columns.user}, {job.config.send_log.columns.sent_at})."
        )
    return int(num_empty)


def _check_last_mails(job: Job, raw: DataFrame) -> None:
    """Raises DataError when campaign.frequency would not hold for some recipients."""
    if job.config.campaign.frequency is None:
        return
    num_bad = raw.where(_is_no_time("last_sent_at")).count()
    if num_bad:
        raise DataError(
            f"recipients: column {job.config.recipients.columns.last_sent_at} is no time in "
            f"{num_bad:,} rows, for which campaign.frequency would not hold. {_TIMES} Convert them "
            "by recipients.derived, or do without: recipients.columns.last_sent_at: null."
        )


_TIMES = "Times are timestamps or ISO 8601 texts."


def _is_no_time(name: str) -> Column:
    return (F.trim(F.col(name)) != "") & _time(name).isNull()


def _send_log(job: Job) -> DataFrame:
    return _texts(job, job.config.send_log, "send_log", ("user", "item", "campaign", "sent_at"))


def _read_recipients(job: Job) -> DataFrame:
    """Texts, by our names; the consent as it was written is `consent_text`."""
    names = ("user", "email", "locale", "country", "segment", "consent", "last_sent_at")
    rows = _texts(job, job.config.recipients, "recipients", names)
    return rows.withColumnsRenamed({"user": "user_id", "consent": "consent_text"})


def _conform(rows: DataFrame) -> DataFrame:
    read = rows.withColumn("consent", F.expr("try_cast(consent_text AS BOOLEAN)")).withColumn(
        "last_sent_at", _time("last_sent_at")
    )
    return schemas.conform(read, schemas.RECIPIENTS, "recipients")


def _texts(job: Job, source: Source, name: str, ours: tuple[str, ...]) -> DataFrame:
    """The source's columns by our names, all as texts; what is not configured is null."""
    columns = source.columns.model_dump()  # type: ignore[attr-defined]
    raw = read_raw(job, source, name, columns)
    kept = sources.filter_source(raw, source, name)
    ids = {
        one: id_column(kept, columns[one]) for one in ours if one in ("user", "item", "campaign")
    }
    return kept.select(*[ids.get(one, _text(columns[one])).alias(one) for one in ours])


def _text(name: str | None) -> Column:
    column = sources.column(name) if name else F.lit(None)
    return column.cast("string")


def _time(name: str) -> Column:
    return F.try_to_timestamp(F.col(name))


def _check_sql(rows: DataFrame, sql: str | None, setting: str, kind: type[DataType]) -> None:
    """Raises DataError when an SQL expression does not fit the columns of `rows`, or its use."""
    if sql is None:
        return
    try:
        [field] = rows.select(F.expr(sql)).schema
    except PySparkException as error:
        raise DataError(
            f"{setting}: {sources.first_line(error)} Columns present: {rows.columns}."
        ) from None
    if not isinstance(field.dataType, kind):
        wanted = "true or false" if kind is BooleanType else "a number"
        found = field.dataType.simpleString()
        raise DataError(f"{setting}: {sql} is of type {found}; it should be {wanted}.")
