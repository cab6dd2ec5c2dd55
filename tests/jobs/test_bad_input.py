"""What bad input gets: one clear error that names the place and the remedy."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from ncf_spark import schemas
from ncf_spark.config import load_config
from ncf_spark.errors import ConfigError, DataError, SchemaError
from ncf_spark.inputs.id_checks import check_catalogue, check_provided
from ncf_spark.inputs.intake import read_catalogue
from ncf_spark.night import STEPS
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.runner import run_step
from ncf_spark.preparation import splitting
from ncf_spark.preparation.step import write_interactions
from ncf_spark.schemas.results import EventCounts
from ncf_spark.storage import files
from ncf_spark.storage.read_failures import describe_read_failure
from ncf_spark.storage.warehouse import Warehouse
from tests.conftest import rows
from tests.jobs.conftest import ROOT
from tests.jobs.in_process import run_as

EVENTS = "user,item,at,kind\n" + "".join(
    f"u{u},i{(u * 7 + n * 3) % 40},2026-10-{n + 1:02d} 10:00:00,view\n"
    for u in range(20)
    for n in range(12)
)
OPTIONS = ("input.format=csv", "input.options={header: 'true'}")
COLUMNS = ("input.columns={user: user, item: item, time: at, type: kind}",)
SMALL = ("evaluation.num_negatives=20", "scoring.k=5", "campaign.k=5", "training.num_shards=2")


def job_of(
    spark: SparkSession,
    folder: Path,
    *overrides: str,
    text: str = EVENTS,
    name: str = "build_interactions",
) -> Job:
    """A job of the night whose events are a CSV."""
    events = folder / "events.csv"
    if not events.exists():
        events.write_text(text)
    defaults = (f"input.path={events}", f"storage.warehouse={folder / 'warehouse'}")
    settings = [*defaults, *OPTIONS, *COLUMNS, *SMALL, *overrides]
    config = load_config(str(ROOT / "conf" / "base.yaml"), settings)
    run_date, warehouse = date(2026, 10, 31), Warehouse(config.storage.warehouse)
    run = warehouse.newest_run(run_date) or warehouse.open_run(run_date)
    return Job(STEPS, name, config, spark, run_date, warehouse, run)


def prepare(spark: SparkSession, folder: Path, *overrides: str, text: str = EVENTS) -> Job:
    """Runs build_interactions."""
    job = job_of(spark, folder, *overrides, text=text)
    run_step(job)
    return job


def take_in(
    spark: SparkSession, folder: Path, *overrides: str, text: str = EVENTS
) -> tuple[Job, EventCounts]:
    """Runs the first part of build_interactions, in which events become interactions."""
    job = job_of(spark, folder, *overrides, text=text)
    _, events, _ = write_interactions(job)
    return job, events


@pytest.fixture(scope="module")
def good(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a night that is prepared by good input."""
    folder = tmp_path_factory.mktemp("good")
    for name in ("build_interactions", "score_item_activity"):
        run_step(job_of(spark, folder, name=name))
    return folder


def split_otherwise(spark: SparkSession, good: Path, folder: Path, *overrides: str) -> Job:
    """A job that has split the good night's interactions by other settings."""
    night, job = job_of(spark, good), job_of(spark, folder, *overrides)
    found = {}
    for name in ("interactions", "user_index", "item_index"):
        schema = getattr(schemas, name.upper())
        found[name] = night.read(name, schema)
        job.record_table(name, night.num_rows(name), schema)
    splitting.write_split(job, *found.values(), num_present=job.num_rows("item_index"))
    return job


def test_good_input_is_prepared(spark: SparkSession, good: Path):
    job = job_of(spark, good)
    record = job.run.step_record("build_interactions")
    assert record["result"]["events"]["raw"] == 240
    assert job.num_rows("holdout") == 20
    assert job.num_rows("validation") == 20
    assert job.num_rows("train") == 200
    assert not (good / "warehouse" / "runs" / job.run.name / "staging").exists()


