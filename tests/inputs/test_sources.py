"""The customer's tables in the formats and the states in which they come."""

import contextlib
import gzip
import os
import re
from pathlib import Path

import pytest

from ncf_spark.config import Source
from ncf_spark.errors import DataError, SchemaError
from ncf_spark.inputs.checks import check_files
from ncf_spark.inputs.sources import (
    check_columns,
    check_where,
    filter_source,
    read_source,
)
from ncf_spark.inputs.text import REMEDY
from ncf_spark.storage.read_failures import describe_read_failure
from ncf_spark.storage.sources import fingerprint
from tests.conftest import rows


def source(**settings) -> Source:
    nothing = {"path": None, "table": None, "options": {}, "ddl": None, "where": None}
    nothing["derived"] = {}
    return Source(**{**nothing, "format": "parquet", **settings})


def csv(path: Path, **settings) -> Source:
    return source(**{"path": str(path), "format": "csv", "options": {"header": "true"}, **settings})


def write(path: Path, text: str, at: int = 1) -> Path:
    """A file that was last changed so many seconds after 1970."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (at, at))
    return path


def write_days(folder: Path, *texts: str) -> Path:
    for day, text in enumerate(texts, start=1):
        write(folder / f"{day}.csv", text)
    return folder


def read_failure(table) -> str:
    """What a person reads when the query over `table` fails."""
    with pytest.raises(Exception, match=r"(?s).") as raised:
        table.collect()
    return describe_read_failure(raised.value)


# --- formats ------------------------------------------------------------------------------------


HEADER = {"header": "true"}


@pytest.mark.parametrize(
    ("files", "path", "settings", "expected"),
    [
        (  # MovieLens
            {"ratings.dat": "1::1193::5::978300760\n"},
            "ratings.dat",
            {
                **{"format": "csv", "options": {"sep": "::"}},
                "ddl": "user STRING, item STRING, rating DOUBLE, time LONG",
            },
            [("1", "1193", 5.0, 978300760)],
        ),
        (
            {"Läden 100%/events.csv": "user;item\n007;ä\n"},
            "Läden 100%",
            {"format": "csv", "options": {**HEADER, "sep": ";"}},
            [("007", "ä")],
        ),
        (
            {"a.csv": 'sku,name\nA,"a ""quoted"", cut"\n'},
            "a.csv",
            {"format": "csv", "options": HEADER},
            [("A", 'a "quoted", cut')],
        ),
        (
            {"a.csv": 'sku,name\nA,"a \\"quoted\\", cut"\n'},
            "a.csv",
            {"format": "csv", "options": {**HEADER, "escape": "\\"}},
            [("A", 'a "quoted", cut')],
        ),
        (
            {"a.json": '{"user": "a", "n": 1}\n{"user": "b"}\n'},
            "a.json",
            {"format": "json", "ddl": "user STRING, n INT"},
            [("a", 1), ("b", None)],
        ),
        (
            {f"2026-{day}.json": f'{{"user": "{day}"}}' for day in ("11-22", "11-23", "12-01")},
            "2026-11-*.json",
            {"format": "json"},
            [("11-22",), ("11-23",)],
        ),
    ],
)
def test_formats_of_files(spark, tmp_path, files, path, settings, expected):
    for name, text in files.items():
        write(tmp_path / name, text)
    table = source(path=str(tmp_path / path), **settings)
    assert rows(read_source(spark, table, "input")) == expected


def test_a_table_of_the_catalog(spark):
    events = spark.createDataFrame([("a", "x")], "user string, item string")
    events.write.mode("overwrite").saveAsTable("shop_events")
    assert rows(read_source(spark, source(table="shop_events"), "input")) == [("a", "x")]
    spark.sql("drop table shop_events")
    # It is known by its name alone.
    assert fingerprint(spark, source(table="shop.events"), "input") == {"table": "shop.events"}


# --- places that cannot be read -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "none"}, r"^input\.path: /.*/none does not exist\.$"),
        ({"path": "none*.csv"}, r"^input\.path: /.*/none.* does not exist\.$"),
        ({"table": "no_such_table"}, r"^input\.table: no_such_table does not exist\.$"),
        ({"table": "default.no_such"}, r"^input\.table: default\.no_such does not exist\.$"),
        ({}, r"neither path nor table is set. Set input\.path\."),
        ({"path": "", "format": "parket"}, r"^input\.path: /.* cannot be read\. .*parket"),
        ({"path": "", "ddl": "user STRNG"}, r"^input\.path: /.* cannot be read\. .*STRNG"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_setting(spark, tmp_path, settings, message):
    write(tmp_path / "events", "u1")
    if "path" in settings:
        settings = settings | {"path": str(tmp_path / settings["path"])}
    with pytest.raises(DataError, match=message):
        read_source(spark, source(**settings), "input")


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
    what = "cut short (gzip). Replace" if damage == "cut" else "damaged, cut short or"
    named = f"file://{path}: cannot be read; it is {what}"
    unnamed = f"a file of the input: cannot be read; it is {what}"
    # Spark 3 does not always say which file it was.
    assert failure.startswith((named, unnamed) if spark.version.startswith("3.") else named)


def test_a_failure_that_is_not_the_files_is_not_explained_away(spark):
    failing = spark.sql("select raise_error('no such thing') as x")
    assert read_failure(failing) is None


# --- CSV files of one table, each with a header of its own ---------------------------------------


def test_columns_in_another_order_are_read_by_their_names(spark, tmp_path):
    days = ["user,item\nana,x\n", "item,user\ny,ben\n", "\ufeffuser,item\r\ncem,z\r\n"]
    folder = write_days(tmp_path / "in", *days)
    for settings in ({}, {"options": {"header": "true", "enforceSchema": "false"}}):
        found = read_source(spark, csv(folder, **settings), "input").select("user", "item")
        assert sorted(rows(found)) == [("ana", "x"), ("ben", "y"), ("cem", "z")]


def test_columns_of_folders_stay_when_headers_differ(spark, tmp_path):
    write(tmp_path / "dt=1" / "a.csv", "user,item\nana,x\n")
    write(tmp_path / "dt=2" / "a.csv", "item,user\ny,ben\n")
    found = read_source(spark, csv(tmp_path), "input").select("user", "item", "dt")
    assert sorted(rows(found)) == [("ana", "x", 1), ("ben", "y", 2)]


def test_a_schema_goes_by_the_names_of_the_header_where_they_are_the_same(spark, tmp_path):
    folder = write_days(tmp_path / "in", "n,user\n1,ana\n", "user,n\nben,2\n")
    found = read_source(spark, csv(folder, ddl="user STRING, n INT"), "input")
    assert sorted(rows(found.select("user", "n"))) == [("ana", 1), ("ben", 2)]
    one = csv(folder / "1.csv", ddl="user STRING, n INT")
    assert rows(read_source(spark, one, "input").select("user", "n")) == [("ana", 1)]
    renamed = csv(folder / "1.csv", ddl="number INT, customer STRING")
    assert rows(read_source(spark, renamed, "input")) == [(1, "ana")]


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ("user,channel,item\n", "has the columns user, channel, item, and 1.csv has the columns"),
        ("user\n", "2.csv has the columns user, and 1.csv has the columns user, item"),
    ],
)
def test_files_with_other_columns_are_refused(spark, tmp_path, second, told):
    folder = write_days(tmp_path / "in", "user,item\n", second)
    with pytest.raises(DataError, match=rf"^input\.path: 2\.csv .*{re.escape(told[9:])}"):
        read_source(spark, csv(folder), "input")


def test_files_without_a_header_have_as_many_cells(spark, tmp_path):
    folder = write_days(tmp_path / "in", "ana,x\n", "ben,y,2\n")
    with pytest.raises(DataError, match=r"2\.csv has 3 cells in its first line, and 1\.csv has 2"):
        read_source(spark, csv(folder, options={}), "input")


def test_names_with_wildcards_in_them_are_names_first(spark, tmp_path):
    write(tmp_path / "orders [2026] {a}*.csv", "user,item\nana,x\n")
    write(tmp_path / "orders 2.csv", "user,item\nben,x\n")
    found = read_source(spark, csv(tmp_path / "orders [2026] {a}*.csv"), "input")
    assert rows(found) == [("ana", "x")]
    assert rows(read_source(spark, csv(tmp_path / "orders [123].csv"), "input")) == [("ben", "x")]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("orders-08:00.csv", r"orders-08:00\.csv: Hadoop, by which Spark reads files, does"),
        ("_orders.csv", r"holds no file that Spark reads: .* passed over \(_orders\.csv\)\."),
        (".orders.csv", r"holds no file that Spark reads: .* passed over \(\.orders\.csv\)\."),
    ],
)
def test_names_that_spark_does_not_read_are_refused(spark, tmp_path, name, told):
    write(tmp_path / "in" / name, "user,item\n")
    for path in (tmp_path / "in", tmp_path / "in" / name):
        with pytest.raises(DataError, match=rf"^input\.path: .*{told}"):
            read_source(spark, csv(path), "input")


# --- a look at the files before they are read ----------------------------------------------------


def test_all_that_is_wrong_is_said_at_once(spark, tmp_path):
    places = {
        "input": b'user,title\n\n"ana","a\nb"\nben,c\nben,"d\n"\n',
        "catalogue": "sku,name\n1,Müller\n2,x\n".encode("latin-1"),
        "recipients": b"user,email\n",
        "suppressions.gone": b"email\n",
        "send_log": b"user,at\na,1\nb\nc,3,x\n",
        "outcomes": b"PK\x03\x04",
    }
    sources = {}
    for name, content in places.items():
        (tmp_path / f"{name}.csv").write_bytes(content)
        sources[name] = csv(tmp_path / f"{name}.csv")
    with pytest.raises(DataError, match="catalogue") as raised:
        check_files(spark, sources)
    assert str(raised.value).splitlines() == [
        f"catalogue.path: catalogue.csv is not UTF-8: line 2 has the byte 0xFC. {REMEDY}",
        "outcomes.path: outcomes.csv is a zip archive, which Spark does not read. Unpack it, or "
        "pack it with gzip.",
        "input.path: input.csv, line 3, 6, 7: in 3 lines a quoted cell does not end on its line. "
        "Set options: {multiLine: true}.",
        f"recipients.path: {tmp_path}/recipients.csv holds a header and no rows.",
        "send_log.path: send_log.csv, line 3, 4: in 2 lines another number of cells than in the "
        "first line. Mend them, or, to have missing cells read as empty and further ones left "
        "out, add mode: PERMISSIVE to options.",
    ]


def test_a_list_of_people_has_every_cell_and_a_header(spark, tmp_path):
    (tmp_path / "two.csv").write_text("Email\na@x.example,b@x.example\n")
    (tmp_path / "none.csv").write_text("a@x.example\nb@x.example\n")
    ragged = csv(tmp_path / "two.csv", options={"header": "true", "mode": "PERMISSIVE"})
    sources = {
        "suppressions.two": ragged,
        "suppressions.none": csv(tmp_path / "none.csv"),
        "input": ragged,
    }
    with pytest.raises(DataError) as raised:
        check_files(spark, sources)
    assert str(raised.value).splitlines() == [
        "suppressions.none.path: the first line of none.csv holds an address (a…@x.example), so it "
        "is no header, and nobody would read it. Set options: {header: false}, under which columns "
        "are called _c0, _c1 and so on.",
        "suppressions.two.path: two.csv, line 2: in 1 line another number of cells than in the "
        "first line. Mend them.",
    ]


def test_wrong_bytes_far_down_are_found(spark, tmp_path):
    lines = [b"user"] + [b"u%d" % n for n in range(30_000)]
    lines[20_000] = b"M\xfcller"
    (tmp_path / "in.csv").write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match=r"in\.csv, line 20,001: in 1 line not UTF-8\."):
        check_files(spark, {"input": csv(tmp_path / "in.csv")})


@pytest.mark.parametrize(
    ("files", "encoding", "told"),
    [
        (["Käse\nKäse\n", b"Gr\xfcn\n"], None, "1.csv, line 2: in 1 line not UTF-8, as other li"),
        (["Käse\nKäse\n".encode() + b"Gr\xfcn\n"], None, "0.csv, line 4: in 1 line not UTF-8, as"),
        (["Käse\n".encode() + b"Gr\xfcn\n"], "latin1", None),
        (["Käse\na\nÖl\n"], "windows-1252", "0.csv, line 2, 4: in 2 lines UTF-8, not windows-12"),
        # The last line looks like UTF-8 by chance.
        ([b"Gr\xfcn\n" * 101 + b"CAF\xc9\xae\n"], None, "in 101 lines not UTF-8. Set options.enc"),
    ],
)
def test_lines_in_another_encoding_than_the_others(spark, tmp_path, files, encoding, told):
    for number, content in enumerate(files):
        content = content.encode() if isinstance(content, str) else content
        (tmp_path / f"{number}.csv").write_bytes(b"title\n" + content)
    options = {"header": "true", **({"encoding": encoding} if encoding else {})}
    with pytest.raises(DataError, match=re.escape(told)) if told else contextlib.nullcontext():
        check_files(spark, {"input": csv(tmp_path, options=options)})


def test_files_that_are_fine_cost_one_spark_job(spark, tmp_path):
    folder = write_days(tmp_path / "in", "user,item\nana,x\n", "item,user\ny,ben\n")
    (tmp_path / "a.json").write_text('{"user": "a"}\n')
    json = source(path=str(tmp_path / "a.json"), format="json")
    before = spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs()
    check_files(spark, {"input": csv(folder), "recipients": json, "send_log": source(table="t")})
    assert spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs() - before <= 2


# --- columns and conditions ---------------------------------------------------------------------


def test_derived_columns_are_computed_of_the_rows_own(spark, tmp_path):
    path = write(tmp_path / "events.csv", "user,n\nana,2\nben,x\n")
    derived = {"twice": "2 * try_cast(n AS INT)", "user": "upper(user)"}
    found = read_source(spark, csv(path, derived=derived), "input")
    assert found.columns == ["user", "n", "twice"]
    assert rows(found) == [("ANA", "2", 4), ("BEN", "x", None)]
    for sql in ("amount + 1", "user +", "count(*)"):
        with pytest.raises(DataError, match=r"(?s)^input\.derived\.twice: .*Columns present: "):
            read_source(spark, csv(path, derived={"twice": sql}), "input")


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
    events = spark.createDataFrame([("a", "x", 1)], "User string, item string, ts int")
    check_columns(events, {"user": "User", "item": "item", "time": None}, "input")
    with pytest.raises(SchemaError, match="column user is missing") as raised:
        check_columns(events, {"user": "user", "item": "itme", "time": "at"}, "input")
    there = "Columns present: ['User', 'item', 'ts']."
    assert str(raised.value).splitlines() == [
        f"input: column {column} is missing. {there} {asked}Set input.columns.{ours} in the "
        "configuration (for CSV see also input.options)."
        for column, ours, asked in (
            ("user", "user", "Did you mean User? "),
            ("itme", "item", "Did you mean item? "),
            ("at", "time", ""),
        )
    ]


# --- whether files have changed -----------------------------------------------------------------


def test_files_are_known_by_their_names_sizes_and_times(spark, tmp_path):
    def known(pattern: str = "*.csv") -> dict:
        return fingerprint(spark, source(path=str(tmp_path / "in" / pattern)), "input")

    write(tmp_path / "in" / "a.csv", "1")
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


def test_an_empty_file_is_named_with_its_setting(spark, tmp_path):
    write(tmp_path / "in" / "a.csv", "")
    with pytest.raises(DataError, match=r"^catalogue\.path: .*in is empty: 0 bytes"):
        fingerprint(spark, source(path=str(tmp_path / "in")), "catalogue")


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
