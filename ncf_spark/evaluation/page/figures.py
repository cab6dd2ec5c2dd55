"""The figures of the report, which of them are compared, and what that shows in words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ncf_spark.config import LAST_NIGHT
from ncf_spark.evaluation.metrics import main_cut_off

# The metrics where more is better; the first that has values decides.
ACCURACY = ("ndcg", "hr", "recall", "mrr", "map")
# The metrics that describe what is recommended; neither end is the better one.
DESCRIPTIVE = ("coverage", "popularity_percentile", "gini")
_UPPER_CASE = ("ndcg", "hr", "mrr", "map")


class Estimate(NamedTuple):
    """A value with its 95 % interval; None is what is missing or no finite number."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> str:
        """Both ends; empty without them."""
        if self.low is None or self.high is None:
            return ""
        return f"{decimals(self.low)} to {decimals(self.high)}"


@dataclass(frozen=True)
class Estimates:
    """Rows of `metrics` by (model, protocol, metric, k, segment)."""

    by_key: Mapping[tuple[str, str, str, int, str], Estimate]

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Estimates:
        """From dicts with the columns of `metrics`."""
        names, numbers = ("model", "protocol", "metric", "k", "segment"), Estimate._fields
        return cls(
            {
                tuple(row[name] for name in names): Estimate(*(finite(row[n]) for n in numbers))
                for row in rows
            }
        )

    def get(
        self, model: str | None, protocol: str, metric: str, k: int | None, segment: str = "all"
    ) -> Estimate:
        """The figure, an empty one if there is none."""
        return self.by_key.get((model or "", protocol, metric, k or 0, segment), Estimate())

    def main(self, model: str | None, protocol: str, segment: str = "all") -> Estimate:
        """The figure that models are compared by."""
        return self.get(model, protocol, self.main_metric, self.main_k, segment)

    @property
    def protocols(self) -> list[str]:
        """In alphabetical order."""
        return sorted({key[1] for key in self.by_key})

    @property
    def ks(self) -> list[int]:
        """The cut-offs, ascending."""
        return sorted({key[3] for key in self.by_key})

    @property
    def main_k(self) -> int | None:
        """The one that is shown where there is room for one; None without figures."""
        return main_cut_off(self.ks) if self.ks else None

    @property
    def main_metric(self) -> str:
        """NDCG, else the first metric of accuracy that there is."""
        present = {key[2] for key in self.by_key}
        return next((metric for metric in ACCURACY if metric in present), ACCURACY[0])

    def metrics(self, protocol: str, among: Sequence[str] = ()) -> list[str]:
        """Those with figures under the protocol: accuracy, descriptive, then unknown ones."""
        present = {key[2] for key in self.by_key if key[1] == protocol}
        known = among or (*ACCURACY, *DESCRIPTIVE, *sorted(present))
        return [metric for metric in dict.fromkeys(known) if metric in present]

    def models(self, protocol: str) -> list[str]:
        """Best first by the main metric, those without it last; ties by name."""
        models = {key[0] for key in self.by_key if key[1] == protocol and key[4] == "all"}
        return sorted(models, key=lambda model: (-_or_least(self.main(model, protocol)), model))

    def segments(self, protocol: str) -> list[str]:
        """All but `all`, in alphabetical order."""
        return sorted({key[4] for key in self.by_key if key[1] == protocol} - {"all"})

    def best_baseline(self, protocol: str, own: str, baselines: Sequence[str]) -> str | None:
        """The best baseline by the main metric; without `baselines`, of all other models.

        Last night's model, which is judged on other users, is left out.
        """
        for model in self.models(protocol):
            listed = model in baselines if baselines else model != LAST_NIGHT
            if model != own and listed and self.main(model, protocol).value is not None:
                return model
        return None


def _or_least(figure: Estimate) -> float:
    return -math.inf if figure.value is None else figure.value


