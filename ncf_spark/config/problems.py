"""What is wrong with a configuration, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any


def describe(problem: Any) -> Iterable[str]:
    """One line for each thing that is wrong: place, what was found, what was expected.

    Args:
        problem: one of pydantic's errors.
    """
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return [f"{place}: unknown setting. conf/base.yaml lists all settings."]
    if problem["type"] == "missing":
        return [f"{place}: is not set."]
    if problem["type"] == "value_error":
        lines = str(problem["ctx"]["error"]).splitlines()
        return [f"{place}: {line}" if place else line for line in lines]
    message = re.sub(r"^(Input|List|String|Value) ", "", problem["msg"])
    return [f"{place} is {problem['input']!r}; it {message}"]
