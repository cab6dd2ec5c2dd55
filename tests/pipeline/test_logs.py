import json
import logging
import re
import sys

import pytest

from ncf_spark.pipeline.logs import log, numbers, print_last_message, set_up_logging, working_on


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    root = logging.getLogger()
    handlers, level = root.handlers[:], log.level
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    yield
    root.handlers[:] = handlers
    log.setLevel(level)
    working_on(None, None)


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_json_line_has_the_numbers_as_fields(capsys):
    set_up_logging("INFO", "json")
    working_on("train", "2026-11-23.1")
    log.info("%s: done in %.1f s", "train", 3.25, extra=numbers(seconds=3.25, rows={"model": 4}))
    [line] = lines(capsys)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line == {
        "level": "INFO",
        "step": "train",
        "run": "2026-11-23.1",
        "message": "train: done in 3.2 s",
        "seconds": 3.25,
        "rows": {"model": 4},
    }


def test_a_field_never_takes_the_place_of_the_message(capsys):
    set_up_logging("INFO", "json")
    log.info("said", extra=numbers(message="other", level=3, run="x", note="Läden\n2"))
    [line] = lines(capsys)
    assert (line["message"], line["level"], line["run"], line["note"]) == (
        *("said", "INFO", None, "Läden\n2"),
    )


def test_what_another_library_warns_of_and_an_error_are_json_too(capsys):
    set_up_logging("DEBUG", "json")
    logging.getLogger("py4j").info("not said")
    logging.getLogger("py4j").warning("beware")
    try:
        raise ValueError("boom")
    except ValueError:
        log.warning("failed", exc_info=True)
    print_last_message("error: input.path is not set")
    first, second, last = lines(capsys)
    assert (first["logger"], first["message"]) == ("py4j", "beware")
    assert second["exception"].endswith("ValueError: boom")
    assert (last["level"], last["message"]) == ("ERROR", "error: input.path is not set")


def test_a_crash_is_a_json_line(capsys):
    set_up_logging("INFO", "json")
    error = ValueError("boom")
    sys.excepthook(ValueError, error, None)
    [line] = lines(capsys)
    assert line["level"] == "CRITICAL"
    assert "ValueError: boom" in line["exception"]


def test_text_is_one_short_line_and_says_no_fields(capsys):
    set_up_logging("INFO", "text")
    log.debug("not said")
    log.info("train: done", extra=numbers(seconds=3.25))
    print_last_message("error: no")
    first, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO train: done", first)
    assert last == "error: no"
