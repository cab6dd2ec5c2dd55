"""The events after a campaign, and how they are measured."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from ncf_spark.config.sections import Count, Section, Text
from ncf_spark.config.tables import Source


class OutcomeColumns(Section):
    """Names of your columns; `null`: there is no such column."""

    user: Text
    """Id of the user."""
    type: Text
    """Type of the event."""
    time: Text
    """Time of the event."""
    value: Text | None
    """Amount paid, in the shop's currency. `null`: revenue is not measured."""
    campaign: Text | None
    """Campaign of the event (`campaign.id`, or empty where it is not known). Events of other
    campaigns are ignored.
    """


class Outcomes(Source):
    """What a campaign's users did afterwards, one row per event.

    `jobs/measure_campaign.py` reads this table.
    """

    columns: OutcomeColumns
    time_format: Text | None
    """As `input.time_format`. `null`: its value."""


class Measurement(Section):
    """How a campaign is measured.

    A user counts once for each outcome, however many events there are.
    """

    sent: list[Text]
    """Event types that mean: the mail was sent. `[]`: not measured."""
    opened: list[Text]
    """The same for: the mail was opened. A type may count for several outcomes."""
    clicked: list[Text]
    """The same for: a link was clicked."""
    bought: list[Text]
    """The same for: something was bought. The sum of their values is the revenue."""
    window_days: Count
    """Events count for this many days from the end of the run date."""
    # With fewer, the 2.5th and 97.5th percentiles are almost the minimum and the maximum.
    bootstrap_samples: Annotated[int, Field(ge=50)]
    """Bootstrap samples of users, for the 95 % intervals of the revenue."""

    @property
    def types(self) -> dict[str, list[str]]:
        """The types of each outcome that is measured, by the outcome."""
        found = self.model_dump(include={"sent", "opened", "clicked", "bought"})
        return {outcome: types for outcome, types in found.items() if types}

    @model_validator(mode="after")
    def _measures_something(self) -> Measurement:
        if not self.types:
            raise ValueError("has no event type; set bought or another outcome")
        return self
