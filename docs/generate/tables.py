"""`tables.md`, from the schemas and from what the steps declare."""

from __future__ import annotations

from ncf_spark.night import STEPS
from ncf_spark.schemas import TABLES

_HEAD = """# Tables

<!-- make docs writes this page from ncf_spark/schemas and the step.py files. -->

Everything is below `storage.warehouse`. A run is `runs/<date>.<n>/`, the n-th run of that date. A
table is a folder of Parquet files there, with its name. Each step writes its tables and then its
record, `steps/<step>.json`: row counts, schemas, what was dropped and why, the resolved settings,
versions. `manifest.json` is written when all steps are done and the rows of every table are counted
again. Only then `LATEST.json` is replaced: whoever follows it never sees half a night, and a run
that fails leaves the published one alone. A complete run never changes: another run of its date is
skipped, or becomes a new run if settings or input changed, or with `--force`. The same input, seed
and number of workers give the same rows.

Every read and write checks the columns and their types. Users and items are called by your ids
(`user_id`, `item_id`) and by indexes that count from 0 without gaps and stay the same every night
(`user_index`, `item_index`).

## What a night writes"""

# Of folders that hold more than a table.
_FOLDERS = {
    "model": "`manifest.json`, `shared.safetensors`, `history.json` and the tables below",
    "compared": "`compared/<name>/` with the same for each model of `evaluation.compared`, and the "
    "vectors of `als`",
    "report": "`index.html`, a page that needs no other file",
    "campaign_files": "`campaign_files/<profile>/`: what a marketing tool loads, such as "
    "`campaign-0001.csv`, and a `manifest.json` with rows, bytes and SHA-256",
}


def build_tables() -> str:
    """The page: what a night writes, in order, and then the columns of each table."""
    parts, rows = [], ["| step | writes | one row is |", "| --- | --- | --- |"]
    for step in STEPS.values():
        for first in step.writes:
            if first in _FOLDERS:
                rows.append(f"| {step.name} | `{first}/` | {_FOLDERS[first]} |")
            for name in _tables_of(first):
                anchor = "".join(c for c in name if c.isalnum() or c in "_-")
                grain = TABLES[name].grain.split(". ")[0].rstrip(".")
                rows.append(f"| {step.name} | [`{name}`](#{anchor}) | {grain} |")
                readers = [s.name for s in STEPS.values() if first in s.reads]
                by = f"Written by `{step.name}`"
                if readers:
                    by += f", read by {', '.join(f'`{one}`' for one in readers)}"
                parts.append(_section(name, f"{by}."))
    declared = {first for step in STEPS.values() for first in step.writes}
    parts += [_section(name, "") for name in TABLES if name.split("/")[0] not in declared]
    return "\n\n".join([_HEAD, "\n".join(rows), *parts]) + "\n"


def _tables_of(first: str) -> list[str]:
    """The tables in a folder of a run, by the first part of their names.

    Raises:
        KeyError: when a step declares a table that no schema describes.
    """
    names = [name for name in TABLES if name.split("/")[0] == first]
    if not names and first not in _FOLDERS:
        raise KeyError(f"{first} is written by a step, but ncf_spark.schemas does not describe it")
    return names


def _section(name: str, by: str) -> str:
    table = TABLES[name]
    key = ", ".join(f"`{column}`" for column in table.key)
    rows = ["| column | type | null | meaning |", "| --- | --- | --- | --- |"]
    for field in table.schema:
        null = "yes" if field.nullable else "no"
        meaning = field.metadata["comment"].replace("|", "\\|").replace("<", "\\<")
        rows.append(f"| `{field.name}` | {field.dataType.simpleString()} | {null} | {meaning} |")
    lines = [f"### `{name}`", f"{table.grain} Key: {key}. {by}".strip(), "\n".join(rows)]
    return "\n\n".join(lines)
