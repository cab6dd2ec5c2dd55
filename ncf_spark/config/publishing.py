"""When a night is good enough to be published, and how long nights are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ncf_spark.config.sections import Count, NonNegative, Positive, Section, Share, Text


class Storage(Section):
    """Where everything is written, and how long it is kept."""

    warehouse: Text
    keep_runs: Count | None
    lock_expires_minutes: Annotated[int, Field(ge=2)] | None

    @property
    def lock_expires(self) -> timedelta | None:
        """After how long without a sign of life a lock is taken over; None: never."""
        minutes = self.lock_expires_minutes
        return None if minutes is None else timedelta(minutes=minutes)


class Volume(Section):
    """Bounds on tonight's volume, as shares of the median of the nights before."""

    low: NonNegative
    high: Positive
    nights: Count
    at_least: Count

    @model_validator(mode="after")
    def _ordered(self) -> Volume:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} but high is {self.high}; low must be below")
        if self.at_least > self.nights:
            raise ValueError(f"at_least is {self.at_least} but nights is only {self.nights}")
        return self


class Gates(Section):
    """What must hold before a night is published; null: nothing is asked."""

    protocol: Literal["full", "sampled"]
    metric: Literal["hr", "ndcg", "recall", "mrr", "map"]
    volume: Volume | None
    max_rejected: Share | None
    of_popularity: NonNegative | None
    of_last_night: NonNegative | None
    min_coverage: Share | None
    min_full_lists: Share | None
    max_churn: Share | None
