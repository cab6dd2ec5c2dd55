"""The customer's tables in the formats and the states in which they come."""

import gzip
import os
import re
from pathlib import Path

import pytest

from ncf_spark.config import Source
from ncf_spark.schemas import DataError, SchemaError
from ncf_spark.storage.sources import (
    check_columns,
    check_where,
    describe_read_failure,
    filter_source,
    fingerprint,
    read_source,
)
from tests.conftest import rows


def source(**settings) -> Source:
    nothing = {"path": None, "table": None, "options": {}, "ddl": None, "where": None}
    nothing["derived"] = {}
    return Source(**{**nothing, "format": "parquet", **settings})


def read_failure(table) -> str:
    """What a person is told when the query over `table` fails."""
    with pytest.raises(Exception, match=r"(?s).") as raised:
        table.collect()
    return describe_read_failure(raised.value)


# --- formats ------------------------------------------------------------------------------------


def test_movielens_files_with_two_colons_between(spark, tmp_path):
    (tmp_path / "ratings.dat").write_text("1::1193::5::978300760\n2::661::3::978302109\n")
    ratings = source(
        path=str(tmp_path / "ratings.dat"),
        format="csv",
        options={"sep": "::"},
        ddl="user STRING, item STRING, rating DOUBLE, time LONG",
    )
    assert rows(read_source(spark, ratings, "input")) == [
        ("1", "1193", 5.0, 978300760),
        ("2", "661", 3.0, 978302109),
    ]


def test_csv_with_a_header_in_a_path_with_blanks(spark, tmp_path):
    (tmp_path / "Läden 100%").mkdir()
    (tmp_path / "Läden 100%" / "events.csv").write_text("user;item\n007;ä\n", encoding="utf-8")
    events = source(
        path=str(tmp_path / "Läden 100%"), format="csv", options={"header": "true", "sep": ";"}
    )
    assert rows(read_source(spark, events, "input")) == [("007", "ä")]


@pytest.mark.parametrize("options", [{}, {"escape": "\\"}])
def test_a_quote_within_a_csv_cell_is_doubled_unless_told_otherwise(spark, tmp_path, options):
    inner = '\\"' if options else '""'
    path = tmp_path / "items.csv"
    path.write_text(f'sku,name\nA,"a {inner}quoted{inner}, cut"\n')
    items = source(path=str(path), format="csv", options={"header": "true", **options})
    assert rows(read_source(spark, items, "catalogue")) == [("A", 'a "quoted", cut')]


def test_json_lines(spark, tmp_path):
    (tmp_path / "events.json").write_text('{"user": "a", "n": 1}\n{"user": "b"}\n')
    events = source(path=str(tmp_path / "events.json"), format="json", ddl="user STRING, n INT")
    assert rows(read_source(spark, events, "input")) == [("a", 1), ("b", None)]


def test_many_files_by_a_pattern(spark, tmp_path):
    for day, user in (("22", "a"), ("23", "b")):
        (tmp_path / f"2026-11-{day}.json").write_text(f'{{"user": "{user}"}}')
    (tmp_path / "2026-12-01.json").write_text('{"user": "c"}')
    events = source(path=str(tmp_path / "2026-11-*.json"), format="json")
    assert rows(read_source(spark, events, "input")) == [("a",), ("b",)]


def test_a_table_of_the_catalog(spark):
    spark.createDataFrame([("a", "x")], "user string, item string").write.mode(
        "overwrite"
    ).saveAsTable("shop_events")
    assert rows(read_source(spark, source(table="shop_events"), "input")) == [("a", "x")]
    spark.sql("drop table shop_events")


# --- places that cannot be read -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["none", "none*.csv"])
def test_a_path_that_is_not_there_is_named_with_its_setting(spark, tmp_path, name):
    with pytest.raises(DataError, match=r"^catalogue\.path: /.*/none.* does not exist\.$"):
        read_source(spark, source(path=str(tmp_path / name)), "catalogue")


@pytest.mark.parametrize("table", ["no_such_table", "default.no_such_table"])
def test_a_table_that_is_not_there_is_named_with_its_setting(spark, table):
    with pytest.raises(DataError, match=rf"^input\.table: {table} does not exist\.$"):
        read_source(spark, source(table=table), "input")


