"""Whether the tables of people can be used as they are: looked at before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DataType, NumericType

from ncf_spark import schemas
from ncf_spark.errors import DataError
from ncf_spark.inputs import values
from ncf_spark.inputs.audience import Audience, sources_of_people
from ncf_spark.inputs.canonical import masked
from ncf_spark.inputs.consent import means_no_mail
from ncf_spark.inputs.suppression_checks import LIST_KINDS, count_lists, problems_of_lists
from ncf_spark.inputs.time_checks import Times
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log
from ncf_spark.pipeline.staleness import fingerprints
from ncf_spark.schemas.results import Preparation, find_result
from ncf_spark.storage import tables
from ncf_spark.storage.read_failures import first_line

# How many texts that are no consent a message shows.
_MOST_TEXTS = 5


@dataclass(frozen=True)
class People:
    """What was found in the tables of people.

    Args:
        files: what tells the files of each apart from others, by section; without catalog tables,
            of which only the name is known.
        suppression_rows: rows of each list by what they hold.
    """

    files: dict[str, str]
    suppression_rows: dict[str, dict[str, int]]


def check_audience(job: Job, audience: Audience) -> People:
    """Counts what these tables hold, and warns of what is odd.

    Raises:
        DataError: when a condition does not fit its table, nobody says yes to mail, a list has rows
            that would bar nobody, or times cannot be read; with all that is wrong.
    """
    files, problems = _files(job), list[str]()
    if audience.recipients is not None:
        named = audience.recipients.select("user_id", "locale", "country", "segment")
        _check_sql(named, job.config.campaign.audience, "campaign.audience", BooleanType)
        problems += _problems_of_recipients(job, audience.recipients)
    rows = count_lists(audience.suppressions)
    problems += problems_of_lists(job, audience.suppressions, rows)
    if audience.send_log is not None:
        problems += _problems_of_send_log(job, audience.send_log)
    if problems:
        raise DataError("\n".join(problems))
    held = {
        name: {kind: rows[name][kind] if name in rows else 0 for kind in LIST_KINDS}
        for name in audience.suppressions
    }
    return People(files, held)


def checked_before(job: Job) -> People | None:
    """What the run's first step found, where it looked at these files with these settings."""
    record = job.run.step_record("build_interactions")
    prepared = find_result(record, Preparation)
    if record is None or prepared is None:
        return None
    now, sections = job.config.model_dump(mode="json"), ("recipients", "suppressions", "send_log")
    people = sources_of_people(job.config).values()
    if any(one.table is not None for one in people):
        return None  # Of a catalog table only the name is known.
    if any(record["config"][section] != now[section] for section in sections):
        return None
    files = _files(job)
    return People(files, prepared.suppression_rows) if files == prepared.people_files else None


def _files(job: Job) -> dict[str, str]:
    found = fingerprints(job, sources_of_people(job.config))
    return {name: one["hash"] for name, one in found.items() if "hash" in one}


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


def _problems_of_recipients(job: Job, rows: DataFrame) -> list[str]:
    columns, times = job.config.recipients.columns, _times(job, "recipients", "last_sent_at")
    is_user, is_said = F.col("user_id").isNotNull(), F.trim("consent_text") != ""
    no_answer = is_user & F.col("consent").isNull()
    found = _first(
        rows.agg(
            F.count(F.lit(1)).alias("rows"),
            F.count_if(is_user & F.col("consent")).alias("consenting"),
            F.count_if(is_user & ~F.col("consent")).alias("refusing"),
            F.count_if(no_answer).alias("with no or an unreadable consent"),
            F.count_if(~is_user).alias("without a user id"),
            F.count_if(no_answer & is_said).alias("unread"),
            F.count_if("is_no_address").alias("no_address"),
            F.min(F.when(F.col("is_no_address"), F.col("email_text"))).alias("email"),
            *values.named(values.count_ids("user"), *[one.counts for one in times]),
        )
    )
    values.note_ids(job, "recipients", "user", found.asDict(), rows)
    answers = ("consenting", "refusing", "with no or an unreadable consent", "without a user id")
    counts = {name: found[name] for name in answers if found[name]}
    job.note("rows of recipients", counts)
    if found["no_address"]:
        job.note("rows of recipients whose address cannot be one, left out", found["no_address"])
        log.warning(
            "recipients: column %s holds no address, or more than one, in %s of %s rows, e.g. %r: "
            "no mail is addressed there",
            *(columns.email, f"{found['no_address']:,}", f"{found['rows']:,}"),
            masked(found["email"]),
        )
    problems, unread = [*_problem_of_consent(job)], ""
    if found["unread"]:
        unread = _unread_consents(rows, found["unread"], columns.consent)
    if not found["consenting"]:
        told = "; ".join(f"{name} {num:,}" for name, num in counts.items()) or "there are none"
        problems.append(
            f"recipients: nobody says yes to mail (column {columns.consent}). Rows: {told}. "
            f"{f'Not understood: {unread}. ' if unread else ''}Name the words that mean it by "
            "recipients.consent_values: {yes: [...], no: [...]}, or another column by "
            "recipients.columns.consent."
        )
    elif unread:
        log.warning(
            "recipients: consent is neither yes nor no in %s rows, which get nothing: %s. Name the "
            "words that mean it by recipients.consent_values: {yes: [...], no: [...]}.",
            *(f"{found['unread']:,}", unread),
        )
    if job.config.campaign.frequency is not None:
        problems += [text for one in times if (text := one.problem(found.asDict(), rows))]
    return problems


