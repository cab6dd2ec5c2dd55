"""The notebooks run from top to bottom on the tables of a real night."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from ncf_spark.measurement.chart import draw_lifts
from ncf_spark.measurement.results import result_rows
from tests.jobs.conftest import ROOT, RUN_DATE, Night, copy_night

NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


def outputs_of(name: str, warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the cells of a notebook show, of a warehouse."""
    monkeypatch.setenv("NCF_WAREHOUSE", str(warehouse))
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    client = NotebookClient(notebook, timeout=600, kernel_name="python3")
    client.execute(cwd=str(ROOT / "notebooks"))
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def num_pictures(outputs: list[Any], kind: str) -> int:
    return len([output for output in outputs if kind in output.get("data", {})])


def texts_of(outputs: list[Any]) -> str:
    told = [output.get("data", {}).get("text/plain", "") for output in outputs]
    return "".join([*told, *[output.get("text", "") for output in outputs]])


@pytest.mark.slow
def test_first_look_runs_on_a_published_night(night: Night, monkeypatch: pytest.MonkeyPatch):
    outputs = outputs_of("first_look.ipynb", night.folder / "ware house", monkeypatch)
    assert num_pictures(outputs, "image/png") == 3
    assert "sampled_99" in texts_of(outputs)
    assert "Article" in texts_of(outputs)


@pytest.mark.slow
def test_the_campaign_is_walked_through_before_and_after_it_is_measured(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own = copy_night(night, tmp_path / "own")
    warehouse = own.folder / "ware house"
    outputs = outputs_of("campaign_walkthrough.ipynb", warehouse, monkeypatch)
    assert num_pictures(outputs, "image/png") == 2
    told = texts_of(outputs)
    assert "no_consent" in told
    assert "slots are not the model's" in told
    assert "has not been measured yet" in told
    measured = warehouse / "measurements" / "nightly" / RUN_DATE
    measured.mkdir(parents=True)
    rows = result_rows([("model", "bought", 400, 60), ("holdout", "bought", 100, 10)], {})
    (measured / "lift.svg").write_text(draw_lifts(rows, title="nightly"))
    (measured / "results.json").write_text("{}")
    outputs = outputs_of("campaign_walkthrough.ipynb", warehouse, monkeypatch)
    assert num_pictures(outputs, "image/svg+xml") == 1


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_are_stored_without_outputs(name: str):
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
