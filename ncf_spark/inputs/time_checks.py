"""Whether what is read of a column of times can be meant: said with the format that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.inputs import values
from ncf_spark.inputs.columns import FIRST_YEAR, LAST_YEAR, is_implausible
from ncf_spark.pipeline.logs import log

Kind = Literal["event", "bound", "version"]


class Times(NamedTuple):
    """A configured column of times.

    Args:
        section: of the configuration, with `columns`, `time_format`, `derived` and `where`.
        ours: our name of the column.
        name: the customer's.
        text: as it is written; null where there is none.
        read: the time; null where the text is none.
        time_format: by which it is read.
        kind: of an event; a bound, which may be 0001-01-01 or 9999-12-31; or a version, which may
            be a number.
        max_bad_share: share of the filled rows that may be no time, or one of another age.
    """

    section: str
    ours: str
    name: str
    text: Column
    read: Column
    time_format: str
    kind: Kind = "event"
    max_bad_share: float = 0.0

    @property
    def counts(self) -> dict[str, Column]:
        """Aggregates: rows that hold something, that is no time, or one of another age."""
        is_far = F.lit(False) if self.kind == "version" else is_implausible(self.read)
        return {
            f"{self.ours} filled": F.count_if(self.text.isNotNull()),
            f"{self.ours} bad": F.count_if(self.text.isNotNull() & self.read.isNull()),
            f"{self.ours} far": F.count_if(is_far),
        }

    def problem(self, found: Mapping[str, int], rows: DataFrame) -> str | None:
        """What is wrong, with the remedy; None: nothing that would be refused.

        Args:
            found: of `counts`.
            rows: that were counted, for examples.
        """
        filled, bad, far = (found[f"{self.ours} {what}"] for what in ("filled", "bad", "far"))
        if not bad and not far:
            return None
        wrong = rows.where(self.text.isNotNull() & self.read.isNull())
        if not bad:
            wrong = rows.where(is_implausible(self.read))
        texts = values.first_texts(wrong.select(self.text))
        setting = f"{self.section}.time_format"
        advice = values.time_advice(self.section, self.ours, self.name, texts, self.time_format)
        far_off = f"is before {FIRST_YEAR} or after {LAST_YEAR}"
        message = (
            f"{self.section}: column {self.name} ({self.section}.columns.{self.ours}) "
            f"{'does not parse as a time' if bad else far_off} in {bad or far:,} of {filled:,} "
            f"rows that hold something, for instance {values.shown_list(texts)}. {setting} is "
            f"{self.time_format}. {advice or 'Set it to the pattern of these values.'} Or convert "
            f"them by {self.section}.derived"
        )
        # A mail that is left out would let another go to the same person.
        if self.section != "send_log":
            message += f", or leave such rows out by {self.section}.where"
        message += "."
        if self.kind == "bound" and not bad:
            return message if advice and far > filled / 2 else None
        if bad > self.max_bad_share * filled:
            return message
        if far > max(self.max_bad_share, values.NOTABLE_SHARE) * filled:
            return message
        log.warning("%s", message)
        return None