def test_without_validation_all_but_the_holdout_is_trained_on_in_row_groups(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lines = "".join(
        f"u{u},i{i},2026-10-{1 + i % 28:02d} 10:00:00,view\n" for u in range(20) for i in range(60)
    )
    monkeypatch.setattr(splitting, "_ROW_GROUP_BYTES", 100)
    text = "user,item,at,kind\n" + lines
    job = prepare(spark, tmp_path, "split.validation=false", text=text)
    assert job.num_rows("validation") == 0
    assert job.read("validation", schemas.HOLDOUT).count() == 0
    assert job.num_rows("train") == 20 * 59
    parts = files.list_files(job.run.table_uri("train"), ".parquet")
    footers = [pq.ParquetFile(part.removeprefix("file://")).metadata for part in parts]
    assert sum(footer.num_rows for footer in footers) == 20 * 59
    assert [footer.num_row_groups > 1 for footer in footers] == [True, True]


def test_the_files_of_all_tables_are_looked_at_before_one_is_read(
    spark: SparkSession, tmp_path: Path
):
    (tmp_path / "people.csv").write_bytes("user;email\nu1;mü@x.de\n".encode("latin-1"))
    (tmp_path / "gone.csv").write_text("email\na@x.de,b@x.de\n")
    people = "recipients={path: %s, format: csv, options: {header: true}}"
    overrides = (
        people % (tmp_path / "people.csv"),
        f"suppressions={{gone: {{path: {tmp_path / 'gone.csv'}, columns: {{email: email}}}}}}",
    )
    with pytest.raises(DataError) as caught:
        prepare(spark, tmp_path, *overrides, text=EVENTS + '"u1,i1,2026-10-03 10:00:00,view\n')
    told = str(caught.value).splitlines()
    assert [line.partition(" ")[0] for line in told] == [
        *("recipients.path:", "input.path:", "suppressions.gone.path:")
    ]
    run = job_of(spark, tmp_path).run
    assert run.step_record("build_interactions") is None
    assert not files.list_files(run.uri, ".parquet")


def test_missing_columns_are_all_named(spark: SparkSession, tmp_path: Path):
    wrong = "input.columns={user: customer, item: sku, time: at}"
    with pytest.raises(SchemaError) as caught:
        prepare(spark, tmp_path, wrong)
    message = str(caught.value)
    assert "input: column customer is missing" in message
    assert "input: column sku is missing" in message
    assert "Columns present: ['user', 'item', 'at', 'kind']" in message
    assert "Set input.columns.user in the configuration" in message


def test_a_column_of_a_wrong_type_is_named(spark: SparkSession, tmp_path: Path):
    path = str(tmp_path / "events.parquet")
    spark.sql("select array('a') as user, 'i' as item, 5 as at, 'view' as kind").write.parquet(path)
    with pytest.raises(SchemaError) as caught:
        prepare(spark, tmp_path, f"input.path={path}", "input.format=parquet", "input.options={}")
    assert str(caught.value).splitlines() == [
        "input: column user (input.columns.user) is array<string>, expected a plain value. Take "
        'one out of it: set input.derived: {user: "explode(user)"} and input.columns.user: user.',
        "input: column at (input.columns.time) is int, expected a text or a timestamp. Set "
        "input.time_format: epoch_seconds, epoch_millis, epoch_micros, epoch_nanos, or a pattern "
        "such as yyyyMMdd.",
    ]


def test_times_that_do_not_parse_are_shown_with_their_share(spark: SparkSession, tmp_path: Path):
    text = EVENTS.replace("2026-10-03 10:00:00", "3 Oct 26")
    with pytest.raises(
        DataError, match=r"column at does not parse as a time in 20 of 240 rows \(8\.33%\)"
    ) as caught:
        take_in(spark, tmp_path, text=text)
    assert "['3 Oct 26'" in str(caught.value)
    assert "raise input.max_bad_time_share" in str(caught.value)


def test_an_empty_table_comes_with_the_count_of_each_filter(spark: SparkSession, tmp_path: Path):
    with pytest.raises(DataError, match="interactions: no row is left") as caught:
        take_in(spark, tmp_path, "input.window_days=3", "input.where=user <> 'u3'")
    assert "of 240 raw events" in str(caught.value)
    assert "  12 since input.where does not hold\n" in str(caught.value)
    assert "  228 since the event is older than input.window_days\n" in str(caught.value)


def test_a_path_that_does_not_exist_is_named(spark: SparkSession, tmp_path: Path):
    with pytest.raises(DataError, match=r"input\.path: /no/such/file does not exist"):
        prepare(spark, tmp_path, "input.path=/no/such/file")


def test_a_truncated_parquet_file_is_named(spark: SparkSession, tmp_path: Path):
    folder = tmp_path / "events.parquet"
    spark.sql("select 'u' as user, 'i' as item, 'x' as at, 'v' as kind").write.parquet(str(folder))
    part = next(folder.glob("part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-20])
    shutil.rmtree(folder / "_SUCCESS", ignore_errors=True)
    for checksum in folder.glob(".*.crc"):
        checksum.unlink()
    with pytest.raises(DataError, match=r"part-.*parquet: cannot be read; it is damaged"):
        prepare(spark, tmp_path, f"input.path={folder}", "input.format=parquet", "input.options={}")


def test_a_filter_that_is_not_sql_is_shown_with_the_columns(spark: SparkSession, tmp_path: Path):
    with pytest.raises(DataError, match=r"input\.where: .*Quantity.*Columns present"):
        prepare(spark, tmp_path, "input.where=Quantity > 0")


def test_a_value_that_a_filter_cannot_cast_is_shown(spark: SparkSession, tmp_path: Path):
    if spark.version.startswith("3."):
        pytest.skip("Spark 3 casts to null unless spark.sql.ansi.enabled is set")
    with pytest.raises(Exception, match="CAST_INVALID_INPUT") as caught:
        prepare(spark, tmp_path, "input.where=cast(item as int) > 0")
    described = describe_read_failure(caught.value)
    assert described is not None
    assert "'i" in described
    assert "cannot be cast" in described
    assert "try_cast" in described


def test_an_unknown_pattern_of_times_is_refused(spark: SparkSession, tmp_path: Path):
    with pytest.raises(DataError, match=r"input\.time_format: epoch_second is none of"):
        prepare(spark, tmp_path, "input.time_format=epoch_second")


def test_too_few_items_are_refused_with_the_settings(spark: SparkSession, tmp_path: Path):
    job = job_of(spark, tmp_path, "evaluation.num_negatives=99", "scoring.k=41")
    with pytest.raises(DataError) as caught:
        splitting.check_sizes(job, 40)
    assert str(caught.value).splitlines() == [
        "item_index: too few items. Change these settings, or loosen the filters of section input:",
        "evaluation.num_negatives is 99, but there are 40 items: set it to at most 20.",
        "scoring.k is 41, but there are 40 items: set it, and campaign.k, to at most 40.",
    ]
    with pytest.raises(DataError) as caught:
        splitting.check_sizes(job, 12)
    assert str(caught.value).splitlines()[1:3] == [
        "evaluation.ks is [5, 10, 20], but there are 12 items: set it to [5], and "
        "model.selection.k to one of them.",
        "evaluation.num_negatives is 99, but there are 12 items: set it to at most 7.",
    ]
    fitting = ("evaluation.num_negatives=20", "scoring.k=40")
    splitting.check_sizes(job_of(spark, tmp_path, *fitting), 40)
    splitting.check_sizes(job, 119)


def test_a_split_that_leaves_no_holdout_is_refused(spark: SparkSession, good: Path, tmp_path: Path):
    settings = ("split.method=temporal", "split.holdout_days=1")
    with pytest.raises(DataError, match=r"holdout: split\.method temporal leaves it empty"):
        split_otherwise(spark, good, tmp_path, *settings)


def test_test_pairs_without_negatives_are_refused(spark: SparkSession, good: Path, tmp_path: Path):
    path = str(tmp_path / "test.parquet")
    pairs = "values ('u1', 'i7', array('i3', 'i5')), ('u2', 'i39', array()), ('u3', 'i9', null)"
    spark.sql(f"select * from {pairs} as t(user, item, others)").write.parquet(path)
    columns = "columns: {user: user, item: item, negatives: others}"
    holdout = f"split.holdout={{path: {path}, format: parquet, {columns}}}"
    with pytest.raises(DataError, match=r"split\.holdout: 2 rows have no negatives"):
        split_otherwise(spark, good, tmp_path, "split.method=provided", holdout)


def test_a_warehouse_that_cannot_be_written_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"storage\.warehouse: cannot write to .*file/warehouse"):
        Warehouse(str(tmp_path / "file" / "warehouse")).check_writable()


def test_a_low_rating_is_not_an_interaction(spark: SparkSession, tmp_path: Path):
    """The explicit to implicit step: ratings of a MovieLens file, 4 and 5 count."""
    lines = "".join(
        f"{u}::{m}::{1 + (u + m) % 5}::{978300000 + m}\n" for u in range(9) for m in range(45)
    )
    (tmp_path / "ratings.dat").write_text(lines)
    ddl = "user STRING, item STRING, rating DOUBLE, at LONG"
    job, events = take_in(
        spark,
        tmp_path,
        f"input.path={tmp_path / 'ratings.dat'}",
        "input.options={sep: '::'}",
        f"input.ddl={ddl}",
        "input.columns={user: user, item: item, time: at, type: null, value: rating}",
        "input.time_format=epoch_seconds",
        "input.min_value=4",
    )
    assert job.num_rows("interactions") == 162
    assert (events.raw, events.dropped["low_value"]) == (405, 243)


def test_a_temporal_split_holds_out_what_was_first_seen_late(
    spark: SparkSession, good: Path, tmp_path: Path
):
    """Days 1 to 12 of October; the last 23 days up to the 31st begin with the 9th."""
    settings = ("split.method=temporal", "split.holdout_days=23")
    job = split_otherwise(spark, good, tmp_path, *settings)
    interactions = job_of(spark, good).read("interactions", schemas.INTERACTIONS)
    assert interactions.where("first_event_at >= '2026-10-09'").count() == 80
    assert job.read("holdout", schemas.HOLDOUT).count() == 80
    assert job.num_rows("validation") == 20
    assert job.num_rows("train") == 140


def catalogue(folder: Path, text: str) -> tuple[str, ...]:
    (folder / "products.csv").write_text(text)
    columns = "columns: {item: sku, title: null, price: price}"
    options = "options: {header: true, sep: ';'}"
    return (f"catalogue={{path: {folder / 'products.csv'}, format: csv, {options}, {columns}}}",)


def test_what_is_left_out_on_request_is_counted(spark: SparkSession, tmp_path: Path):
    """Times that do not parse, prices that are no numbers, and items without a catalogue row."""
    products = catalogue(tmp_path, "sku;price\ni1;9.50\ni2;ask us\n")
    text = EVENTS.replace("2026-10-03 10:00:00", "3 Oct 26")
    job = job_of(spark, tmp_path, "input.max_bad_time_share=0.1", *products, text=text)
    _, events, pairs = write_interactions(job)
    check_catalogue(job, pairs, read_catalogue(job))
    assert (events.dropped["bad_time"], events.used) == (20, 220)
    assert job.notes["catalogue rows whose price is no number, taken as missing"] == 1
    assert job.notes["items with events that are not in the catalogue"] == 38


def test_a_catalogue_of_other_ids_is_refused(spark: SparkSession, tmp_path: Path):
    job = job_of(spark, tmp_path, *catalogue(tmp_path, "sku;price\nI1;9.50\n"))
    items = spark.createDataFrame([("i1",), ("i2",)], "item_id string")
    with pytest.raises(DataError, match=r"2 of 2 items with events are not in it, e\.g\. 'i1'"):
        check_catalogue(job, items, read_catalogue(job))


def test_missing_recipients_are_known_before_the_training(spark: SparkSession, tmp_path: Path):
    with pytest.raises(DataError, match=r"recipients\.path: /no/such does not exist"):
        prepare(spark, tmp_path, "recipients.path=/no/such", "recipients.format=csv")


def test_a_step_refuses_settings_that_its_tables_were_not_written_with(
    spark: SparkSession, good: Path
):
    job = job_of(spark, good, "training.num_shards=64", name="train")
    with pytest.raises(ConfigError, match=r"num_shards is 64, but build_interactions .* had 2"):
        run_as(job, lambda job: None)


def test_negatives_cannot_be_kept_where_positives_are_streamed(
    spark: SparkSession, good: Path, monkeypatch: pytest.MonkeyPatch
):
    # 200 positives in two shards, of which one worker has both.
    settings = ("sampling.redraw=false", "training.resident_bytes=2399")
    monkeypatch.setattr(
        "ncf_spark.evaluation.fitting.write_baselines", None
    )  # before anything is computed
    with pytest.raises(
        ConfigError, match=r"redraw is false, .*resident_bytes is 2,399, and a .*200"
    ):
        run_step(job_of(spark, good, *settings, name="train"))


@pytest.mark.parametrize(
    "setting", ["split.method=temporal", "split.validation=false", "split.holdout_days=3"]
)
def test_the_report_is_of_the_split_that_was_made(spark: SparkSession, good: Path, setting: str):
    job = job_of(spark, good, setting, name="evaluate")
    with pytest.raises(ConfigError, match=setting.split("=")[0] + " is .*, but build_interactions"):
        run_as(job, lambda job: None)


def test_a_provided_test_set_is_kept_from_train_and_gets_negatives(
    spark: SparkSession, tmp_path: Path
):
    """u1 has i7; u2 has not i39. The first is in the events, the second is new."""
    (tmp_path / "test.csv").write_text("user,item\nu1,i7\nu2,i39\nstranger,i1\n")
    where = f"{{path: {tmp_path / 'test.csv'}, format: csv, options: {{header: 'true'}}, "
    holdout = f"split.holdout={where} columns: {{user: user, item: item}}}}"
    job = prepare(spark, tmp_path, "split.method=provided", holdout)
    users, items, train, found = (
        spark.read.parquet(job.run.table_uri(name))
        for name in ("user_index", "item_index", "train", "holdout")
    )
    named = found.join(users, on="user_index").join(items, on="item_index")
    assert rows(named.select("user_id", "item_id")) == [("u1", "i7"), ("u2", "i39")]
    assert [len(row.negatives) for row in found.collect()] == [20, 20]
    assert train.join(found, on=["user_index", "item_index"]).count() == 0
    assert job.num_rows("validation") == 20
    assert job.num_rows("train") == 219
    assert job.notes["holdout rows of users without train rows, left out"] == 1


def test_a_provided_test_set_of_other_ids_is_refused(spark: SparkSession, tmp_path: Path):
    (tmp_path / "test.csv").write_text("user,item\nu1.0,x1\nu2.0,i2\nu3.0,x2\n,x3\nu4,x4\n")
    where = f"{{path: {tmp_path / 'test.csv'}, format: csv, options: {{header: 'true'}}, "
    holdout = f"split.holdout={where} columns: {{user: user, item: item}}}}"
    pairs = spark.createDataFrame(
        [(f"u{n}", f"i{n}") for n in range(9)], "user_id string, item_id string"
    )
    job = job_of(spark, tmp_path, "split.method=provided", holdout)
    with pytest.raises(DataError) as caught:
        check_provided(job, pairs)
    assert str(caught.value).splitlines() == [
        "split.holdout: column user holds ids in 3 of 4 rows that no event has, e.g. 'u1.0', "
        "'u2.0', 'u3.0'. Events have e.g. 'u1', 'u2', 'u3'. They would match without a trailing "
        ".0. Write the ids alike (split.holdout.derived), or name the right column "
        "(split.holdout.columns.user).",
        "split.holdout: column item holds ids in 4 of 5 rows that no event has, e.g. 'x1', 'x2', "
        "'x3'. Events have e.g. 'i0', 'i1', 'i2'. Write the ids alike (split.holdout.derived), or "
        "name the right column (split.holdout.columns.item).",
    ]
    derived = "split.holdout.derived={user: \"replace(user, '.0', '')\", item: \"'i1'\"}"
    check_provided(job_of(spark, tmp_path, "split.method=provided", holdout, derived), pairs)
    check_provided(job_of(spark, tmp_path, holdout), pairs)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("campaign.items.where=brnad = 'own'", r"campaign\.items\.where: .*brnad"),
        ("campaign.items.where=price", r"campaign\.items\.where: price is of type double; .* true"),
        ("campaign.pairs.consumable=price >", r"campaign\.pairs\.consumable: .*"),
        ("campaign.lists.pin='x'", r"campaign\.lists\.pin: .*"),
        (
            "campaign.lists.boost=brand",
            r"campaign\.lists\.boost: brand is of type string; .* number",
        ),
    ],
)
def test_rules_of_items_are_checked_before_the_night_begins(
    spark: SparkSession, tmp_path: Path, setting, message
):
    more = ["input.columns.time=time"] if "consumable" in setting else []
    with pytest.raises(DataError, match=message):
        prepare(spark, tmp_path, setting, *more)
