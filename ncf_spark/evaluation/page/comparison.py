"""What the figures say in words: which model is ahead, by how much, beyond chance or not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ncf_spark.config import LAST_NIGHT
from ncf_spark.evaluation.metrics import main_cut_off

# The metrics where more is better, the one that decides first.
ACCURACY = ("ndcg", "hr", "recall", "mrr", "map")
# The metrics that describe what is recommended; neither end is the better one.
DESCRIPTIVE = ("coverage", "popularity_percentile", "gini")
_NAMES = {name: name.upper() for name in ("ndcg", "hr", "mrr", "map")}


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; None is what is missing or no finite number."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def has_interval(self) -> bool:
        """Whether both ends are known."""
        return self.low is not None and self.high is not None


@dataclass(frozen=True)
class Estimates:
    """Rows of `metrics` by (model, protocol, metric, k, segment)."""

    by_key: Mapping[tuple[str, str, str, int, str], Estimate]

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Estimates:
        """From dicts with the columns of `metrics`."""
        names = ("model", "protocol", "metric", "k", "segment")
        return cls(
            {
                tuple(row[name] for name in names): Estimate(
                    finite(row["value"]), finite(row.get("low")), finite(row.get("high"))
                )
                for row in rows
            }
        )

    def get(
        self, model: str, protocol: str, metric: str, k: int | None, segment: str = "all"
    ) -> Estimate:
        """The figure, an empty one if there is none."""
        return self.by_key.get((model, protocol, metric, k or 0, segment), Estimate())

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

    def metrics(self, protocol: str, among: Sequence[str] | None = None) -> list[str]:
        """Those with figures under the protocol: accuracy, descriptive, then unknown ones."""
        known = ACCURACY + DESCRIPTIVE
        present = {key[2] for key in self.by_key if key[1] == protocol}
        ordered = [m for m in known if m in present] + sorted(present - set(known))
        return [metric for metric in ordered if among is None or metric in among]

    def models(self, protocol: str) -> list[str]:
        """Best first by the main metric, those without it last; ties by name."""
        models = {key[0] for key in self.by_key if key[1] == protocol and key[4] == "all"}
        return sorted(models, key=lambda model: (-self._main(model, protocol), model))

    def segments(self, protocol: str) -> list[str]:
        """All but `all`, in alphabetical order."""
        return sorted({key[4] for key in self.by_key if key[1] == protocol} - {"all"})

    def best_rival(self, protocol: str, own: str, baselines: Sequence[str]) -> str | None:
        """The best baseline by the main metric; without `baselines`, of all other models.

        Last night's model, which is judged on other users, is none.
        """
        for model in self.models(protocol):
            listed = model in baselines if baselines else model != LAST_NIGHT
            if model != own and listed and self._main(model, protocol) > -math.inf:
                return model
        return None

    def _main(self, model: str, protocol: str) -> float:
        value = self.get(model, protocol, self.main_metric, self.main_k).value
        return -math.inf if value is None else value


@dataclass(frozen=True)
class Comparison:
    """The night's own model beside the best baseline, under one protocol."""

    protocol: str
    measure: str  # "NDCG@10"
    own: str
    own_figure: Estimate
    rival: str
    rival_figure: Estimate
    paired: Estimate = Estimate()  # own less rival over the same draws of users
    rival_is: str = "the best baseline"

    @property
    def difference(self) -> float:
        """Own less rival."""
        return (self.own_figure.value or 0.0) - (self.rival_figure.value or 0.0)

    @property
    def outcome(self) -> str:
        """better, worse, or equal at the four decimals that the page shows."""
        if round(self.difference, 4) == 0:
            return "equal"
        return "better" if self.difference > 0 else "worse"

    @property
    def apart(self) -> bool | None:
        """Whether the intervals set the two apart; None without intervals.

        By the interval of their difference, which is without 0 then, else by their own, which then
        have no value in common.
        """
        own, rival, paired = self.own_figure, self.rival_figure, self.paired
        if paired.low is not None and paired.high is not None:
            return paired.low > 0 or paired.high < 0
        if own.low is None or own.high is None or rival.low is None or rival.high is None:
            return None
        return own.low > rival.high or own.high < rival.low

    @property
    def sentence(self) -> str:
        """The figures, their difference, and what the intervals allow to say."""
        own, rival = self.own_figure, self.rival_figure
        amount = f"{self.difference:+.4f}"
        if rival.value and self.outcome != "equal":
            amount += f", {self.difference / rival.value:+.1%}".replace("%", "\u00a0%")
        values = (
            f"{self.measure} is {decimals(own.value)} for {self.own} and {decimals(rival.value)} "
            f"for {self.rival}, {self.rival_is} ({amount})."
        )
        return f"{values} {self._allowed}"

    @property
    def _allowed(self) -> str:
        """What the intervals allow to say."""
        if self.apart is None:
            return "Without intervals for both, chance cannot be ruled out."
        if self.apart:
            end = ": other users like these would hardly turn the order."
        else:
            end = ": these figures do not show that the two differ."
        if self.paired.has_interval:
            ends = f"{self.paired.low:+.4f} to {self.paired.high:+.4f}"
            relation = "is without 0" if self.apart else "holds 0"
            return f"The 95\u00a0% interval of the difference, {ends}, {relation}{end}"
        relation = "do not overlap" if self.apart else "overlap"
        intervals = f"{interval(self.own_figure)} and {interval(self.rival_figure)}"
        return f"The 95\u00a0% intervals, {intervals}, {relation}{end}"


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
    metric, k = figures.main_metric, figures.main_k
    own_figure = figures.get(own, protocol, metric, k)
    rival = figures.best_rival(protocol, own, baselines)
    if own_figure.value is None or rival is None:
        return None
    rival_figure = figures.get(rival, protocol, metric, k)
    paired = Estimate()
    if differences:
        turned = differences.get(rival, protocol, metric, k)  # rival less own
        if turned.value is not None and turned.low is not None and turned.high is not None:
            paired = Estimate(-turned.value, -turned.high, -turned.low)
    return Comparison(
        *(protocol, measure(metric, k), own, own_figure, rival, rival_figure, paired),
        rival_is=rival_words(baselines),
    )


