"""However a table is written as CSV, it is read to the rows that it had, or refused."""

from __future__ import annotations

import csv
import io
import uuid
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from ncf_spark.errors import DataError
from ncf_spark.inputs.checks import check_files
from ncf_spark.inputs.sources import read_source
from tests.inputs.test_sources import source

COLUMNS = ("user", "item", "title")
CELLS = st.text(alphabet="ab1 ,;|\t\"'üé€\n.-", max_size=6).filter(lambda text: text.strip("\n "))
ROWS = st.lists(st.tuples(CELLS, CELLS, st.one_of(CELLS, st.just(""))), min_size=1, max_size=4)
ENCODINGS = ("utf-8", "utf-8-sig", "windows-1252", "utf-16")


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[tuple[str, ...]], dict[str, bytes], dict[str, str]]:
    """Rows, the files that hold them, and the options that they are read with."""
    encoding, sep = draw(st.sampled_from(ENCODINGS)), draw(st.sampled_from(",;\t|"))
    form = {
        "delimiter": sep,
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        "lineterminator": draw(st.sampled_from(["\n", "\r\n"])),
    }
    rows, files = [], {}
    for number in range(draw(st.integers(1, 3))):
        part, order = draw(ROWS), draw(st.permutations(range(len(COLUMNS))))
        text = io.StringIO()
        writer = csv.writer(text, **form)  # type: ignore[arg-type]
        writer.writerow([COLUMNS[n] for n in order])
        writer.writerows([row[n] for n in order] for row in part)
        files[f"{number}.csv"] = text.getvalue().encode(encoding)
        rows += part
    options = {"header": "true", "sep": sep.replace("\t", "\\t")}
    if draw(st.booleans()):
        options |= {"multiLine": "true"}
    if encoding in ("windows-1252", "utf-16") and draw(st.booleans()):
        options |= {"encoding": encoding.upper()}
    return rows, files, options


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(table=tables())
def test_a_table_is_read_to_its_rows_or_refused(spark: SparkSession, tmp_path: Path, table):
    rows, files, options = table
    folder = tmp_path / uuid.uuid4().hex
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    events = source(path=str(folder), format="csv", options=options)
    if must_be_told(rows, files, options):
        with pytest.raises(DataError, match=r"^input\.path: \d\.csv"):
            check_files(spark, {"input": events})
        return
    check_files(spark, {"input": events})
    found = read_source(spark, events, "input").select(*COLUMNS).collect()
    assert Counter(tuple(cell or "" for cell in row) for row in found) == Counter(rows)


def must_be_told(rows: list[tuple[str, ...]], files: dict[str, bytes], options: dict[str, str]):
    """Whether these files cannot be read with these options."""
    is_over_lines = any("\n" in cell for row in rows for cell in row)
    is_wide = any(content.startswith((b"\xff\xfe", b"\xfe\xff")) for content in files.values())
    if is_wide:
        return "encoding" not in options or "multiLine" not in options
    is_latin = any(not is_utf_8(content) for content in files.values())
    return (is_latin and "encoding" not in options) or (
        is_over_lines and "multiLine" not in options
    )


def is_utf_8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
