"""The scheduler's DAG in a real Airflow, which has an environment of its own below build/."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ncf_spark.night import STEPS
from tests.jobs.conftest import ROOT

pytestmark = pytest.mark.slow

FOLDER = ROOT / "conf" / "airflow"
ENVIRONMENT = ROOT / "build" / "airflow-venv"

# In place of spark-submit: notes how it was called, and ends as the night of the test says.
FAKE = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
[script] = [Path(a).stem for a in sys.argv[1:] if a.endswith(".py")]
with open("calls.jsonl", "a") as calls:
    calls.write(json.dumps([script, os.getcwd(), *sys.argv[1:]]) + "\\n")
statuses = json.loads(Path("statuses.json").read_text())
status = statuses.get(script, []).pop(0) if statuses.get(script) else 0
Path("statuses.json").write_text(json.dumps(statuses))
print("the job's own words")
sys.exit(status)
"""

NIGHTS: dict[str, dict[str, list[int]]] = {
    "done": {},
    "refused": {"export_campaign": [3]},
    "wrong input": {"build_interactions": [2]},
    "passing trouble": {"train": [1, 137]},
    "lasting trouble": {"train": [1, 1, 1]},
}


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python of build/airflow-venv, which is made where it is missing or out of date."""
    requirements = FOLDER / "requirements.txt"
    mark, wanted = ENVIRONMENT / ".ready", hashlib.sha256(requirements.read_bytes()).hexdigest()
    python = ENVIRONMENT / "bin" / "python"
    if not mark.exists() or mark.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, "-r", requirements], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        mark.write_text(wanted)
    return python


@pytest.fixture(scope="module")
def found(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Airflow made of the DAG and of each of the nights."""
    home = tmp_path_factory.mktemp("checkout")
    fake = home / ".venv" / "bin" / "spark-submit"
    fake.parent.mkdir(parents=True)
    fake.write_text(FAKE)
    fake.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SPARK", "AIRFLOW"))}
    environment = kept | {
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(FOLDER),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_SPARK_DEFAULT": "spark://master.example:7077",
        "NCF_HOME": str(home),
        "NCF_SPARK_CONF_TRAIN": "conf/spark/gpu.conf",
        "NCF_ALERT_EMAIL": "data@shop.example",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    script = ROOT / "tests" / "conf" / "airflow_nights.py"
    nights = json.dumps(list(NIGHTS.values()))
    for command in (
        [python.parent / "airflow", "db", "migrate"],
        [python, script, FOLDER, home, nights],
    ):
        done = subprocess.run(
            command, env=environment, cwd=home, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    content: dict[str, Any] = json.loads((home / "found.json").read_text())
    return content


@pytest.fixture(scope="module")
def nights(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(zip(NIGHTS, found["nights"], strict=True))


def test_the_file_is_imported_without_errors(found: dict[str, Any]):
    assert found["dag"]["errors"] == {}
    assert found["dag"]["dags"] == ["ncf_nightly"]


def test_each_step_is_a_task_and_follows_the_one_before_it(found: dict[str, Any]):
    steps = list(STEPS)
    before = dict(zip(steps, [[], *([step] for step in steps)], strict=False))
    assert found["dag"]["order"] == before


def test_a_night_has_retries_and_a_deadline_and_the_nights_follow_one_another(
    found: dict[str, Any],
):
    dag = found["dag"]
    assert set(dag["retries"].values()) == {2}
    assert dag["retry_minutes"] == 10
    assert (dag["deadline_minutes"], dag["mail"]) == (240, "data@shop.example")
    assert dag["schedule"] == "30 1 * * *"
    assert (dag["max_active_runs"], dag["catchup"]) == (1, False)


def test_a_night_that_is_done_runs_every_job_once(nights: dict[str, dict[str, Any]]):
    night = nights["done"]
    assert night["state"] == "success"
    assert set(night["tasks"].values()) == {"success"}
    assert [call[0] for call in night["calls"]] == list(STEPS)


def test_spark_submit_is_called_as_the_readme_says(nights: dict[str, dict[str, Any]]):
    for step, folder, *arguments in nights["done"]["calls"]:
        conf = "gpu" if step == "train" else "standalone"
        assert arguments[arguments.index("--properties-file") + 1] == f"conf/spark/{conf}.conf"
        assert arguments[arguments.index("--master") + 1] == "spark://master.example:7077"
        assert arguments[arguments.index("--deploy-mode") + 1] == "client"
        # At 01:30 of 2 November, the day that is over is the 1st.
        assert arguments[-5:] == [
            f"{folder}/jobs/{step}.py",
            *("--config", "conf/base.yaml", "--run-date", "2026-11-01"),
        ]


def test_a_refused_night_is_skipped_and_not_retried(nights: dict[str, dict[str, Any]]):
    night = nights["refused"]
    assert night["state"] == "success"
    assert night["tasks"].pop("export_campaign") == "skipped"
    assert set(night["tasks"].values()) == {"success"}
    assert [call[0] for call in night["calls"]].count("export_campaign") == 1


def test_wrong_input_fails_at_once(nights: dict[str, dict[str, Any]]):
    night = nights["wrong input"]
    assert night["state"] == "failed"
    assert night["tasks"]["build_interactions"] == "failed"
    assert set(night["tasks"].values()) == {"failed", "upstream_failed"}
    assert [call[0] for call in night["calls"]] == ["build_interactions"]


@pytest.mark.parametrize(
    ("name", "state"), [("passing trouble", "success"), ("lasting trouble", "failed")]
)
def test_other_trouble_is_retried_twice(nights: dict[str, dict[str, Any]], name: str, state: str):
    night = nights[name]
    assert night["state"] == state
    assert night["tasks"]["train"] == state
    assert [call[0] for call in night["calls"]].count("train") == 3
