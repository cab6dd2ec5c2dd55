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
    output = expect(run_job("check_input", "--config", config), 0)
    assert "  columns: user (string), item (string), at (string)" in output
    assert "  row: user=u0, email=a…@shop.example, consent=yes" in output
    assert "ana0@shop.example" not in output
    assert "  events: raw events 240; events used 240; interactions 240" in output
    assert "  rows of recipients: consenting 25; of users without events 5" in output
    assert "  rows of suppressions: gone addresses 2" in output
    assert "  events used are from 2026-10-01 10:00:00 to 2026-10-12 10:00:00" in output
    assert "\nNothing is wrong: a night can begin.\n" in output
    assert files.list_names(str(tmp_path / "w")) == []


def test_what_is_wrong_ends_it_after_what_was_found(config: str, tmp_path: Path):
    (tmp_path / "gone.csv").write_bytes("email\nmü@shop.example\n".encode("latin-1"))
    (tmp_path / "people.csv").unlink()
    output = expect(run_job("check_input", "--config", config), 2)
    assert "  row: user=u0, item=i0, time=2026-10-01 10:00:00" in output
    assert f"  wrong: recipients.path: {tmp_path / 'people.csv'} does not exist." in output
    assert "error: recipients.path: " in output
    assert "suppressions.gone.path: gone.csv is not UTF-8: line 2 has the byte 0xFC." in output
    assert files.list_names(str(tmp_path / "w")) == []


def test_a_first_configuration_is_printed_without_one(tmp_path: Path):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,2,3.5,978300760\n")
    printed = run_job("check_input", "--suggest", str(tmp_path / "ratings.csv"))
    assert printed.returncode == 0
    [(section, settings)] = yaml.safe_load(printed.stdout).items()
    assert section == "input"
    assert settings["columns"]["user"] == "userId"
    missing = expect(run_job("check_input", "--suggest", str(tmp_path / "none.csv")), 2)
    assert "none.csv: does not exist, or holds no file." in missing
    assert "required: --config" in expect(run_job("check_input"), 2)
