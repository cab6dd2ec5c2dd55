"""Values that cannot be meant so: refused with the setting that reads them, or counted and said."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from ncf_spark.campaign.lists import build_users
from ncf_spark.campaign.recipients import build_suppressed
from ncf_spark.errors import DataError, SchemaError
from ncf_spark.inputs.audience import read_audience
from ncf_spark.inputs.audience_checks import check_audience
from ncf_spark.inputs.intake import (
    name_events,
    read_catalogue,
    read_provided_holdout,
    read_raw_events,
)
from ncf_spark.schemas import USER_INDEX
from tests.conftest import at, rows
from tests.jobs.test_bad_input import EVENTS, job_of, take_in

WARNING = pytest.LogCaptureFixture


def parquet(spark: SparkSession, folder: Path, sql: str, name: str = "input") -> tuple[str, ...]:
    """Settings of a table in Parquet with the rows of a query."""
    path = folder / f"{name}.parquet"
    spark.sql(sql).coalesce(1).write.parquet(str(path))
    return f"{name}.path={path}", f"{name}.format=parquet", f"{name}.options={{}}"


# --- times --------------------------------------------------------------------------------------


def with_times(*times: str) -> str:
    """Events of four users with these times."""
    lines = [f"u{n % 4},i{n},{time},view\n" for n, time in enumerate(times)]
    return "user,item,at,kind\n" + "".join(lines)


@pytest.mark.parametrize(
    ("time", "time_format", "read_as", "setting"),
    [
        ("1790843100", "epoch_millis", "1970-01-21 17:27:23", "epoch_seconds"),
        ("20261001", "epoch_seconds", "1970-08-23 12:03:21", "yyyyMMdd"),
        ("20261001", "epoch_millis", "1970-01-01 05:37:41", "yyyyMMdd"),
        ("20261001082500", "epoch_millis", "2612-01-18 07:51:22", "yyyyMMddHHmmss"),
        ("1790843100000", "epoch_micros", "1970-01-21 17:27:23", "epoch_millis"),
    ],
)
def test_times_that_are_read_in_a_wrong_unit_are_refused_with_the_right_one(
    spark: SparkSession, tmp_path: Path, time: str, time_format: str, read_as: str, setting: str
):
    text = with_times(*[time] * 4)
    with pytest.raises(DataError, match=r"column at is before 1990 or after 2099") as caught:
        take_in(spark, tmp_path, f"input.time_format={time_format}", text=text)
    assert f"4 of 4 rows (100.00%), read by input.time_format {time_format}: " in str(caught.value)
    assert f"'{time}' as {read_as}" in str(caught.value)
    assert f"set input.time_format: {setting}. Or leave" in str(caught.value)
    job = job_of(spark, tmp_path, f"input.time_format={setting}", text=text)
    assert name_events(job, read_raw_events(job)).where("drop_reason is null").count() == 4


def test_microseconds_and_texts_are_refused_with_the_format_that_reads_them(
    spark: SparkSession, tmp_path: Path
):
    for name, time, setting in (
        ("micros", "1790843100000000", "epoch_micros"),
        ("text", "28.09.2026 10:00", "dd.MM.yyyy HH:mm"),
    ):
        (tmp_path / name).mkdir()
        text = with_times(time)
        with pytest.raises(DataError, match=rf"not parse .*set input\.time_format: {setting}\. Or"):
            take_in(spark, tmp_path / name, "input.time_format=epoch_millis", text=text)


def test_days_of_excel_are_refused_with_the_sql_that_reads_them(
    spark: SparkSession, tmp_path: Path
):
    text = with_times("46296.39861", "46297")
    with pytest.raises(DataError, match=r"days as Excel counts them: set input\.deriv") as caught:
        take_in(spark, tmp_path, text=text)
    sql = "timestamp_seconds((try_cast(at AS DOUBLE) - 25569) * 86400)"
    assert f'{{time: "{sql}"}} and input.columns.time: time.' in str(caught.value)
    columns = "input.columns={user: user, item: item, time: time, type: kind}"
    job, _ = take_in(spark, tmp_path, f'input.derived={{time: "{sql}"}}', columns, text=text)
    found = spark.read.parquet(job.run.table_uri("interactions")).orderBy("item_id")
    read = found.select(F.date_format("last_event_at", "yyyy-MM-dd HH:mm"))
    assert rows(read) == [("2026-10-01 09:33",), ("2026-10-02 00:00",)]


def test_a_header_among_the_rows_is_refused_with_the_condition_that_leaves_it_out(
    spark: SparkSession, tmp_path: Path
):
    text = with_times("2026-10-01", "2026-10-02", "")
    text += text
    with pytest.raises(DataError, match=r"in 1 of 7 rows .*a header stands among") as caught:
        take_in(spark, tmp_path, text=text)
    where = "at is distinct from 'at'"
    assert f'Leave it out by input.where: "{where}".' in str(caught.value)
    _, events = take_in(spark, tmp_path, f"input.where={where}", text=text)
    assert events.dropped["no_time"] == 2
    assert "bad_time" not in events.dropped


def test_some_times_of_another_age_are_said_unless_they_are_left_out(
    spark: SparkSession, tmp_path: Path, caplog: WARNING
):
    text = with_times("1970-01-01", *["2026-10-01"] * 199)
    job, _ = take_in(spark, tmp_path, text=text)
    assert job.notes["events before 1990 or after 2099"] == 1
    assert "in 1 of 200 rows (0.50%)" in caplog.text
    job, _ = take_in(spark, tmp_path, "input.where=at > '2000'", text=text)
    assert "events before 1990 or after 2099" not in job.notes


def test_dates_as_numbers_are_read_by_a_pattern_which_is_named(spark: SparkSession, tmp_path: Path):
    sql = (
        "select 'u' || id as user, 'i' as item, int(20261001 + id) as at, 'v' as kind from range(3)"
    )
    given = parquet(spark, tmp_path, sql)
    with pytest.raises(SchemaError, match=r"is int, .* set input\.time_format: yyyyMMdd\.$"):
        take_in(spark, tmp_path, *given)
    job, _ = take_in(spark, tmp_path, *given, "input.time_format=yyyyMMdd")
    found = spark.read.parquet(job.run.table_uri("interactions"))
    assert rows(found.select("last_event_at")) == [(at(f"2026-10-0{n}"),) for n in (1, 2, 3)]


# --- ids ----------------------------------------------------------------------------------------

WORD = "ids that are words for a missing value"
NUMBER = "ids that look like numbers stored as doubles"
BLANK = "ids with blanks or control characters at their ends, taken off"
_IDS = "select {id} as user, 'i1' as item, timestamp '2026-10-01' as at, 'view' as kind"


def test_whole_numbers_stored_as_doubles_are_ids_and_fractions_are_refused(
    spark: SparkSession, tmp_path: Path
):
    ids = "explode(array(1001D, 12345678902D, double('NaN'), null))"
    job, events = take_in(spark, tmp_path, *parquet(spark, tmp_path, _IDS.format(id=ids)))
    found = spark.read.parquet(job.run.table_uri("interactions"))
    assert rows(found.select("user_id")) == [("1001",), ("12345678902",)]
    assert events.dropped["no_user"] == 2
    (tmp_path / "fractions").mkdir()
    fractions = _IDS.format(id="explode(array(1001D, 17.5D, 9007199254740992D))")
    given = parquet(spark, tmp_path / "fractions", fractions)
    with pytest.raises(
        SchemaError,
        match=r"column user \(input\.columns\.user\) is double, and 2 of its values are no whole "
        r"numbers below 2\^53, e\.g\. 17\.5 and 9007199254740992\.0: ",
    ):
        take_in(spark, tmp_path, *given)
    take_in(spark, tmp_path, *given, "input.where=user = 1001")


def test_odd_ids_are_counted_and_said(spark: SparkSession, tmp_path: Path, caplog: WARNING):
    odd = [("NaN", "i1"), ("null", "1001.0"), ("null", "a@x.example\0"), ("u1 ", "i1")]
    text = EVENTS + "".join(f"{user},{item},2026-10-01,view\n" for user, item in odd)
    job, _ = take_in(spark, tmp_path, text=text)
    assert {name: n for name, n in job.notes.items() if ": ids" in name} == {
        f"input.columns.user: {WORD}": 3,
        f"input.columns.user: {BLANK}": 1,
        f"input.columns.item: {NUMBER}": 1,
        f"input.columns.item: {BLANK}": 1,
    }
    assert "missing value, and count as ids: 'null' (2), 'NaN' (1). If they" in caplog.text
    assert "stay as they are: '1001.0' (1)." in caplog.text
    assert "1 ids (input.columns.item) had blanks at their ends or control" in caplog.text
    assert "x.example" not in caplog.text


def test_odd_ids_and_times_of_people_are_counted_or_refused_with_the_format(
    spark: SparkSession, tmp_path: Path
):
    files = {
        "people": "user,may,last\n u1,yes,31.10.2026\nNaN,yes,\n1001.0,yes,\n",
        "gone": "user\nnull\n",
        "log": "user,item,at\nu1\u00a0,NULL,1793433600\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    kind = "format: csv, options: {header: true}"
    given = [
        f"recipients={{path: {tmp_path / 'people'}, {kind}, columns: {{user: user, consent: may, "
        "last_sent_at: last, email: null, country: null}}",
        f"suppressions={{gone: {{path: {tmp_path / 'gone'}, columns: {{user: user}}}}}}",
        f"send_log={{path: {tmp_path / 'log'}, {kind}, columns: {{user: user, item: item, "
        "sent_at: at}}",
        "campaign.frequency={sends: 1, days: 7}",
    ]
    job = job_of(spark, tmp_path, *given)
    with pytest.raises(DataError) as caught:
        check_audience(job, read_audience(job))
    assert "column last (recipients.columns.last_sent_at) does not parse" in str(caught.value)
    assert "set recipients.time_format: dd.MM.yyyy." in str(caught.value)
    assert "column at (send_log.columns.sent_at) does not parse" in str(caught.value)
    assert "set send_log.time_format: epoch_seconds." in str(caught.value)
    assert {name: n for name, n in job.notes.items() if ": ids" in name} == {
        f"recipients.columns.user: {WORD}": 1,
        f"recipients.columns.user: {NUMBER}": 1,
        f"recipients.columns.user: {BLANK}": 1,
        f"suppressions.gone.columns.user: {WORD}": 1,
        f"send_log.columns.user: {BLANK}": 1,
        f"send_log.columns.item: {WORD}": 1,
    }
    formats = ["recipients.time_format=dd.MM.yyyy", "send_log.time_format=epoch_seconds"]
    job = job_of(spark, tmp_path, *given, *formats)
    audience = read_audience(job)
    check_audience(job, audience)
    assert rows(audience.send_log.select("user_id", "sent_at")) == [("u1", at("2026-10-31 08:00"))]
    last = audience.recipients.where("last_sent_at is not null").select("user_id", "last_sent_at")
    assert rows(last) == [("u1", at("2026-10-31"))]
    job = job_of(spark, tmp_path, *given, formats[0], "send_log.time_format=epoch_millis")
    with pytest.raises(DataError, match=r"at .* is before 1990 or after 2099 in 1 of 1 rows"):
        check_audience(job, read_audience(job))


@pytest.mark.parametrize("name", ["recipients", "suppressions.gone", "send_log"])
def test_ids_are_read_alike_in_every_table(spark: SparkSession, tmp_path: Path, name: str):
    people = "user: user, consent: may, email: null, country: null"
    columns = {"recipients": people, "suppressions.gone": "user: user"}
    columns["send_log"] = "user: user, sent_at: at"
    given = {
        section: f"{{path: {tmp_path / section}, format: parquet, columns: {{{names}}}}}"
        for section, names in columns.items()
    }
    given["suppressions"] = f"{{gone: {given.pop('suppressions.gone')}}}"
    settings = [f"{section}={source}" for section, source in given.items()]
    sql = "select explode(array(1001D, {id})) as user, 'yes' as may, '2026-10-01' as at"
    for section in columns:
        wrong = "1.5D" if section == name else "double('NaN')"
        spark.sql(sql.format(id=wrong)).write.parquet(str(tmp_path / section))
    told = rf"{name}: column user \({name}\.columns\.user\) is double, and 1 of its values"
    with pytest.raises(SchemaError, match=told):
        read_audience(job_of(spark, tmp_path, *settings))
    if name == "send_log":
        audience = read_audience(job_of(spark, tmp_path, *settings, "send_log.path=null"))
        users = build_users(audience, spark.createDataFrame([], USER_INDEX))
        assert rows(users.select("user_id")) == [("1001",)]
        assert rows(build_suppressed(audience.suppressions).select("user")) == [("1001",)]


def test_a_provided_test_set_of_doubles_has_the_ids_of_the_events(
    spark: SparkSession, tmp_path: Path
):
    sql = "select 1D as user, ' i7' as item, array(2D, 3D) as others"
    path = parquet(spark, tmp_path, sql, "holdout")[0].split("=")[1]
    columns = "columns: {user: user, item: item, negatives: others}"
    given = f"split.holdout={{path: {path}, format: parquet, {columns}}}"
    job = job_of(spark, tmp_path, given)
    found = [("1", "i7", ["2", "3"], None, "blank")]
    assert rows(read_provided_holdout(job)) == found
    (tmp_path / "b").mkdir()
    wrong = parquet(spark, tmp_path / "b", sql.replace("3D", "3.5D"), "holdout")[0].split("=")[1]
    with pytest.raises(SchemaError, match=r"others .*is array<double>, and 1 of its .* 3\.5"):
        read_provided_holdout(job_of(spark, tmp_path, given.replace(path, wrong)))


# --- nested columns -----------------------------------------------------------------------------


def test_a_nested_id_is_refused_with_the_sql_that_takes_it_out(spark: SparkSession, tmp_path: Path):
    sql = (
        "select named_struct('id', 'u') as user, array(named_struct('item_id', 'i')) as item, "
        "'2026-10-01' as at, 'view' as kind"
    )
    given = parquet(spark, tmp_path, sql)
    with pytest.raises(SchemaError) as caught:
        take_in(spark, tmp_path, *given)
    told = str(caught.value).splitlines()
    assert 'set input.derived: {user: "user.id"} and input.columns.user: user.' in told[0]
    assert 'set input.derived: {item: "explode(item.item_id)"}' in told[1]
    derived = 'input.derived={user: "user.id", item: "explode(item.item_id)"}'
    assert take_in(spark, tmp_path, *given, derived)[0].num_rows("interactions") == 1


# --- types and values ---------------------------------------------------------------------------


def test_types_and_values_that_cost_events_are_shown_and_so_is_a_majority(
    spark: SparkSession, tmp_path: Path, caplog: WARNING
):
    kinds = ["Purchase", "purchase ", "Purchase", "return", "purchase", "a@x.example", ""]
    text = "user,item,at,kind,n\n" + "".join(
        f"u{n},i,2026-10-01,{kind},{'2,0' if kind == 'purchase' else 1}\n".replace("2,0", '"2,0"')
        for n, kind in enumerate(kinds)
    )
    with pytest.raises(DataError, match="no row is left"):
        take_in(
            spark,
            tmp_path,
            "input.columns={user: user, item: item, time: at, type: kind, value: n}",
            "input.event_weights={purchase: 1}",
            "input.min_value=0",
            text=text,
        )
    assert (
        "6 of 7 events are dropped, as the type is not in input.event_weights: 'Purchase' (2), "
        "nothing (1), '…@…' (1), 'purchase ' (1), 'return' (1)."
    ) in caplog.text
    assert (
        "input: 1 of 7 events are dropped, as the value is null or not a number: '2,0' (1). They "
        "are read by input.derived: {value: "
        "\"try_cast(replace(regexp_replace(n, '[^0-9,-]', ''), ',', '.') AS DOUBLE)\"} and "
        "input.columns.value: value."
    ) in caplog.messages
    assert "input: most events are dropped, 7 of 7 (100.00%): 6 since the type is" in caplog.text


def test_rows_that_are_left_out_on_purpose_are_no_majority(
    spark: SparkSession, tmp_path: Path, caplog: WARNING
):
    take_in(spark, tmp_path, "input.where=user = 'u1'", "input.window_days=25")
    assert "dropped" not in caplog.text


# --- the catalogue ------------------------------------------------------------------------------


def catalogue(folder: Path, text: str, columns: str, *settings: str) -> list[str]:
    (folder / "products.csv").write_text(text)
    place = f"path: {folder / 'products.csv'}, format: csv, options: {{header: true, sep: ';'}}"
    return [f"catalogue={{{place}, columns: {{item: sku, title: null, {columns}}}}}", *settings]


def test_stock_in_words_is_counted_where_it_cannot_be_read(
    spark: SparkSession, tmp_path: Path, caplog: WARNING
):
    words = ["in_stock", "out of stock", "preorder", "5", "", "NaN", "ask us", "a@x.example"]
    text = "sku;stock\n" + "".join(f"i{n};{word}\n" for n, word in enumerate(words))
    given = catalogue(tmp_path, text, "price: null, in_stock: stock")
    job = job_of(spark, tmp_path, *given)
    assert rows(read_catalogue(job).where("in_stock").select("item_id")) == [
        *[("i0",), ("i2",), ("i3",)]
    ]
    assert job.notes["catalogue rows whose stock cannot be read, not for sale"] == 2
    assert "in 2 of 6 rows that hold something" in caplog.text
    assert "'ask us' (1)" in caplog.text
    assert "x.example" not in caplog.text
    (tmp_path / "products.csv").write_text(text + "i8;maybe\ni9;maybe\ni10;soon\n")
    with pytest.raises(DataError, match=r"in 5 of 9 rows .*not for sale: 'maybe' \(2\), "):
        read_catalogue(job_of(spark, tmp_path, *given))


def test_items_with_several_rows_are_counted_and_said_where_none_is_the_newest(
    spark: SparkSession, tmp_path: Path, caplog: WARNING
):
    note = "catalogue rows of items that have another row, which counts instead"
    text = "sku;price;changed\ni1;9;2026-10-01\ni1 ;8;2026-10-02\ni2;5;\ni1;7;\n;1;\n;1;\n"
    job = job_of(spark, tmp_path, *catalogue(tmp_path, text, "price: price, updated_at: changed"))
    read_catalogue(job)
    assert job.notes[note] == 2
    assert "another row" not in caplog.text
    job = job_of(spark, tmp_path, *catalogue(tmp_path, text, "price: price"))
    read_catalogue(job)
    assert job.notes[note] == 2
    assert "catalogue: 2 rows are of items that have another row, and nothing" in caplog.text
    job = job_of(
        spark, tmp_path, *catalogue(tmp_path, text, "price: price"), "catalogue.where=price = 9"
    )
    read_catalogue(job)
    assert note not in job.notes


def test_prices_that_are_mostly_no_numbers_are_refused_with_the_sql_that_reads_them(
    spark: SparkSession, tmp_path: Path, caplog: WARNING
):
    text = "sku;Price;rating\ni1;1.001,50;5 EUR\ni2;9,50;\ni3;7;\ni4;;\n"
    features = "activity.features={rating: 1}"
    given = catalogue(tmp_path, text, "price: Price", features)
    with pytest.raises(DataError) as caught:
        read_catalogue(job_of(spark, tmp_path, *given))
    sql = "try_cast(replace(regexp_replace(Price, '[^0-9,-]', ''), ',', '.') AS DOUBLE)"
    assert str(caught.value).splitlines() == [
        "catalogue: column rating is no number in 1 of 1 rows that hold something, for instance "
        "['5 EUR']. They are read by catalogue.derived: "
        "{rating: \"try_cast(regexp_replace(rating, '[^0-9.-]', '') AS DOUBLE)\"}.",
        "catalogue: column Price is no number in 2 of 3 rows that hold something, for instance "
        f"['1.001,50', '9,50']. They are read by catalogue.derived: {{price: \"{sql}\"}} and "
        "catalogue.columns.price: price.",
    ]
    derived = (
        f'catalogue.derived={{price: "{sql}", '
        "rating: \"try_cast(regexp_replace(rating, '[^0-9.-]', '') AS DOUBLE)\"}"
    )
    told = catalogue(tmp_path, text, "price: price", features, derived)
    found = read_catalogue(job_of(spark, tmp_path, *told)).orderBy("item_id")
    assert [row[0] for row in found.select("price").collect()] == [1001.5, 9.5, 7.0, None]
    assert not caplog.text
    (tmp_path / "products.csv").write_text(text.replace("9,50", "9").replace("5 EUR", "5"))
    job = job_of(spark, tmp_path, *given)
    read_catalogue(job)
    assert job.notes["catalogue rows whose Price is no number, taken as missing"] == 1
    assert "in 1 of 3 rows that hold something, for instance ['1.001,50']. They are" in caplog.text


def test_times_of_the_catalogue_are_refused_where_they_do_not_parse(
    spark: SparkSession, tmp_path: Path
):
    text = "sku;price;since;until;changed\ni1;1;;soon;28.09.2026\ni1;2;;;03.10.2026\n"
    columns = "price: price, active_from: since, active_until: until, updated_at: changed"
    with pytest.raises(DataError) as caught:
        read_catalogue(job_of(spark, tmp_path, *catalogue(tmp_path, text, columns)))
    until, changed = str(caught.value).splitlines()
    assert (
        "column until (catalogue.columns.active_until) does not parse as a time in 1 of 1" in until
    )
    assert "rows that hold something, for instance ['soon']" in until
    assert "in 2 of 2 rows that hold something, for instance ['28.09.2026', '03.1" in changed
    assert "set catalogue.time_format: dd.MM.yyyy." in changed
    text = text.replace("soon", "")
    given = catalogue(tmp_path, text, columns, "catalogue.time_format=dd.MM.yyyy")
    assert rows(read_catalogue(job_of(spark, tmp_path, *given)).select("price")) == [(2.0,)]


def test_dates_of_activity_in_a_wrong_unit_are_refused_and_far_ones_are_not(
    spark: SparkSession, tmp_path: Path
):
    columns = "price: null, active_until: until"
    text = "sku;until\ni1;1790843100\ni2;1790843100\n"
    given = catalogue(tmp_path, text, columns, "catalogue.time_format=epoch_millis")
    with pytest.raises(
        DataError, match=r"after 2099 in 2 of 2.* set catalogue\.time_format: epoch_s"
    ):
        read_catalogue(job_of(spark, tmp_path, *given))
    given = catalogue(tmp_path, "sku;until\ni1;9999-12-31\ni2;9999-12-31\n", columns)
    assert (
        rows(read_catalogue(job_of(spark, tmp_path, *given)).select("is_active")) == [(True,)] * 2
    )


def test_odd_ids_of_the_catalogue_are_counted_and_said(
    spark: SparkSession, tmp_path: Path, caplog: WARNING
):
    given = catalogue(tmp_path, "sku;price\ni1 ;1\nnull;2\n;3\n", "price: price")
    job = job_of(spark, tmp_path, *given)
    assert rows(read_catalogue(job).select("item_id")) == [("i1",), ("null",)]
    assert job.notes[f"catalogue.columns.item: {BLANK}"] == 1
    assert job.notes["catalogue rows without an item id, left out"] == 1
    assert "catalogue: 1 ids (catalogue.columns.item) are words for a missing value" in caplog.text
