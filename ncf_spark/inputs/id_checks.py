"""Whether the ids of the customer's tables are those of the events, as far as they have to be."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.errors import DataError
from ncf_spark.inputs.audience import Audience
from ncf_spark.inputs.canonical import masked
from ncf_spark.inputs.intake import read_provided_holdout
from ncf_spark.inputs.matching import Matches, build_matches, count_matches, differences
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log

_NUM_EXAMPLES = 3


def check_ids(job: Job, audience: Audience, user_index: DataFrame) -> None:
    """Counts the recipients whose id no user of the events has.

    Raises:
        DataError: when most of them are such, or ids of a suppression list or the log of what was
            sent would be those of recipients were they written alike.
    """
    users = user_index.select("user_id")
    if audience.recipients is not None:
        _check_recipients(job, audience.recipients.select("user_id"), users)
        users = audience.recipients.select("user_id")
        keys = audience.recipients.select("user")
        for name, rows in audience.suppressions.items():
            if job.config.suppressions[name].columns.user is not None:
                _check_list(name, rows.select("user"), keys)
    if audience.send_log is not None:
        _check_send_log(job, audience.send_log.select("user_id"), users)


def check_catalogue(job: Job, interactions: DataFrame, catalogue: DataFrame) -> None:
    """Counts the items with events that the catalogue lacks: they are never recommended.

    Raises:
        DataError: when it lacks all of them, or more of them are in it but written otherwise than
            are in it as they are.
    """
    if not job.config.catalogue.configured:
        return
    items = interactions.select("item_id").distinct()
    matches = build_matches(items, catalogue.select("item_id"))
    found = count_matches(matches)
    num_missing = found.num_rows - found.num_known
    if num_missing:
        message = (
            f"catalogue: {num_missing:,} of {found.num_rows:,} items with events are not in it"
            f"{_examples(matches, 'The catalogue has')}"
        )
        if not found.num_known or found.num_near > found.num_known:
            raise DataError(
                f"{message} Write the ids alike (catalogue.derived), or name the right column "
                "(catalogue.columns.item)."
            )
        log.warning("%s They will not be recommended.", message)
    job.note("items with events that are not in the catalogue", num_missing)


def check_provided(job: Job, interactions: DataFrame) -> None:
    """Raises DataError when most users or items of a provided test set are none of the events."""
    if job.config.split.method != "provided":
        return
    provided, problems = read_provided_holdout(job), list[str]()
    for side in ("user", "item"):
        matches = build_matches(provided.select(f"{side}_id"), interactions.select(f"{side}_id"))
        found = count_matches(matches)
        if found.num_known < found.num_rows / 2:
            name = getattr(job.config.split.holdout.columns, side)
            problems.append(
                f"split.holdout: column {name} holds ids in {found.num_rows - found.num_known:,} "
                f"of {found.num_rows:,} rows that no event has"
                f"{_examples(matches, 'Events have')} Write the ids alike (split.holdout.derived), "
                f"or name the right column (split.holdout.columns.{side})."
            )
    if problems:
        raise DataError("\n".join(problems))


def _check_recipients(job: Job, ids: DataFrame, users: DataFrame) -> None:
    settings = job.config.recipients

    def is_wrong(found: Matches) -> bool:
        most = settings.max_unknown_share * found.num_rows
        return found.num_rows - found.num_known > most or found.num_near > found.num_known

    matches, found = _matched(ids, users, is_wrong, job)
    num_unknown = found.num_rows - found.num_known
    job.note("rows of recipients whose user has no events", num_unknown)
    if not (is_wrong(found) or found.num_near):
        return
    message = (
        f"recipients: column {settings.columns.user} holds ids in {num_unknown:,} of "
        f"{found.num_rows:,} rows that no user of the events has"
        f"{_examples(matches, 'Users of the events are')}"
    )
    if not is_wrong(found):
        log.warning("%s They get what new users get.", message)
        return
    raise DataError(
        f"{message} They would all get what new users get. Write the ids alike "
        "(recipients.derived), name the right column (recipients.columns.user), or raise "
        f"recipients.max_unknown_share ({settings.max_unknown_share}) if that many of them are new."
    )


def _matched(
    ids: DataFrame, users: DataFrame, is_wrong: Callable[[Matches], bool], job: Job
) -> tuple[DataFrame, Matches]:
    """The ids among those of `users`, or, where too few are, of all with any event."""
    matches = build_matches(ids, users)
    found = count_matches(matches)
    if is_wrong(found):
        # Users with too few or too old events have no number, but are known.
        history = job.read("history", schemas.KEPT_HISTORY)
        matches = build_matches(ids, users.union(history.select("user_id")))
        found = count_matches(matches)
    return matches, found


def _check_list(name: str, ids: DataFrame, recipients: DataFrame) -> None:
    matches = build_matches(ids, recipients)
    found = count_matches(matches)
    if found.num_near:
        raise DataError(
            f"suppressions.{name}: {found.num_near:,} of {found.num_rows:,} ids are those of "
            "recipients but for how they are written, and would bar nobody"
            f"{_examples(matches, 'Recipients are')} Write them alike "
            f"(suppressions.{name}.derived). Only where they are ids of other people, leave such "
            f"rows out by suppressions.{name}.where."
        )
    # An id that nobody has is normal on a list of old customers, but not when all are such.
    if found.num_rows and not found.num_known:
        log.warning(
            "suppressions.%s: none of its %s ids is that of a recipient, so they bar nobody%s",
            *(name, f"{found.num_rows:,}", _examples(matches, "Recipients are")),
        )


def _check_send_log(job: Job, ids: DataFrame, recipients: DataFrame) -> None:
    matches = build_matches(ids, recipients)
    found = count_matches(matches)
    if not found.num_rows or (found.num_known and not found.num_near):
        return
    message = (
        f"send_log: {found.num_rows - found.num_known:,} of {found.num_rows:,} rows have an id "
        f"(column {job.config.send_log.columns.user}) that no recipient has"
        f"{_examples(matches, 'Recipients are')}"
    )
    if found.num_known and found.num_near <= found.num_known:
        log.warning("%s These mails count for nobody.", message)
        return
    raise DataError(
        f"{message} These mails would count for nobody. Write the ids alike (send_log.derived), "
        "or name the right column (send_log.columns.user)."
    )


def _examples(matches: DataFrame, known_are: str) -> str:
    """`, e.g. …`: ids that do not match, ids that they should match, and what keeps them apart."""
    unknown = matches.where("unknown_id is not null")
    near_first = F.col("known_id").isNull()
    rows = unknown.orderBy(near_first, "unknown_id").limit(_NUM_EXAMPLES).collect()
    known = matches.where("known_id is not null").orderBy("known_id").limit(_NUM_EXAMPLES)
    near = [row for row in rows if row["known_id"] is not None]
    known_ids = [row["known_id"] for row in near] or [row["known_id"] for row in known.collect()]
    told = f", e.g. {_quoted([row['unknown_id'] for row in rows])}. "
    told += f"{known_are} e.g. {_quoted(known_ids)}." if known_ids else f"{known_are} none."
    reasons = dict.fromkeys(
        reason for row in near for reason in differences(row["unknown_id"], row["known_id"])
    )
    return told + (f" They would match without {' and '.join(reasons)}." if reasons else "")


def _quoted(ids: list[str]) -> str:
    return ", ".join(ascii(masked(one)) if "@" in one else ascii(one) for one in ids)
