"""Files with any text in titles, addresses and ids are read back as they were meant."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncf_spark.campaign.files.cells import clean
from ncf_spark.campaign.files.profiles import PROFILES, columns, header
from ncf_spark.campaign.files.rows import build_rows
from ncf_spark.storage import files
from ncf_spark.storage.parts import PartsFolder
from tests.campaign.files.lists import EXPORT, campaign_lists

K = 3
SLOT = ("item_id", "title", "url", "image_url", "price", "score", "source")
ABOUT = ("user_id", "email", "locale", "country", "segment")
ARRAYS = ("item_ids", "titles", "urls", "image_urls", "prices", "scores", "sources")
COMMON = ("campaign_id", "run_date", "arm", "model_version", "updated_at")

PIECES = st.sampled_from(
    [
        *['"', '""', ",", "\n", "\r\n", "\r", "\t", "\\", "'", ";", " ", "null", "NULL", "\\N"],
        *["=1+1", "+", "-5", "@SUM(A1)", "{", "}", "[", '"price":"1.00"', "\\u0041", "\\n"],
        *["שלום", "مرحبا", "\u200f", "\u202e", "\u2067", "\u2069", "\u2028", "\x85", "\ufeff"],
        *["😀", "👩\u200d👩\u200d👧", "e\u0301", "é", "€", "\x01", "\x1f", "\x7f"],
        *["x" * 10_000, "é" * 5_000, "é" * 127, "x" * 254, "😀" * 64],
    ]
)
ANYTHING = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=20
)
TEXTS = st.lists(PIECES | ANYTHING, max_size=5).map("".join)
KEYS = TEXTS.filter(lambda text: text.strip(" ") != "")
MAYBE = st.none() | TEXTS
PRICES = st.none() | st.floats(allow_nan=False, allow_infinity=False)
SCORES = st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False)
# No tool's file has a NUL in a name; titles are rid of it.
TITLES = st.none() | st.lists(PIECES | ANYTHING | st.just("\x00"), max_size=5).map("".join)
SLOTS = st.tuples(
    TEXTS, TITLES, MAYBE, MAYBE, PRICES, SCORES, st.sampled_from(["model", "popular"])
)
RECIPIENTS = st.tuples(
    *(KEYS, KEYS, MAYBE, MAYBE, MAYBE),
    st.sampled_from(["model", "popular"]),
    st.lists(SLOTS, min_size=1, max_size=K),
)
NUM_RECIPIENTS = 200


@pytest.fixture(scope="module")
def recipients() -> list[tuple[Any, ...]]:
    """Recipients as hypothesis draws them; an id or address that comes again gets a number."""
    found: list[tuple[Any, ...]] = []
    keys: set[str] = set()

    @settings(max_examples=NUM_RECIPIENTS, phases=[Phase.generate])
    @given(RECIPIENTS)
    def draw(row: tuple[Any, ...]) -> None:
        own = [key if key not in keys else f"{key}{len(found)}" for key in row[:2]]
        keys.update(own)
        found.append((*own, *row[2:]))

    draw()
    assert len(found) == NUM_RECIPIENTS
    return found


@pytest.fixture(scope="module")
def lists(spark: SparkSession, recipients: list[tuple[Any, ...]]) -> DataFrame:
    """CAMPAIGN_LISTS, with titles that were cleaned as those of items are."""
    titles = list({slot[1] for row in recipients for slot in row[-1]} - {None})
    numbered = spark.createDataFrame(list(enumerate(titles)), "nth int, title string")
    cleaned = numbered.select("nth", clean(F.col("title")).alias("title")).collect()
    by_title = {titles[row.nth]: row.title for row in cleaned}
    return campaign_lists(
        spark,
        [
            (*row[:-1], [(slot[0], by_title.get(slot[1]), *slot[2:]) for slot in row[-1]])
            for row in recipients
        ],
    )


# --- what is meant, worked out here -------------------------------------------------------------


def one_line(text: str | None) -> str | None:
    """Control characters part a text like line breaks; directions without end are left out."""
    if text is None:
        return None
    text = "".join(c for c in text if not ("\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069"))
    parts = re.split("[\x00-\x1f\x7f-\x9f\u2028\u2029]", text)
    return " ".join(filter(None, (part.strip(" ") for part in parts))) or None


def safe(text: str | None, limit: int | None = None) -> str:
    """A text as a spreadsheet may read it, of at most so many bytes; nothing for None."""
    text = text or ""
    if text.startswith(("=", "+", "-", "@", "\t", "\r")):
        text = "'" + text
    while limit is not None and len(text.encode()) > limit:
        text = text[:-1]
    return text


def meant(row: tuple[Any, ...]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a recipient's row says: about the recipient, and in each slot."""
    user_id, email, *about, arm, slots = row
    texts = [user_id, email, *map(one_line, about)]
    common = ["autumn", "2026-11-23", arm, "neumf-7", "2026-11-24T02:30:05Z"]
    head = dict(zip((*ABOUT, *COMMON), [*texts, *common], strict=True))
    named = [dict(zip(SLOT, slot, strict=True)) for slot in slots]
    return head, [{**slot, "title": one_line(slot["title"])} for slot in named]


