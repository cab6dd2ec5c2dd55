"""Numbered files of at most so many bytes: whole, sorted, the same in every rerun."""

import csv
import hashlib
import io
import json
import os
import stat
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from ncf_spark.errors import DataError
from ncf_spark.storage import files, fragments
from ncf_spark.storage.parts import PartsFolder

LINES = [("ben", "ben,2"), ("ana", "ana,1"), ("zoé", "zoé,😀"), ("cem", "cem,33")]
WHOLE = "user,n\r\nana,1\r\nben,2\r\ncem,33\r\nzoé,😀\r\n".encode()
MANY = [(f"user-{n}", f"user-{n},{'é' * (n % 7)}") for n in range(200)]


LAYOUT = {"suffix": "csv", "line_end": "\r\n", "header": "user,n", "profile": "braze_csv"}


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "shop" / "campaign_files"


def opened(folder: Path, facts: dict | None = None) -> PartsFolder:
    return PartsFolder(files.to_uri(str(folder)), facts or {})


def write(spark, folder, lines, max_bytes=None, partitions=2, **layout):
    table = spark.createDataFrame(lines, "key string, line string").repartition(partitions)
    how = {**LAYOUT, "group": "campaign", "max_bytes": max_bytes, **layout}
    with folder if isinstance(folder, PartsFolder) else opened(folder) as parts:
        return parts.write_lines(table, **how)


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("max_bytes", [None, len(WHOLE), 1_000_000])
def test_what_fits_is_one_file_sorted_by_key(spark, folder, order, max_bytes):
    parts = write(spark, folder, LINES[::order], max_bytes)
    assert contents(folder)["campaign-0001.csv"] == WHOLE
    digest = hashlib.sha256(WHOLE).hexdigest()
    assert parts == [("campaign-0001.csv", 4, len(WHOLE), digest)]


def test_a_byte_too_many_makes_two_files(spark, folder):
    parts = write(spark, folder, LINES, len(WHOLE) - 1)
    assert [part.name for part in parts] == ["campaign-0001.csv", "campaign-0002.csv"]
    assert sum(part.rows for part in parts) == 4


# Of the least size, where a file holds a line or two, some lines are enough.
@pytest.mark.parametrize(("max_bytes", "lines"), [(31, MANY[:50]), (100, MANY), (500, MANY)])
def test_each_file_is_whole_and_small_enough(spark, folder, max_bytes, lines):
    parts = write(spark, folder, lines, max_bytes)
    found = []
    for part in parts:
        content = (folder / part.name).read_bytes()
        assert len(content) == part.bytes <= max_bytes
        assert hashlib.sha256(content).hexdigest() == part.sha256
        header, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
        assert header == ["user", "n"]
        assert len(rows) == part.rows > 0
        assert rows == sorted(rows)
        found += [tuple(row) for row in rows]
    assert sorted(found) == sorted(tuple(line.split(",")) for _, line in lines)
    assert [p.name for p in parts] == [f"campaign-{n:04d}.csv" for n in range(1, len(parts) + 1)]


def test_files_are_filled(spark, folder):
    lines = [(f"user-{n:05d}", f"user-{n:05d},{n % 10}") for n in range(5000)]
    parts = write(spark, folder, lines, max_bytes=20_000)
    # 70,000 bytes: rows are few here, and buckets uneven; a bucket may need a second file.
    assert len(parts) <= 6


@pytest.mark.parametrize("max_bytes", [None, 500])
def test_a_rerun_writes_the_same_bytes(spark, folder, max_bytes):
    lines = [*MANY, *[("user-1", f"user-1,{n}") for n in range(50)]]  # one key with many lines
    write(spark, folder, lines, max_bytes)
    first = contents(folder)
    write(spark, folder, lines[::-1], max_bytes)
    assert contents(folder) == first
    write(spark, folder, lines, max_bytes, partitions=7)
    assert contents(folder) == first


def test_json_lines_have_no_header(spark, folder):
    settings = {"suffix": "jsonl", "line_end": "\n", "header": None}
    parts = write(spark, folder, [("b", "{}"), ("a", '{"n":1}')], 20, **settings)
    assert contents(folder)["campaign-0001.jsonl"] == b'{"n":1}\n{}\n'
    assert parts[0].rows == 2


def test_only_the_owner_may_read(spark, folder):
    write(spark, folder, MANY, 500)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert (stat.S_IMODE(folder.stat().st_mode), modes) == (0o700, {0o600})