def test_no_place_at_all_says_what_to_set(spark):
    with pytest.raises(DataError, match=r"neither path nor table is set. Set input\.path\."):
        read_source(spark, source(), "input")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"format": "parket"}, "parket"), ({"ddl": "user STRNG"}, "STRNG")],
)
def test_a_wrong_format_or_ddl_is_quoted(spark, tmp_path, settings, message):
    with pytest.raises(DataError, match=rf"^input\.path: /.* cannot be read\. .*{message}"):
        read_source(spark, source(path=str(tmp_path), **settings), "input")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    path.with_name(f".{path.name}.crc").unlink(missing_ok=True)


def test_a_parquet_file_cut_short_is_named(spark, tmp_path):
    spark.range(2000).coalesce(1).write.parquet(str(tmp_path / "events"))
    (part,) = (tmp_path / "events").glob("*.parquet")
    cut(part)
    with pytest.raises(DataError, match=rf"input\.path: .*{part.name}: cannot be read; it is dam"):
        read_source(spark, source(path=str(tmp_path / "events")), "input")
    lazily = read_source(spark, source(path=str(tmp_path / "events"), ddl="id LONG"), "input")
    assert f"{part.name}: cannot be read; it is damaged" in read_failure(lazily)


@pytest.mark.parametrize("damage", ["cut", "no gzip"])
def test_a_damaged_gz_file_is_named(spark, tmp_path, damage):
    lines = "".join(f"u{n * 7919 % 10007},i{n}\n" for n in range(5000))
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(lines.encode()) if damage == "cut" else lines.encode())
    cut(path)
    events = source(path=str(path), format="csv", ddl="user STRING, item STRING")
    failure = read_failure(read_source(spark, events, "input"))
    named, unnamed = f"file://{path}: cannot be read; it is", "a file of the input: cannot be read"
    # Spark 3 does not always say which file it was.
    assert failure.startswith((named, unnamed) if spark.version.startswith("3.") else named)


def test_a_failure_that_is_not_the_files_is_not_explained_away(spark):
    failing = spark.sql("select raise_error('no such thing') as x")
    assert read_failure(failing) is None


# --- columns and conditions ---------------------------------------------------------------------


def test_derived_columns_are_computed_of_the_rows_own(spark, tmp_path):
    (tmp_path / "events.csv").write_text("user,n\nana,2\nben,x\n")
    derived = {"twice": "2 * try_cast(n AS INT)", "user": "upper(user)"}
    events = source(
        path=str(tmp_path / "events.csv"), format="csv", options={"header": "true"}, derived=derived
    )
    found = read_source(spark, events, "input")
    assert found.columns == ["user", "n", "twice"]
    assert rows(found) == [("ANA", "2", 4), ("BEN", "x", None)]


@pytest.mark.parametrize("sql", ["amount + 1", "user +", "count(*)"])
def test_a_derived_column_that_does_not_fit_is_refused_with_the_columns(spark, tmp_path, sql):
    (tmp_path / "events.csv").write_text("user\nana\n")
    events = source(
        path=str(tmp_path / "events.csv"),
        format="csv",
        options={"header": "true"},
        derived={"twice": sql},
    )
    told = r"(?s)^input\.derived\.twice: .*Columns present: \['user'\]"
    with pytest.raises(DataError, match=told):
        read_source(spark, events, "input")


def test_where_keeps_the_rows_for_which_it_holds(spark):
    orders = spark.createDataFrame([("a", 1), ("b", 0), ("c", None)], "user string, quantity int")
    assert rows(filter_source(orders, source(where="quantity > 0"), "input")) == [("a", 1)]
    assert filter_source(orders, source(), "input") is orders


@pytest.mark.parametrize("where", ["amount > 0", "quantity", "quantity >", "count(*) > 1"])
def test_a_where_that_does_not_fit_is_refused_with_the_columns(spark, where):
    orders = spark.createDataFrame([("a", 1)], "user string, quantity int")
    with pytest.raises(
        DataError, match=r"(?s)^input\.where: .*Columns present: \['user', 'quantity'\]"
    ):
        check_where(orders, where, "input")


def test_every_missing_column_is_named_with_its_setting(spark):
    events = spark.createDataFrame([("a", "x", 1)], "user string, item string, ts int")
    check_columns(events, {"user": "user", "item": "item", "time": None}, "input")
    with pytest.raises(SchemaError, match="column user_id is missing") as raised:
        check_columns(events, {"user": "user_id", "item": "item", "time": "time"}, "input")
    there = "Columns present: ['user', 'item', 'ts']"
    assert str(raised.value).splitlines() == [
        f"input: column {column} is missing. {there}. Set input.columns.{ours} in the "
        "configuration (for CSV see also input.options)."
        for column, ours in (("user_id", "user"), ("time", "time"))
    ]