def meant_cells(name: str, row: tuple[Any, ...]) -> list[Any]:
    """The cells of a CSV file: texts, numbers as such, and lists where a cell holds JSON."""
    head, slots = meant(row)
    first = {"klaviyo": ["email"], "mailchimp": ["email"], "braze_csv": ["user_id"]}
    cells: list[Any] = [safe(head[column]) for column in [*first.get(name, ABOUT), *COMMON]]
    if name == "klaviyo":
        return cells + [[slot[field] for slot in slots] for field in SLOT]
    limits = {"title": 255} if name == "mailchimp" else {}
    for slot in slots:
        texts = {n: safe(slot[n], limits.get(n)) for n in SLOT if n not in ("price", "score")}
        cells += ["" if value is None else value for value in {**slot, **texts}.values()]
    return cells + [""] * len(SLOT) * (K - len(slots))


# --- the files ----------------------------------------------------------------------------------


def write(lists: DataFrame, folder: Path, name: str) -> list[str]:
    """The files of a profile."""
    profile = PROFILES[name]
    rows = build_rows(lists, profile, export=EXPORT, k=K)
    with PartsFolder(files.to_uri(str(folder)), {}) as parts:
        if profile.suffix == "parquet":
            parts.write_parquet(rows, group="campaign")
        else:
            parts.write_lines(
                rows,
                group="campaign",
                suffix=profile.suffix,
                line_end=profile.line_end,
                header=header(profile, K),
                max_bytes=5_000_000,
                profile=name,
            )
    return [str(file) for file in sorted(folder.glob(f"campaign-*.{profile.suffix}"))]


def single(value: float | None) -> float | None:
    """The float that a score is; JSON and CSV know only its shortest digits."""
    return None if value is None else float(np.float32(value))


def python_csv(file: str) -> list[list[str]]:
    csv.field_size_limit(10_000_000)
    with Path(file).open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream, strict=True))


def duckdb_csv(file: str) -> list[list[str]]:
    found = duckdb.read_csv(
        file,
        header=False,
        all_varchar=True,
        delimiter=",",
        quotechar='"',
        escapechar='"',
        max_line_size=10_000_000,
    )
    return [[cell or "" for cell in row] for row in found.fetchall()]


def read_cell(column: str, text: str) -> Any:
    """A cell's number or list, where the column has such."""
    if column in ARRAYS:
        found = json.loads(text)
        return [single(value) for value in found] if column == "scores" else found
    if not re.match(r"(price|score)_", column) or not text:
        return text
    assert re.fullmatch(r"-?\d+\.\d\d+", text)
    return float(text) if column.startswith("price") else single(float(text))


@pytest.mark.parametrize("name", ["klaviyo", "braze_csv", "mailchimp", "generic_csv"])
def test_csv_says_what_is_meant(lists, recipients, tmp_path, name):
    names = columns(PROFILES[name], K)
    written = write(lists, tmp_path / "files", name)
    expected = [meant_cells(name, row) for row in recipients]
    for read in (python_csv, duckdb_csv):
        found = []
        for head, *rows in map(read, written):
            assert head == names
            found += [[read_cell(c, t) for c, t in zip(names, row, strict=True)] for row in rows]
        assert sorted(found, key=repr) == sorted(expected, key=repr)


# --- JSON and Parquet ---------------------------------------------------------------------------


def read_jsonl(file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(file).read_bytes().decode().split("\n")[:-1]]


def read_braze(file: str) -> list[dict[str, Any]]:
    return [{**json.loads(line.pop("PAYLOAD")), **line} for line in read_jsonl(file)]


def read_parquet(file: str) -> list[dict[str, Any]]:
    """Dates and times as in JSON."""
    times = {"run_date": "%Y-%m-%d", "updated_at": "%Y-%m-%dT%H:%M:%SZ"}
    found = pq.read_table(file).to_pylist()
    return [{**row, **{n: row[n].strftime(f) for n, f in times.items()}} for row in found]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("braze_json", read_braze),
        ("generic_jsonl", read_jsonl),
        ("generic_parquet", read_parquet),
    ],
)
def test_json_and_parquet_say_what_is_meant(lists, recipients, tmp_path, name, read):
    expected = {}
    for head, slots in map(meant, recipients):
        user = head["user_id"]
        if name == "braze_json":
            outer = {"ID": user, "UPDATED_AT": head["updated_at"]}
            head = {**outer, **{column: head[column] for column in COMMON}}
        expected[user] = {**head, "slots": slots}
    found = [row for file in write(lists, tmp_path / "files", name) for row in read(file)]
    for row in found:
        row["slots"] = [{**slot, "score": single(slot["score"])} for slot in row["slots"]]
    assert {row.get("ID", row.get("user_id")): row for row in found} == expected
    assert len(found) == len(expected)
