"""When a night is good enough to be published, and how long nights are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ncf_spark.config.sections import Count, NonNegative, Positive, Section, Share, Text


class Storage(Section):
    """Where everything is written, and how long it is kept."""

    warehouse: Text
    """Root of everything that is written: `LATEST.json` and `runs/<run>/<table>/`."""
    keep_runs: Count | None
    """Newest runs to keep; older ones are deleted when a night is published. `null`: keep all.

    The published run, the last complete run and the runs that they were made from are never
    deleted.
    """
    lock_expires_minutes: Annotated[int, Field(ge=2)] | None
    """A lock whose owner was silent for so long is taken over. `null`: only `jobs/runs.py --unlock`
    removes it.
    """

    @property
    def lock_expires(self) -> timedelta | None:
        """The silence after which a lock is taken over; None: never."""
        minutes = self.lock_expires_minutes
        return None if minutes is None else timedelta(minutes=minutes)


class Volume(Section):
    """Events, users and items of tonight, as shares of the median of earlier nights."""

    low: NonNegative
    """Refuse below this share."""
    high: Positive
    """Refuse above this share."""
    nights: Count
    """Compare with this many earlier published nights, at most."""
    at_least: Count
    """With fewer earlier nights than this, the volume is not checked."""

    @model_validator(mode="after")
    def _ordered(self) -> Volume:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} but high is {self.high}; low must be smaller")
        if self.at_least > self.nights:
            raise ValueError(f"at_least is {self.at_least} but nights is only {self.nights}")
        return self


class Gates(Section):
    """What must hold before a night is published.

    Otherwise the night ends with exit status 3 and the published run stays as it is. `null`
    switches a gate off.
    """

    protocol: Literal["full", "sampled"]
    """How the models are compared: `full` ranking, or `sampled` (`evaluation.num_negatives`)."""
    metric: Literal["hr", "ndcg", "recall", "mrr", "map"]
    """Compared at the cut-off of `evaluation.ks` nearest to 10."""
    volume: Volume | None
    """Limits for the number of events, users and items, as shares of the median of earlier nights.
    """
    max_rejected: Share | None
    """Largest share of raw events whose user, item, time or value is missing or unreadable."""
    of_popularity: NonNegative | None
    """The model's metric must be at least this many times that of item popularity."""
    of_last_night: NonNegative | None
    """The model's metric must be at least this many times that of last night's model on tonight's
    holdout.
    """
    min_coverage: Share | None
    """Smallest share of the items that appear in the users' lists."""
    min_full_lists: Share | None
    """Smallest share of the trained users with `campaign.k` recommendations."""
    max_churn: Share | None
    """Largest share of the users' lists (`campaign.k` items) that was not in last night's."""