def _problem_of_consent(job: Job) -> Iterator[str]:
    name, words = job.config.recipients.columns.consent, job.config.recipients.consent_values
    if means_no_mail(name) and not (words.yes or words.no):
        yield (
            f"recipients: column {name} (recipients.columns.consent) is called like the opposite "
            "of consent, and who has a yes there would be written to. Say which of its words "
            "allow mail by recipients.consent_values, for instance {yes: ['no'], no: ['yes']}."
        )


def _unread_consents(rows: DataFrame, num_unread: int, name: str) -> str:
    """The most frequent texts that are no consent; shortened where they may be personal data.

    Args:
        name: the customer's name of the column.
    """
    is_unread = F.col("consent").isNull() & (F.trim("consent_text") != "")
    counted = rows.where(is_unread).groupBy("consent_text").agg(F.count(F.lit(1)).alias("n"))
    found = counted.orderBy(F.desc("n"), "consent_text").limit(_MOST_TEXTS + 1).collect()
    shown = {row["consent_text"]: row["n"] for row in found[:_MOST_TEXTS]}
    # What has many values is another column: of names or addresses, and these belong into no log.
    is_consent = len(found) <= _MOST_TEXTS or sum(shown.values()) > 0.75 * num_unread
    if is_consent and not any("@" in text for text in shown):
        return str(shown)
    told = ", ".join(f"{masked(text)!r} ({num:,})" for text, num in shown.items())
    return f"{told}{' …' if len(found) > _MOST_TEXTS else ''} (is {name} the column of consents?)"


def _problems_of_send_log(job: Job, rows: DataFrame) -> list[str]:
    columns, [sent_at] = job.config.send_log.columns, _times(job, "send_log", "sent_at")
    is_empty = F.col("user_id").isNull() | F.col("sent_at_text").isNull()
    found = _first(
        rows.agg(
            F.count(F.lit(1)).alias("rows"),
            F.count_if(is_empty).alias("empty"),
            *values.named(sent_at.counts, values.count_ids("user"), values.count_ids("item")),
        )
    )
    job.note("rows of send_log without a user or a time, left out", found["empty"])
    for side in ("user", "item"):
        values.note_ids(job, "send_log", side, found.asDict(), rows)
    if found["rows"] and found["empty"] == found["rows"]:
        return [
            f"send_log: none of its {found['rows']:,} rows has a user and a time (columns "
            f"{columns.user}, {columns.sent_at})."
        ]
    problem = sent_at.problem(found.asDict(), rows)
    return [] if problem is None else [problem]


def _times(job: Job, section: str, ours: str) -> list[Times]:
    """The configured times of a section: one, or none."""
    source = getattr(job.config, section)
    name = getattr(source.columns, ours)
    if name is None:
        return []
    text, read = F.col(f"{ours}_text"), F.col(ours)
    return [Times(section, ours, name, text, read, source.time_format)]


def _first(rows: DataFrame) -> Any:
    [row] = rows.collect()
    return row


def _check_sql(rows: DataFrame, sql: str | None, setting: str, kind: type[DataType]) -> None:
    """Raises DataError when an SQL expression does not fit the columns of `rows`, or its use."""
    if sql is None:
        return
    try:
        [field] = rows.select(F.expr(sql)).schema
    except PySparkException as error:
        raise DataError(
            f"{setting}: {first_line(error)} Columns present: {rows.columns}."
        ) from None
    if not isinstance(field.dataType, kind):
        wanted = "true or false" if kind is BooleanType else "a number"
        found = field.dataType.simpleString()
        raise DataError(f"{setting}: {sql} is of type {found}; it should be {wanted}.")