def test_the_manifest_says_what_is_there_and_names_nobody(spark, folder):
    facts = {"profile": "braze_csv", "campaign_id": "autumn", "columns": ["user", "n"]}
    with opened(folder, facts) as parts:
        for group, lines in (("campaign", LINES), ("removed", [("zoé", "zoé")])):
            table = spark.createDataFrame(lines, "key string, line string")
            parts.write_lines(table, group=group, **LAYOUT)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    removed = "user,n\r\nzoé\r\n".encode()
    assert manifest == {
        **facts,
        "parts": [
            {
                "name": name,
                "rows": rows,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for name, rows, content in (
                ("campaign-0001.csv", 4, WHOLE),
                ("removed-0001.csv", 1, removed),
            )
        ],
        "totals": {
            "campaign": {"parts": 1, "rows": 4, "bytes": len(WHOLE)},
            "removed": {"parts": 1, "rows": 1, "bytes": len(removed)},
        },
    }
    assert "zoé" not in (folder / "manifest.json").read_text()
    assert set(contents(folder)) == {"campaign-0001.csv", "removed-0001.csv", "manifest.json"}


def test_no_rows_make_no_file(spark, folder):
    for max_bytes in (None, 500):
        assert write(spark, folder, [], max_bytes) == []
        assert set(contents(folder)) == {"manifest.json"}
        manifest = json.loads((folder / "manifest.json").read_bytes())
        assert manifest["totals"] == {"campaign": {"parts": 0, "rows": 0, "bytes": 0}}


def test_a_later_export_takes_the_place_of_the_earlier_one(spark, folder):
    write(spark, folder, MANY, 500)
    write(spark, folder, LINES)
    assert set(contents(folder)) == {"campaign-0001.csv", "manifest.json"}
    assert [file.name for file in folder.parent.iterdir()] == ["campaign_files"]


def test_a_row_that_no_file_can_hold_is_an_error_that_names_nobody(spark, folder):
    write(spark, folder, LINES)
    before = contents(folder)
    longest = len("user,n\r\nzoé,😀\r\n".encode())
    write(spark, folder / "fits", LINES, longest)
    with pytest.raises(DataError, match="longest row of profile braze_csv takes 11") as raised:
        write(spark, folder, LINES, longest - 1)
    assert "a file may have 18. Lower campaign.k" in str(raised.value)
    assert "zoé" not in str(raised.value)
    assert {n: c for n, c in before.items() if n != "fits"} == {
        file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()
    }


def test_an_export_that_fails_leaves_what_was_there_and_no_scraps(spark, folder):
    write(spark, folder, LINES)
    before = contents(folder)
    bad = F.when(F.col("key") == "user-9", F.raise_error(F.lit("on purpose")).cast("string"))
    table = spark.createDataFrame(MANY, "key string, line string")
    table = table.withColumn("line", F.coalesce(bad, "line"))

    def export() -> None:
        with opened(folder) as parts:
            parts.write_lines(table.where("key = 'user-1'"), group="first", **LAYOUT)
            parts.write_lines(table, group="campaign", **LAYOUT)

    with pytest.raises(PySparkException, match="on purpose"):
        export()
    assert contents(folder) == before
    assert [file.name for file in folder.parent.iterdir()] == ["campaign_files"]


def test_what_an_attempt_left_that_failed_is_not_published(spark, folder):
    table = spark.createDataFrame(LINES, "key string, line string")
    with opened(folder) as parts:
        (left,) = folder.parent.glob("campaign_files.*.tmp/.fragments")
        (left / "half").write_bytes(b"half a file")
        parts.write_lines(table, group="campaign", **LAYOUT)
    assert set(contents(folder)) == {"campaign-0001.csv", "manifest.json"}


@pytest.mark.parametrize("order", [1, -1])
def test_parquet_holds_the_columns_of_the_row_sorted_by_key(spark, folder, order):
    lists = [("b", ("b", [1.5])), ("a", ("a", None)), ("c", ("c", []))]
    schema = "key string, row struct<user_id: string, prices: array<double>>"
    with opened(folder) as parts:
        table = spark.createDataFrame(lists[::order], schema)
        (part,) = parts.write_parquet(table, group="campaign")
    content = (folder / "campaign-0001.parquet").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert part == ("campaign-0001.parquet", 3, len(content), digest)
    assert pq.read_table(folder / part.name).to_pylist() == [
        {"user_id": "a", "prices": None},
        {"user_id": "b", "prices": [1.5]},
        {"user_id": "c", "prices": []},
    ]
    assert stat.S_IMODE((folder / part.name).stat().st_mode) == 0o600
    with opened(folder) as parts:
        assert parts.write_parquet(table.limit(0), group="campaign") == []


# --- an object store ----------------------------------------------------------------------------


@pytest.fixture
def s3_folder(spark, s3, monkeypatch) -> str:
    """A URI on S3 that the tests' executors reach too."""
    environment = spark.sparkContext.environment
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setitem(environment, name, os.environ[name])
    return "s3a://shop/nächte #1/campaign_files"


def test_on_s3_the_manifest_comes_last(spark, s3, s3_folder):
    many = write(spark, PartsFolder(s3_folder, {}), MANY, 500)
    s3.requests.clear()
    parts = write(spark, PartsFolder(s3_folder, {}), LINES, 500)
    assert (len(many) > 1, len(parts)) == (True, 1)
    assert files.read_bytes(f"{s3_folder}/campaign-0001.csv") == WHOLE
    assert files.list_names(s3_folder) == ["campaign-0001.csv", "manifest.json"]
    puts = [path for method, path, _ in s3.requests if method == "PUT"]
    assert puts[-1].split("?")[0].endswith("/manifest.json")
    deleted = [path for method, path, _ in s3.requests if method in ("DELETE", "POST")]
    assert deleted[0].split("?")[0].endswith("/manifest.json")


def test_on_s3_an_export_that_fails_leaves_nothing_that_counts(spark, s3, s3_folder):
    write(spark, PartsFolder(s3_folder, {}), MANY, 500)
    with pytest.raises(DataError, match="longest row"):
        write(spark, PartsFolder(s3_folder, {}), LINES, 10)
    assert files.list_files(s3_folder, "") == []


# --- where files are cut ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "written", "max_bytes", "last"),
    [(0, 0, None, 3), (0, 0, 9, 3), (0, 0, 8, 2), (0, 1, 9, 2), (0, 0, 2, 0), (1, 0, 5, 2)],
)
def test_rows_go_into_a_file_as_long_as_there_is_room(row, written, max_bytes, last):
    ends = np.array([0, 3, 5, 9])
    assert fragments._last_row(ends, row, written, max_bytes) == last