class Comparison(NamedTuple):
    """The night's own model beside the best baseline, under one protocol."""

    protocol: str
    measure: str  # "NDCG@10"
    own: str
    own_figure: Estimate
    other: str
    other_figure: Estimate
    paired: Estimate = Estimate()  # own less other over the same draws of users
    other_is: str = "the best baseline"

    @property
    def difference(self) -> float:
        """Own less other."""
        return (self.own_figure.value or 0.0) - (self.other_figure.value or 0.0)

    @property
    def outcome(self) -> str:
        """How the own model does, at the four decimals that the page shows."""
        if round(self.difference, 4) == 0:
            return "equal to"
        return "better than" if self.difference > 0 else "worse than"

    @property
    def beyond_chance(self) -> bool | None:
        """Whether the difference is more than chance explains; None without intervals.

        It is if the interval of the difference does not contain 0; without that interval, if the
        two models' intervals do not overlap.
        """
        own, other, paired = self.own_figure, self.other_figure, self.paired
        if paired.low is not None and paired.high is not None:
            return paired.low > 0 or paired.high < 0
        if own.low is None or own.high is None or other.low is None or other.high is None:
            return None
        return own.low > other.high or own.high < other.low

    @property
    def sentence(self) -> str:
        """Both figures, their difference, and whether it may be chance."""
        amount = f"{self.difference:+.4f}"
        if self.other_figure.value and self.outcome != "equal to":
            amount += f", {self.difference / self.other_figure.value:+.1%}".replace("%", "\u00a0%")
        return (
            f"{self.measure} is {decimals(self.own_figure.value)} for {self.own} and "
            f"{decimals(self.other_figure.value)} for {self.other}, {self.other_is} ({amount}). "
            f"{self._chance}"
        )

    @property
    def _chance(self) -> str:
        if self.beyond_chance is None:
            return "There are no intervals, so the difference may be chance."
        intervals = f"95\u00a0% intervals: {self.own_figure.interval}; {self.other_figure.interval}"
        if self.paired.low is not None:
            ends = f"{self.paired.low:+.4f} to {self.paired.high:+.4f}"
            intervals = f"95\u00a0% interval of the difference: {ends}"
        verdict = "is more than chance explains" if self.beyond_chance else "may be chance"
        return f"The difference {verdict} ({intervals})."


def compare(
    figures: Estimates,
    protocol: str,
    own: str,
    baselines: Sequence[str] = (),
    differences: Estimates | None = None,
) -> Comparison | None:
    """The comparison under the protocol; None if either side has no value.

    Args:
        figures: of all models.
        protocol: the one to compare under.
        own: the night's own model.
        baselines: names of the baselines; empty: all other models.
        differences: the other models' figures less the own model's, with paired intervals.
    """
    own_figure = figures.main(own, protocol)
    other = figures.best_baseline(protocol, own, baselines)
    if own_figure.value is None or other is None:
        return None
    metric, k, paired = figures.main_metric, figures.main_k, Estimate()
    if differences:
        turned = differences.get(other, protocol, metric, k)  # other less own
        if turned.value is not None and turned.low is not None and turned.high is not None:
            paired = Estimate(-turned.value, -turned.high, -turned.low)
    return Comparison(
        *(protocol, measure(metric, k), own, own_figure, other, figures.main(other, protocol)),
        paired=paired,
        other_is="the best baseline" if baselines else "the best other model",
    )


def headline(own: str, comparisons: Sequence[Comparison]) -> str:
    """The answer over all protocols, in two or three sentences."""
    if not comparisons:
        return f"There are no figures of {own} and another model to compare."
    parts = []
    for outcome in ("better than", "worse than", "equal to"):
        chosen = [c for c in comparisons if c.outcome == outcome]
        amounts = [
            f"{c.protocol} ({c.measure} {c.difference:+.4f} against {c.other})" for c in chosen
        ]
        if chosen:
            parts.append(f"{outcome} {chosen[0].other_is} under {' and '.join(amounts)}")
    unequal = [c for c in comparisons if c.outcome != "equal to"]
    unclear = [c.protocol for c in unequal if not c.beyond_chance]
    chance = ""
    if unclear:
        chance = f" Under {' and '.join(unclear)} the difference may be chance."
    elif unequal:
        chance = " The difference is more than chance explains."
    return f"{own} is {', but '.join(parts)}.{chance}"


def better_model(figures: Estimates, comparison: Comparison) -> str:
    """Names a model that is better than both; empty if there is none."""
    best = next(model for model in figures.models(comparison.protocol) if model != LAST_NIGHT)
    value = figures.main(best, comparison.protocol).value
    ahead = max(comparison.own_figure.value or 0.0, comparison.other_figure.value or 0.0)
    if value is None or round(value - ahead, 4) <= 0:
        return ""
    return f"{best} is better than both: {decimals(value)}."


def protocol_words(protocol: str) -> str:
    """What a held-out item is ranked against, for the reader."""
    if sampled := re.fullmatch(r"sampled_(\d+)", protocol):
        return f"each held-out item is ranked among {int(sampled[1]):,} other items"
    if protocol == "full":
        return "each held-out item is ranked among all items that are new to the user"
    return ""


def measure(metric: str, k: int | None) -> str:
    """ndcg, 10 → NDCG@10."""
    name = metric.upper() if metric in _UPPER_CASE else metric.replace("_", " ").capitalize()
    return name if k is None else f"{name}@{k:,}"


def finite(value: Any) -> float | None:
    """The number, None for what is none: null, nan, infinite."""
    return float(value) if value is not None and math.isfinite(value) else None


def decimals(value: float | None) -> str:
    """Four decimals; empty without a value."""
    return "" if value is None else f"{value:,.4f}"


def percent(share: Any) -> str:
    """0.0414 → 4.1 %; empty without a value."""
    number = finite(share)
    return "" if number is None else f"{number:.1%}".replace("%", "\u00a0%")
