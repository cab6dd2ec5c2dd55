"""A suggested section of the configuration, and how a configuration is written of several."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ncf_spark.inputs.canonical import masked
from ncf_spark.inputs.sniffing import Sniffed

# Texts that YAML reads as such without quotes, except for some words.
_PLAIN = re.compile(r"""(\.{0,2}/)?[^\W\d][^:#,?{}\[\]"'\\\s]*( [^:#,?{}\[\]"'\\\s]+)*""")
_YAML_WORDS = ("true", "false", "yes", "no", "on", "off", "y", "n", "null")
_MAX_NAMES = 20


@dataclass
class Suggestion:
    """What a section should say for one table.

    Args:
        section: `input`, `catalogue` and so on.
        path: of the table.
        file: its name.
        found: how the file can be read.
        kind: what it is taken for.
        columns: our columns and the file's; "?": not known, None: there is none.
        derived: further columns in SQL.
        settings: further settings of the section.
        comments: what a person should check.
        used: columns of the file that the section names.
    """

    section: str
    path: str
    file: str
    found: Sniffed
    kind: str = "A guess by the names and values of its columns"
    columns: dict[str, str | None] = field(default_factory=dict)
    derived: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def lines(self) -> list[str]:
        """The section in YAML, without its name."""
        options = {key: _or_bool(value) for key, value in self.found.options.items()}
        unused = [n for n in self.found.columns if not {n, n.split(".")[0]} & self.used]
        return [
            *_pairs({"path": self.path, "format": self.found.format}),
            *(_pairs({"options": options}) if options else []),
            *(["derived:", *_indented(_pairs(self.derived))] if self.derived else []),
            *_pairs({"columns": self.columns, **self.settings}),
            *(f"# {comment}" for comment in self.comments),
            *([f"# not used: {listed(unused)}"] if unused else []),
        ]


def write_config(shop: str, suggestions: Sequence[Suggestion], problems: Sequence[str] = ()) -> str:
    """A configuration with a section for each kind of table, as YAML.

    Args:
        shop: its name.
        problems: of files without a suggestion.
    """
    file = f"conf/{shop}.yaml"
    parts = [
        f"# A first configuration: write it into {file}, correct it, and run\n"
        f"# jobs/check_input.py --config {file}\nstorage: {{warehouse: ./warehouse/{shop}}}"
    ]
    for section in dict.fromkeys(one.section for one in suggestions):
        same = [one for one in suggestions if one.section == section]
        lines = _write_lists(same) if section == "suppressions" else _write_section(same)
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, *(f"# {_on_one_line(problem)}" for problem in problems)])


def _write_section(same: Sequence[Suggestion]) -> list[str]:
    """The first of several suggestions; a section names one table."""
    first, *others = same
    return [
        *(f"# {first.kind}", f"{first.section}:", *_indented(first.lines())),
        *(
            f"# also looks like {one.section}: {one.file} ({one.kind}): keep one, or put files "
            "with the same columns into one folder"
            for one in others
        ),
    ]


def _write_lists(lists: Sequence[Suggestion]) -> list[str]:
    """All suppression lists, each by a name of its own."""
    lines, names = list[str](), set[str]()
    for one in lists:
        name = to_name(one.file.split(".")[0], "list")
        while name in names:
            name += "_2"
        names.add(name)
        lines += [f"# {one.kind}", f"{name}:", *_indented(one.lines())]
    return ["suppressions:", *_indented(lines)]


def to_name(text: str, otherwise: str) -> str:
    """A text as a name for YAML and files: lower case, digits and `_`."""
    name = re.sub(r"\W+", "_", text.casefold()).strip("_")
    return name if name and to_yaml(name) == name else f"{otherwise}_{name}".strip("_")


def to_yaml(value: Any) -> str:
    """A value on one line of YAML."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(_pairs(value))}}}"
    if not isinstance(value, str):
        return json.dumps(value)
    is_plain = _PLAIN.fullmatch(value) and value.lower() not in _YAML_WORDS
    return value if is_plain else json.dumps(value, ensure_ascii=False)


def listed(names: Sequence[str]) -> str:
    """The first names, without addresses, and how many more there are."""
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(map(shown, names[:_MAX_NAMES])) + more


def shown(text: str) -> str:
    """A text on one line, without addresses."""
    return _on_one_line(masked(text) if "@" in text else text)


def _pairs(settings: Mapping[str, Any]) -> list[str]:
    return [f"{to_yaml(name)}: {to_yaml(value)}" for name, value in settings.items()]


def _or_bool(option: str) -> Any:
    return option == "true" if option in ("true", "false") else option


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
