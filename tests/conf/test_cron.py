"""The line of conf/cron/, run by the shell that it names, with spark-submit replaced."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.jobs.conftest import ROOT

FILE = (ROOT / "conf" / "cron" / "ncf_nightly").read_text()


def run(home: Path, status: int) -> str:
    """What the line prints, which is what cron would mail."""
    spark_submit = home / "bin" / "spark-submit"
    spark_submit.parent.mkdir(exist_ok=True)
    spark_submit.write_text(f'#!/bin/sh\necho "$PWD" "$@"\nexit {status}\n')
    spark_submit.chmod(0o755)
    [line] = [line for line in FILE.splitlines() if line.startswith("30 1 * * *")]
    command = line.split(maxsplit=6)[6].replace(r"\%", "%")
    shell = re.search(r"^SHELL=(.*)$", FILE, re.MULTILINE)
    assert shell is not None
    environment = {"HOME": str(home), "PATH": f"{home}/bin{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [shell[1], "-c", command], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def test_a_night_that_is_done_mails_nothing(tmp_path: Path):
    assert run(tmp_path, 0) == ""
    yesterday = date.today() - timedelta(days=1)
    [log] = (tmp_path / "logs").glob("*.log")
    assert log.name == f"{yesterday}.log"
    folder, *arguments = log.read_text().split()
    assert folder == str(tmp_path)
    assert arguments[-2:] == ["--run-date", str(yesterday)]
    assert (ROOT / arguments[arguments.index("--properties-file") + 1]).is_file()
    assert "jobs/nightly.py" in arguments


@pytest.mark.parametrize("status", [1, 2, 3])
def test_any_other_end_mails_its_exit_status(tmp_path: Path, status: int):
    assert f"exit status {status}, see {tmp_path}/logs/" in run(tmp_path, status)


def test_a_night_is_left_out_while_another_runs(tmp_path: Path):
    (tmp_path / "logs").mkdir()
    with subprocess.Popen(["flock", tmp_path / "logs" / "lock", "sleep", "60"]) as other:
        while not (tmp_path / "logs" / "lock").exists():
            pass
        told = run(tmp_path, 0)
        other.terminate()
    assert "exit status 1" in told
