"""The breaks: one line of the package each, changed so that it is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Break:
    """One break.

    Args:
        file: below the root of the repository.
        breaks: what is wrong then, in words.
        old: text that stands once in the file.
        new: what takes its place.
        tests: which should notice, as pytest takes them, with blanks between.
        rule: the code in campaign/reasons.py that is broken, if it is one of these.
    """

    file: str
    breaks: str
    old: str
    new: str
    tests: str
    rule: str = ""

    def broken(self, text: str) -> str:
        """The text of the file with the break in it."""
        return text.replace(self.old, self.new)


def read_breaks() -> list[Break]:
    """All breaks, in the order of the files and of the lists in them."""
    found = []
    for path in sorted(Path(__file__).parent.glob("*.yaml")):
        for file, entries in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            found += [Break(file, **entry) for entry in entries]
    return found