def rival_words(baselines: Sequence[str]) -> str:
    """What the own model is compared with: the best baseline, if there are any."""
    return "the best baseline" if baselines else "the best other model"


def leader(figures: Estimates, comparison: Comparison) -> str:
    """Names a model that is ahead of both; empty if there is none."""
    best = next(model for model in figures.models(comparison.protocol) if model != LAST_NIGHT)
    value = figures.get(best, comparison.protocol, figures.main_metric, figures.main_k).value
    ahead = max(comparison.own_figure.value or 0.0, comparison.rival_figure.value or 0.0)
    if value is None or round(value - ahead, 4) <= 0:
        return ""
    return f"Ahead of both is {best} with {decimals(value)}."


def headline(own: str, comparisons: Sequence[Comparison]) -> str:
    """One sentence over all protocols; the amounts in brackets."""
    if not comparisons:
        return f"There are no figures of {own} beside another model: nothing is compared."
    outcomes = {}
    for outcome, words in (
        ("better", "better than"),
        ("worse", "worse than"),
        ("equal", "equal to"),
    ):
        chosen = [c for c in comparisons if c.outcome == outcome]
        if chosen:
            outcomes[words] = _listed([f"{c.protocol} ({_amount(c)})" for c in chosen])
    rival_is = comparisons[0].rival_is
    parts = [f"{words} {rival_is} under {places}" for words, places in outcomes.items()]
    return f"{own} is {', but '.join(parts)}{_intervals(comparisons)}."


def _amount(comparison: Comparison) -> str:
    return f"{comparison.measure} {comparison.difference:+.4f} against {comparison.rival}"


def _intervals(comparisons: Sequence[Comparison]) -> str:
    """What the headline ends with."""
    if all(c.outcome == "equal" for c in comparisons):
        return ""
    unclear = [c.protocol for c in comparisons if c.apart is False]
    unknown = [c.protocol for c in comparisons if c.apart is None]
    parts = []
    if unclear:
        parts.append(
            f"under {_listed(unclear)} the difference may be chance, by its 95\u00a0% interval"
        )
    if unknown:
        parts.append(f"under {_listed(unknown)} there are no intervals to tell it from chance")
    if parts:
        return "; " + "; ".join(parts)
    return "; beyond chance, by the 95\u00a0% intervals"


def protocol_words(protocol: str) -> str:
    """What an item held out is ranked against."""
    sampled = re.fullmatch(r"sampled_(\d+)", protocol)
    if sampled:
        return f"each held-out item among {int(sampled[1]):,} others, drawn or given with it"
    if protocol == "full":
        return "each held-out item among all items that the user has no other pair with"
    return ""


def measure(metric: str, k: int | None) -> str:
    """ndcg, 10 → NDCG@10."""
    name = _NAMES.get(metric, metric.replace("_", " ").capitalize())
    return name if k is None else f"{name}@{k:,}"


def finite(value: Any) -> float | None:
    """The number, None for what is none: null, nan, infinite."""
    return float(value) if value is not None and math.isfinite(value) else None


def decimals(value: float | None) -> str:
    """Four decimals; empty without a value."""
    return "" if value is None else f"{value:,.4f}"


def interval(figure: Estimate) -> str:
    """Both ends; empty without them."""
    return f"{decimals(figure.low)} to {decimals(figure.high)}" if figure.has_interval else ""


def _listed(words: Sequence[str]) -> str:
    return " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"
