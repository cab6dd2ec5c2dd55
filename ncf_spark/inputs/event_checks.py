"""What is odd about the raw events: refused, or counted and said."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark.errors import DataError
from ncf_spark.inputs import values
from ncf_spark.inputs.columns import FIRST_YEAR, LAST_YEAR, is_implausible
from ncf_spark.inputs.values import NOTABLE_SHARE
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log
from ncf_spark.schemas.results import DROP_REASONS, Preparation, find_result


def check_events(job: Job, counted: Mapping[str, int], events: DataFrame) -> dict[str, int]:
    """Looks at what was counted of the events, and warns of what is odd.

    Args:
        counted: as of `events.count_raw` and `events.count_odd`.
        events: as of `events.build_events`, for examples.

    Returns:
        The raw events by drop reason, and those that are `kept`.

    Raises:
        DataError: when too many times don't parse, or are of another age.
    """

    def passing() -> DataFrame:
        return events.where("drop_reason is null or drop_reason <> 'where'")

    raw = {reason: counted[reason] for reason in ("kept", *DROP_REASONS)}
    check_times(job, raw, passing)
    check_ages(job, raw, counted["implausible"], passing)
    note_event_ids(job, counted["odd_ids"], passing)
    warn_of_drops(job, raw, passing)
    return raw


def find_column_types(job: Job, raw: DataFrame) -> dict[str, str]:
    """Spark's types of the configured columns; warns of those that were others in the last run.

    Args:
        raw: as of `intake.read_raw_events`.

    Raises:
        DataError: when texts have become fractions: the user 007 would be 7, and everyone new.
    """
    columns = job.config.input.columns
    names = [name for name in columns.model_dump().values() if name]
    types = {name: raw.schema[name].dataType.simpleString() for name in names}
    last = job.warehouse.last_complete_run()
    record = None if last is None else last.step_record("build_interactions")
    prepared = find_result(record, Preparation)
    for name, now in types.items():
        then = prepared.column_types.get(name, now) if prepared else now
        if then == now:
            continue
        message = f"input: column {name} was {then} in the last run, and is {now} now"
        if name in (columns.user, columns.item) and then == "string" and _is_fraction(now):
            raise DataError(
                f"{message}: its ids may become others (7 for 007). Have them written as texts."
            )
        log.warning("%s", message)
    return types


def _is_fraction(type_name: str) -> bool:
    is_decimal = type_name.startswith("decimal") and not type_name.endswith(",0)")
    return type_name in ("float", "double") or is_decimal


def check_times(job: Job, raw: Mapping[str, int], events: Callable[[], DataFrame]) -> None:
    """Raises DataError when too many times do not parse.

    Args:
        raw: raw events by drop reason, and those that are kept.
        events: as of `events.build_events`, those that pass input.where, for examples.
    """
    settings, bad, total = job.config.input, raw["bad_time"], sum(raw.values())
    if bad <= settings.max_bad_time_share * total:
        return
    texts = values.first_texts(events().where("drop_reason = 'bad_time'").select("raw_time"))
    advice = values.time_advice("input", "time", str(settings.columns.time), texts)
    raise DataError(
        f"input: column {settings.columns.time} does not parse as a time in {bad:,} of {total:,} "
        f"rows ({bad / total:.2%}), for instance {values.shown_list(texts)}. input.time_format is "
        f"{settings.time_format}. {advice or 'Set it to the pattern of these values.'} Or raise "
        "input.max_bad_time_share to drop such rows."
    )


def check_ages(
    job: Job, raw: Mapping[str, int], num_implausible: int, events: Callable[[], DataFrame]
) -> None:
    """Raises DataError when more than a few times lie far off: of seconds read as milliseconds.

    Args:
        raw: as of `check_times`.
        num_implausible: events whose time `columns.is_implausible`.
        events: as of `check_times`.
    """
    if not num_implausible:
        return
    settings, num_rows = job.config.input, sum(raw.values()) - raw["where"]
    found = events().where(is_implausible(F.col("event_at")))
    read_as = F.date_format("event_at", "yyyy-MM-dd HH:mm:ss")
    rows = found.select("raw_time", read_as).limit(values.NUM_TRIED).collect()
    examples = ", ".join(f"{values.shown(text)} as {time}" for text, time in rows[:3])
    message = (
        f"input: column {settings.columns.time} is before {FIRST_YEAR} or after {LAST_YEAR} in "
        f"{num_implausible:,} of {num_rows:,} rows ({num_implausible / num_rows:.2%}), read by "
        f"input.time_format {settings.time_format}: {examples}."
    )
    texts = [text for text, _ in rows]
    advice = values.time_advice("input", "time", str(settings.columns.time), texts)
    if num_implausible > NOTABLE_SHARE * num_rows:
        remedy = advice or "Set it to how these values are written, or use input.derived."
        raise DataError(f"{message} {remedy} Or leave such rows out by input.where.")
    log.warning("%s %s", message, advice or "")
    job.note(f"events before {FIRST_YEAR} or after {LAST_YEAR}", num_implausible)


def note_event_ids(job: Job, num_odd: int, events: Callable[[], DataFrame]) -> None:
    """Says which ids of users and items are odd.

    Args:
        num_odd: events with `odd_ids`.
        events: as of `check_times`.
    """
    if not num_odd:
        return
    asked = {**values.count_ids("user"), **values.count_ids("item")}
    [row] = events().agg(*[count.alias(name) for name, count in asked.items()]).collect()
    for side in ("user", "item"):
        values.note_ids(job, "input", side, row.asDict(), events())


def warn_of_drops(job: Job, raw: Mapping[str, int], events: Callable[[], DataFrame]) -> None:
    """Says what the values are that cost a notable share of the events, and that most are dropped.

    Args:
        raw, events: as of `check_times`.
    """
    num_rows = sum(raw.values()) - raw["where"]
    columns = job.config.input.columns

    def advise_on_values() -> str:
        texts = values.texts_of_numbers(events(), F.col("raw_value"), F.col("value"))
        return values.number_advice("input", "value", str(columns.value), *texts)

    shown: dict[str, tuple[str, Callable[[], str]]] = {
        "unknown_type": (
            "type",
            lambda: (
                "Name those that count; spellings become one by input.derived: "
                f'{{type: "lower(trim(`{columns.type}`))"}}, input.columns.type: type.'
            ),
        ),
        "no_value": ("raw_value", advise_on_values),
    }
    for reason, (name, advise) in shown.items():
        if raw[reason] <= NOTABLE_SHARE * num_rows:
            continue
        found = values.most_frequent(events().where(F.col("drop_reason") == reason), name)
        log.warning(
            "input: %s of %s events are dropped, as %s: %s. %s",
            *(f"{raw[reason]:,}", f"{num_rows:,}", DROP_REASONS[reason], found, advise()),
        )
    # What these two leave out is not meant to count.
    counts = {name: raw[name] for name in DROP_REASONS if name not in ("where", "before_window")}
    num_dropped = sum(counts.values())
    if num_dropped > num_rows / 2:
        listed = [f"{n:,} since {DROP_REASONS[name]}" for name, n in counts.items() if n]
        log.warning(
            "input: most events are dropped, %s of %s (%.2f%%): %s",
            *(f"{num_dropped:,}", f"{num_rows:,}", 100 * num_dropped / num_rows, "; ".join(listed)),
        )
