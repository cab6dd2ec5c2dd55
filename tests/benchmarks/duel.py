"""Measures programs side by side: they take turns, so that a noisy machine is noisy for all."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
RESULTS = ROOT / "build" / "bench.json"


class Contender:
    """A program that answers each line on its standard input with one line of JSON.

    Args:
        command: the program and its arguments.
    """

    def __init__(self, command: Sequence[str]) -> None:
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **threads},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, request: str) -> dict[str, Any]:
        """Sends a line and waits for the answer.

        Raises:
            RuntimeError: when the program ended instead.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(request + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("{"):  # what else a library prints is none of ours
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise RuntimeError(f"{self._process.args} ended with status {self._process.wait()}")

    def close(self) -> None:
        """Ends the program."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def take_turns(
    contenders: Mapping[str, Contender], request: str, rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """The answers of each contender, asked one after the other, `rounds` times."""
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            answers[name].append(contender.ask(request))
    return answers


def median_of(answers: Sequence[Mapping[str, Any]], name: str) -> float:
    """The median of one figure over the rounds."""
    return statistics.median(float(answer[name]) for answer in answers)


def record(name: str, *, ours: float, peer: float, ratio: float, bar: str) -> None:
    """Prints a comparison and keeps it in build/bench.json, in place of an older one."""
    row = {"name": name, "ours": ours, "peer": peer, "ratio": ratio, "bar": bar}
    print(f"{name:<60} ours {ours:>12.4g}  peer {peer:>12.4g}  ratio {ratio:6.2f}  bar {bar}")
    RESULTS.parent.mkdir(exist_ok=True)
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    rows = [other for other in rows if other["name"] != name] + [row]
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
