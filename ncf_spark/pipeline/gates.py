"""The gates before the pointer moves: figures in, a sentence for each gate out. No Spark here."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ncf_spark.config import Gates, Volume


@dataclass(frozen=True)
class Verdict:
    """The verdict of a gate.

    Args:
        gate: the setting's name in section gates.
        passed: None where there was nothing to judge.
        figures: what was judged, and the limits.
        sentence: for the log, the manifest and the report.
    """

    gate: str
    passed: bool | None
    figures: dict[str, Any]
    sentence: str

    @property
    def line(self) -> str:
        """For a person: the setting, whether it passed, and the sentence."""
        word = "passed" if self.passed else "REFUSED"
        return f"gates.{self.gate}: {word}: {self.sentence}"

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


@dataclass(frozen=True)
class Figures:
    """What the gates look at; None: there is no such figure tonight.

    Args:
        volumes: events, users and items of tonight, by name.
        volumes_before: the same of each night before, the oldest first.
        rejected: share of the raw events that could not be read.
        model: the metric of what is to be published, on tonight's holdout.
        popularity: of item popularity.
        common: metrics of tonight's model and of last night's, over the users that both judged.
        coverage: share of the items that the top lists hold together.
        full_lists: share of the trained users with campaign.k recommendations.
        churn: share of users' top lists that was not in last night's.
    """

    volumes: Mapping[str, int]
    volumes_before: Sequence[Mapping[str, int]]
    rejected: float
    model: float | None
    popularity: float | None
    common: tuple[float, float] | None
    coverage: float | None
    full_lists: float | None
    churn: float | None


def lines_of(verdicts: Sequence[Verdict]) -> list[str]:
    """A line for each gate that judged, and one for all that had nothing to compare with."""
    lines = [verdict.line for verdict in verdicts if verdict.passed is not None]
    not_judged = dict.fromkeys(f"gates.{v.gate}" for v in verdicts if v.passed is None)
    if not_judged:
        lines.append(f"nothing to compare with yet: {', '.join(not_judged)}")
    return lines


def judge(gates: Gates, found: Figures) -> list[Verdict]:
    """The verdict of each gate that is set."""
    verdicts = []
    if gates.volume is not None:
        verdicts += [
            _judge_volume(
                gates.volume, name, now, [night.get(name) for night in _last(gates, found)]
            )
            for name, now in found.volumes.items()
        ]
    of = f"{gates.metric} ({gates.protocol})"
    tonight, last_night = found.common or (None, None)
    ratios = [
        ("of_popularity", f"the model's {of}", found.model, "popularity's", found.popularity),
        ("of_last_night", f"the model's {of}", tonight, "last night's model's", last_night),
    ]
    for gate, what, value, whose, other in ratios:
        if (share := getattr(gates, gate)) is not None:
            verdicts.append(_judge_ratio(gate, what, value, whose, other, share))
    bounds = [
        ("max_rejected", "the share of unreadable events", found.rejected),
        ("min_coverage", "the share of items that are recommended", found.coverage),
        ("min_full_lists", "the share of users with a full list", found.full_lists),
        ("max_churn", "the share of top lists that changed since last night", found.churn),
    ]
    for gate, what, value in bounds:
        if (limit := getattr(gates, gate)) is not None:
            verdicts.append(_judge_bound(gate, what, value, limit))
    return verdicts


def _last(gates: Gates, found: Figures) -> Sequence[Mapping[str, int]]:
    assert gates.volume is not None
    return found.volumes_before[-gates.volume.nights :]


def _judge_volume(volume: Volume, name: str, now: int, before: Sequence[int | None]) -> Verdict:
    known = [number for number in before if number is not None]
    if len(known) < volume.at_least:
        sentence = f"{name}: {now:,}; too few nights before to compare with ({len(known)})"
        return Verdict("volume", None, {name: now, "nights": len(known)}, sentence)
    median = statistics.median(known)
    low, high = volume.low * median, volume.high * median
    passed = low <= now <= high
    figures = {name: now, "median": median, "low": low, "high": high, "nights": len(known)}
    between = f"between {low:,.0f} and {high:,.0f}, around the median of {len(known)} nights"
    sentence = f"{name}: {now:,} {'lies' if passed else 'does not lie'} {between}"
    return Verdict("volume", passed, figures, sentence)


def _judge_ratio(
    gate: str, what: str, value: float | None, whose: str, other: float | None, share: float
) -> Verdict:
    if value is None or other is None:
        sentence = f"{what} has nothing to be compared with ({whose} is not known)"
        return Verdict(gate, None, {"value": value, "other": other, "share": share}, sentence)
    least = share * other
    passed = value >= least
    is_below = "is at least" if passed else "is below"
    sentence = f"{what}, {value:.4f}, {is_below} {share:g} times {whose}, {other:.4f}"
    return Verdict(gate, passed, {"value": value, "other": other, "least": least}, sentence)


def _judge_bound(gate: str, what: str, value: float | None, limit: float) -> Verdict:
    figures = {"value": value, "limit": limit}
    if value is None:
        return Verdict(gate, None, figures, f"{what} is not known")
    at_most = gate.startswith("max_")
    passed = value <= limit if at_most else value >= limit
    words = {(True, True): "at most", (True, False): "above", (False, True): "at least"}.get(
        (at_most, passed), "below"
    )
    return Verdict(gate, passed, figures, f"{what}, {value:.4f}, is {words} {limit:g}")
