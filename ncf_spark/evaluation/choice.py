"""Which of a night's models is published: the best, if it is beyond doubt ahead of the last one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A model by the metric that decides.

    Args:
        low: of the 95 % interval, as `high`; None: not computed.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def figures(self) -> str:
        """0.1234 (0.1200 to 0.1270)."""
        if self.value is None:
            return "no value"
        if self.low is None or self.high is None:
            return f"{self.value:.4f}"
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


@dataclass(frozen=True)
class Choice:
    """What is published and why.

    Args:
        measure: by which was chosen, such as ndcg@10 under full.
        candidates: in the order of the configuration.
        champion: name of the candidate that is published.
        incumbent: name of what was published the night before; None: nothing was.
        reason: a sentence without its full stop.
    """

    measure: str
    candidates: Sequence[Candidate]
    champion: str
    incumbent: str | None
    reason: str


def choose(measure: str, candidates: Sequence[Candidate], incumbent: str | None) -> Choice:
    """The champion among candidates that were judged on the same holdout.

    An incumbent stays unless the whole 95 % interval of another candidate lies above its own: what
    is published must not change from night to night by chance. Without an incumbent among them the
    best by value is chosen. Of several that could be, the one with the highest value is; of equal
    ones, the first.

    Args:
        candidates: at least one.
        incumbent: the champion of the night before; None on the first night.
    """

    def chosen(name: str, reason: str) -> Choice:
        return Choice(measure, candidates, name, incumbent, reason)

    best = max(candidates, key=_value)
    first = f"{best.name} has the highest {measure}, {best.figures}"
    if incumbent is None:
        return chosen(best.name, f"{first}; nothing was published before")
    held = next((c for c in candidates if c.name == incumbent), None)
    if held is None:
        return chosen(best.name, f"{first}; {incumbent}, published before, is no candidate")
    above = [c for c in candidates if _is_above(c, held)]
    if above:
        best = max(above, key=_value)
        reason = f"the interval of {best.name}, {best.figures}, lies above that of {incumbent}, "
        return chosen(best.name, f"{reason}published before, {held.figures}, by {measure}")
    if best is held:
        return chosen(incumbent, f"{first}, and was published before")
    reason = f"{incumbent} stays, {held.figures}: the interval of {best.name}, {best.figures}, "
    return chosen(incumbent, f"{reason}does not lie above its own by {measure}")


def _value(candidate: Candidate) -> float:
    return -math.inf if candidate.value is None else candidate.value


def _is_above(candidate: Candidate, other: Candidate) -> bool:
    return candidate.low is not None and other.high is not None and candidate.low > other.high
