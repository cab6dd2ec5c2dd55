"""What `make docs` writes."""

import pytest
import yaml

from docs.generate import build_documents
from docs.generate.settings import build_base_yaml, build_configuration

SMALL = """
run: {date: null, seed: 7}
storage:
  warehouse: "./w"  # an old comment
  keep_runs: null
"""


@pytest.mark.parametrize("path", build_documents(), ids=lambda path: path.name)
def test_the_committed_files_are_those_that_are_generated(path):
    assert path.read_text(encoding="utf-8") == build_documents()[path], "run make docs"


def test_values_of_base_yaml_stay_and_comments_are_written_anew():
    text = build_base_yaml(SMALL)
    assert yaml.safe_load(text) == yaml.safe_load(SMALL)
    assert '\n  warehouse: "./w"      # Root of everything that is written: LATEST.json and' in text
    assert "old comment" not in text
    assert build_base_yaml(text) == text


def test_a_setting_has_its_type_default_and_description():
    text = build_configuration(SMALL)
    assert (
        "| `keep_runs` | integer ≥ 1, or null | `null` | Newest runs to keep; older ones are"
        in text
    )
