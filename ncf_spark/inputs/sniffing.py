"""How a file can be read, its columns and their first values, from its first bytes."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ncf_spark.inputs import text
from ncf_spark.inputs.text import HEAD_BYTES, Options

_SEPARATORS = (",", "::", ";", "\t", "|")
_NUM_ROWS = 1000
# A cell that is an address, a number or a time is no name of a column.
_VALUE = re.compile(
    r"\s*([^@\s]+@[^@\s]+\.[^@\s]+|[-+]?\d[\d.,]*|\d{1,4}[-./]\d\d?[-./]\d{1,4}(\D.*)?)\s*"
)


@dataclass(frozen=True)
class Sniffed:
    """A file as it can be read.

    Args:
        options: of the reader.
        columns: their first values, as texts, without empty ones. Values within a nested column are
            columns of their own: user.id, items.item_id. Empty: the first bytes do not tell.
        nested: SQL for the latter: user.id, explode(items.item_id).
        has_names: whether the file names its columns; else they are `_c0`, `_c1`, … .
    """

    format: str
    options: Mapping[str, str]
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    nested: Mapping[str, str] = field(default_factory=dict)
    has_names: bool = True


def sniff(name: str, head: bytes) -> Sniffed | str:
    """How a file is written and what is in it; or why it cannot be read at all.

    Args:
        name: of the file.
        head: its first bytes, HEAD_BYTES or all of them.
    """
    for magic, kind in text.BINARY.items():
        if head.startswith(magic):
            return Sniffed(kind, {})
    content = text.unpack(name, head)
    found: dict[str, str] = {}
    if wide := text.find_utf_16(content):
        found = {"encoding": wide, "multiLine": "true"}
    elif text.find_problem(name, head, "text", Options({})) is not None:
        found = {"encoding": "windows-1252"}
    problem = text.find_problem(name, head, "text", Options(found))
    if problem is not None:
        return problem
    decoded = text.decode(content[:HEAD_BYTES], Options(found)).lstrip()
    if not decoded:
        return "is empty."
    if decoded[0] not in "{[":
        return _sniff_csv(content[:HEAD_BYTES], decoded, found, len(content) >= HEAD_BYTES)
    try:
        json.loads(decoded.partition("\n")[0])
    except ValueError:
        found["multiLine"] = "true"
    return sniff_records("json", found, _read_json(decoded))


def sniff_records(
    source_format: str, options: Mapping[str, str], records: Iterable[Mapping[str, Any]]
) -> Sniffed:
    """A file whose first records are known: {"user": {"id": 7}} has the column user.id."""
    columns, nested = dict[str, list[str]](), dict[str, str]()
    for name, given in itertools.chain.from_iterable(map(dict.items, map(dict, records))):
        is_list = isinstance(given, list) and bool(given)
        value = given[0] if is_list else given
        parts = {name: value}
        if isinstance(value, Mapping):
            parts = {f"{name}.{key}": part for key, part in value.items()}
        for path, part in parts.items():
            values = columns.setdefault(path, [])
            if is_list or path != name:
                nested[path] = f"explode({path})" if is_list else path
            if part not in (None, "") and not isinstance(part, (list, dict)):
                values.append(str(part))
    # A column that is null or an empty list in some records is known by the others.
    outer = {path.split(".")[0] for path in nested} - nested.keys()
    columns = {name: values for name, values in columns.items() if name not in outer}
    return Sniffed(source_format, options, columns, nested)


def _read_json(decoded: str) -> Iterator[dict[str, Any]]:
    """The first records of JSON's lines, or of an array; without one that is cut."""
    at, between = 0, re.compile(r"[\s,\[]*(?=\{)")
    while found := between.match(decoded, at):
        try:
            record, at = json.JSONDecoder().raw_decode(decoded, found.end())
        except ValueError:
            return
        yield record


def _sniff_csv(content: bytes, decoded: str, found: dict[str, str], is_cut: bool) -> Sniffed:
    first = re.sub(r'"[^"]*"', "", decoded.partition("\n")[0])
    sep = max(_SEPARATORS, key=first.count)
    if sep != ",":
        found["sep"] = sep.replace("\t", "\\t")
    if any(line.count('"') % 2 for line in decoded.splitlines()[:-1]):
        found["multiLine"] = "true"
    rows = list(itertools.islice(text.read_rows(content, Options(found)), _NUM_ROWS))
    has_names = not any(map(_VALUE.fullmatch, rows[0]))
    names = [cell if has_names and cell else f"_c{n}" for n, cell in enumerate(rows[0])]
    columns: dict[str, list[str]] = {name: [] for name in names}
    # The last line may be cut.
    for row in rows[has_names : -1 if is_cut else None]:
        for name, cell in zip(names, row, strict=False):
            if cell.strip():
                columns[name].append(cell)
    return Sniffed("csv", {**found, "header": str(has_names).lower()}, columns, {}, has_names)
