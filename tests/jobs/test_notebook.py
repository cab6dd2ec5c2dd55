"""The notebook runs from top to bottom on the tables of a real night."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from tests.jobs.conftest import ROOT, Night

pytestmark = pytest.mark.slow


def test_first_look_runs_on_a_published_night(night: Night, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NCF_WAREHOUSE", str(night.folder / "ware house"))
    notebook = nbformat.read(ROOT / "notebooks" / "first_look.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=120, kernel_name="python3")
    client.execute(cwd=str(ROOT / "notebooks"))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == 3
    texts = "".join(o.get("data", {}).get("text/plain", "") for o in outputs)
    assert "sampled_99" in texts
    assert "Article" in texts


def test_the_notebook_is_stored_without_outputs():
    notebook = nbformat.read(ROOT / "notebooks" / "first_look.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
