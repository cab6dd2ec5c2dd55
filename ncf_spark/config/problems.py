"""Error messages of a configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

UNKNOWN = "unknown setting. conf/base.yaml lists all settings."


def describe(problem: Any) -> Iterable[str]:
    """The lines for one of pydantic's errors: setting, what was found, what was expected."""
    setting = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return [f"{setting}: {UNKNOWN}"]
    if problem["type"] == "missing":
        return [f"{setting}: is not set."]
    if problem["type"] == "value_error":
        lines = str(problem["ctx"]["error"]).splitlines()
        return [f"{setting}: {line}" if setting else line for line in lines]
    found = problem["input"]
    message = re.sub(r"^(Input|List|String|Value) ", "", problem["msg"])
    message = _SECTION.sub("should be a section with keys", message)
    if problem["type"] == "int_type" and isinstance(found, float) and found.is_integer():
        message += f": write {int(found)}"
    return [f"{setting} is {_as_yaml(found)}; it {message}"]


# pydantic says "dictionary" and names our classes.
_SECTION = re.compile(r"should be a valid dictionary( or instance of \w+)?")


def _as_yaml(value: Any) -> str:
    """As the file has it: true and null, not True and None."""
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