# --- whether files are others than before -------------------------------------------------------


def write(path: Path, text: str, at: int) -> None:
    """A file that was last changed so many seconds after 1970."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))


def test_files_are_known_by_their_names_sizes_and_times(spark, tmp_path):
    def known(pattern: str = "*.csv") -> dict:
        return fingerprint(spark, source(path=str(tmp_path / "in" / pattern)), "input")

    write(tmp_path / "in" / "a.csv", "1", at=1)
    write(tmp_path / "in" / "day=1" / "b.csv", "22", at=86_400)
    one = known()
    assert one | {"hash": ""} == {
        **{"files": 1, "bytes": 1, "newest": "1970-01-01T00:00:01+00:00", "hash": ""}
    }
    all_files = known("")
    assert (all_files["files"], all_files["bytes"]) == (2, 3)
    assert all_files["newest"] == "1970-01-02T00:00:00+00:00"
    assert known() == one
    # What a writer leaves beside its files is no input: Spark does not read it either.
    for name in ("_SUCCESS", ".a.csv.crc", "_temporary/c.csv"):
        write(tmp_path / "in" / name, "333", at=999_999)
    assert known("") == all_files
    hashes = {one["hash"]}
    for name, text, at in [("a.csv", "2", 2), ("a.csv", "12", 2), ("c.csv", "1", 1)]:
        write(tmp_path / "in" / name, text, at)
        hashes.add(known()["hash"])
    assert len(hashes) == 4


def test_a_table_of_the_catalog_is_known_by_its_name(spark):
    assert fingerprint(spark, source(table="shop.events"), "input") == {"table": "shop.events"}


@pytest.mark.parametrize(
    ("path", "wrong"),
    [("none", "does not exist"), ("none/*.csv", "does not exist"), ("in", "is empty: 0 bytes")],
)
def test_where_there_is_nothing_to_read_the_setting_is_named(spark, tmp_path, path, wrong):
    write(tmp_path / "in" / "a.csv", "", at=1)
    with pytest.raises(DataError, match=rf"^catalogue\.path: .*{re.escape(path)} {wrong}"):
        fingerprint(spark, source(path=str(tmp_path / path)), "catalogue")


# --- Parquet with nanoseconds -------------------------------------------------------------------


def test_times_in_nanoseconds_are_read_as_times_and_numbers_stay(spark, tmp_path):
    pandas = pytest.importorskip("pandas")
    times = pandas.to_datetime(["2026-10-01 08:25:00.123456789", None])
    table = pandas.DataFrame({"n": [1, 2], "the time": times})
    path = str(tmp_path / "events.parquet")
    table.to_parquet(path, version="2.6")
    found = read_source(spark, source(path=path), "input")
    assert rows(found.selectExpr("n", "string(`the time`)")) == [
        (1, "2026-10-01 08:25:00.123456"),
        (2, None),
    ]
    derived = {"at": "timestamp_micros(`the time` div 1000)"}
    with pytest.raises(DataError, match=r"the time holds nanoseconds and is a timestamp here: use"):
        read_source(spark, source(path=path, derived=derived), "input")


# --- names in SQL -------------------------------------------------------------------------------


def test_names_with_blanks_are_shown_in_backticks(spark):
    table = spark.createDataFrame([(1, 2)], "`Lineitem quantity` int, `Lineitem` int")
    with pytest.raises(
        DataError,
        match=r'input\.where: "`Lineitem quantity` > 0 AND Lineitem > 0"\.$',
    ):
        check_where(table, "Lineitem quantity > 0 AND Lineitem > 0", "input")


@pytest.mark.parametrize(
    ("column", "sql"), [("user.id", "user.id"), ("items.sku", "explode(items.sku)")]
)
def test_what_is_within_a_column_is_a_derived_column(spark, column, sql):
    table = spark.createDataFrame([], "user struct<id: string>, items array<struct<sku: string>>")
    with pytest.raises(SchemaError, match=re.escape(f'input.derived: {{item: "{sql}"}} and ')):
        check_columns(table, {"item": column}, "input")
