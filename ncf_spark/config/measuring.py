"""Where later events are, and what of them tells what a campaign brought."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from ncf_spark.config.sections import Count, Section, Text
from ncf_spark.config.tables import Source


class OutcomeColumns(Section):
    """Names of the columns of the later events."""

    user: Text
    type: Text
    time: Text
    value: Text | None
    campaign: Text | None


class Outcomes(Source):
    """What became of a campaign's users afterwards: one row an event."""

    columns: OutcomeColumns
    time_format: Text | None


class Measurement(Section):
    """Which events are an outcome, how long they are waited for, and how intervals are drawn."""

    sent: list[Text]
    opened: list[Text]
    clicked: list[Text]
    bought: list[Text]
    window_days: Count
    # Below 50 the 2.5th and 97.5th percentiles are hardly more than the least and the greatest.
    bootstrap_samples: Annotated[int, Field(ge=50)]

    @property
    def types(self) -> dict[str, list[str]]:
        """The types of each outcome that is measured, by the outcome."""
        found = self.model_dump(include={"sent", "opened", "clicked", "bought"})
        return {outcome: types for outcome, types in found.items() if types}

    @model_validator(mode="after")
    def _measures_something(self) -> Measurement:
        if not self.types:
            raise ValueError("names no type of event; set bought, or another outcome")
        return self
