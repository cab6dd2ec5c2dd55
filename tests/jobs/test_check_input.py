"""A look at the customer's tables, and a first configuration for them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml

from ncf_spark.storage import files
from tests.jobs.conftest import expect, write_config
from tests.jobs.in_process import run_job

pytestmark = pytest.mark.usefixtures("spark")

EVENTS = "user,item,at\n" + "".join(
    f"u{u},i{(u * 7 + n * 3) % 40},2026-10-{n + 1:02d} 10:00:00\n"
    for u in range(20)
    for n in range(12)
)
PEOPLE = "user,email,consent\n" + "".join(f"u{u},ana{u}@shop.example,yes\n" for u in range(25))


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Of a shop of 20 users and 40 items, five newcomers and a list of two addresses."""

    def csv(name: str, text: str, **columns: str) -> dict[str, object]:
        (tmp_path / name).write_text(text)
        return {
            **{"path": str(tmp_path / name), "format": "csv", "options": {"header": True}},
            "columns": columns,
        }

    listed = "email\nANA1@shop.example\nana2@shop.example\n"
    event_columns = {"user": "user", "item": "item", "time": "at", "type": None, "value": None}
    people_columns = {"user": "user", "email": "email", "consent": "consent"}
    return write_config(
        tmp_path / "conf",
        {
            "storage": {"warehouse": str(tmp_path / "w")},
            "run": {"date": date(2026, 10, 31)},
            "input": {**csv("events.csv", EVENTS, **event_columns), "event_weights": {}},  # type: ignore[arg-type]
            "catalogue": {"path": None},
            "activity": {"features": {}},
            "recipients": csv("people.csv", PEOPLE, **people_columns, country=None),  # type: ignore[arg-type]
            "suppressions": {"gone": csv("gone.csv", listed, email="email")},
            "evaluation": {"num_negatives": 20},
            "scoring": {"k": 10},
        },
    )


def test_what_is_in_the_tables_is_shown_and_nothing_stays(config: str, tmp_path: Path):
    header, rest = PEOPLE.split("\n", 1)
    (tmp_path / "people.csv").write_text(f'{header}\n"u\n30",ana30@shop.example,yes\n{rest}')
    (tmp_path / "none.csv").write_text("email\n")
    (tmp_path / "later.csv").write_text("user_id,event_type,event_at\nu1,sent,2026-10-31\n")
    arguments = [
        *("--config", config, "--set", "recipients.options={header: true, multiLine: true}"),
        *("--set", f"suppressions.none={{path: {tmp_path}/none.csv, columns: {{email: email}}}}"),
        *("--set", f"outcomes.path={tmp_path}/later.csv", "--set", "outcomes.format=csv"),
        *("--set", "outcomes.options={header: true}"),
    ]
    output = expect(run_job("check_input", *arguments), 0)
    assert "  columns: user (string), item (string), at (string)" in output
    assert "  1 file, 6.4 KiB, the newest of " in output
    assert "  row: user=u0, email=a…@shop.example, consent=yes" in output
    assert "  row: user=u\\n30, email=a…@shop.example, consent=yes\n" in output
    assert "ana0@shop.example" not in output
    assert "  events: raw 240; used 240; interactions 240" in output
    assert (
        "  rows of recipients: consenting 26\n  rows of recipients whose user has no events: 6"
        in output
    )
    assert "  suppression rows: gone addresses 2; none 0 rows" in output
    assert (
        "  events used are from 2026-10-01 10:00:00 to 2026-10-12 10:00:00, 19 days before the run "
        "date 2026-10-31" in output
    )
    assert "warning: the newest event" not in output
    assert "\nNothing is wrong: a night can begin.\n" in output
    assert files.list_names(str(tmp_path / "w")) == []


def test_what_is_wrong_ends_it_after_what_was_found(config: str, tmp_path: Path):
    (tmp_path / "gone.csv").write_bytes("email\nmü@shop.example\n".encode("latin-1"))
    (tmp_path / "people.csv").unlink()
    (tmp_path / "later.csv").write_text("user_id,event_type,event_at\nu1,sent,yesterday\n")
    arguments = [
        *("--config", config, "--set", f"outcomes.path={tmp_path}/later.csv"),
        *("--set", "outcomes.format=csv", "--set", "outcomes.options={header: true}"),
    ]
    output = expect(run_job("check_input", *arguments), 2)
    assert "  row: user=u0, item=i0, time=2026-10-01 10:00:00" in output
    assert "people.csv (csv)\n  cannot be shown: see the error at the end" in output
    missing = f"recipients.path: {tmp_path / 'people.csv'} does not exist."
    assert f"error: {missing}" in output
    assert output.count(missing) == 1
    assert "suppressions.gone.path: gone.csv is not UTF-8: line 2 has the byte 0xFC." in output
    assert (
        "outcomes: column event_at (outcomes.columns.time) does not parse as a time in 1 of 1 rows"
        in output
    )
    assert files.list_names(str(tmp_path / "w")) == []


def test_old_events_are_warned_of(config: str):
    output = expect(run_job("check_input", "--config", config, "--run-date", "2027-01-31"), 0)
    assert "2026-10-12 10:00:00, 111 days before the run date 2027-01-31" in output
    assert "  warning: the newest event is 111 days old. Export newer events, or give" in output


def test_a_first_configuration_is_printed_without_one(tmp_path: Path):
    shop = tmp_path / "Tea Shop"
    shop.mkdir()
    (shop / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,2,3.5,978300760\n")
    paths = [str(shop / name) for name in ("ratings.csv", "none.csv", "a:b.csv", "empty.csv")]
    for path in paths[2:]:
        Path(path).write_text("")
    printed = run_job("check_input", "--suggest", paths[0])
    assert printed.returncode == 0
    config = yaml.safe_load(printed.stdout)
    assert list(config) == ["storage", "input"]
    assert config["storage"]["warehouse"] == "./warehouse/tea_shop"
    assert config["input"]["columns"]["user"] == "userId"
    assert config["input"]["time_format"] == "epoch_seconds"
    with_problems = run_job("check_input", "--suggest", *paths)
    assert with_problems.returncode == 2
    assert yaml.safe_load(with_problems.stdout) == config
    for said in (
        f"{paths[1]} does not exist.",
        f"{paths[2]}: a:b.csv: Hadoop, by which Spark reads files, does not take a colon",
        f"{paths[3]} is empty: 0 bytes.",
    ):
        assert f"\n# {said}" in with_problems.stdout
        assert said in with_problems.stderr
    assert "Traceback" not in with_problems.stderr
    assert "required: --config" in expect(run_job("check_input"), 2)


def test_nested_columns_of_parquet_are_derived(spark, tmp_path: Path):
    rows = [((7,), [("A-1", 2.0)], 20261001)]
    schema = "user struct<id: int>, items array<struct<item_id: string, price: double>>, dt int"
    spark.createDataFrame(rows, schema).write.parquet(str(tmp_path / "events"))
    printed = run_job("check_input", "--suggest", str(tmp_path / "events"))
    assert printed.returncode == 0
    settings = yaml.safe_load(printed.stdout)["input"]
    assert settings["derived"] == {"user": "user.id", "item": "explode(items.item_id)"}
    assert settings["columns"] == {"user": "user", "item": "item", "time": "dt"}
    assert settings["time_format"] == "yyyyMMdd"
