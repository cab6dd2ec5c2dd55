"""conf/airflow as files: what can be checked without an Airflow."""

from __future__ import annotations

import ast
import re

from ncf_spark.night import STEPS
from tests.jobs.conftest import ROOT

FOLDER = ROOT / "conf" / "airflow"


def test_the_tasks_are_the_steps_of_a_night_in_their_order():
    # Airflow parses the DAG without this package, so the file has a list of its own.
    module = ast.parse((FOLDER / "ncf_nightly.py").read_text())
    values = {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert ast.literal_eval(values["STEPS"]) == tuple(STEPS)


def test_every_package_of_airflows_environment_is_pinned():
    lines = (FOLDER / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9._-]+==[\w.]+", pin) for pin in pins)
    assert len(pins) > 100
