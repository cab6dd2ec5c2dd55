"""The files that are generated from settings, schemas and steps; `make docs` writes them."""

from pathlib import Path

from docs.generate.settings import build_base_yaml, build_configuration
from docs.generate.tables import build_tables

ROOT = Path(__file__).resolve().parents[2]


def build_documents() -> dict[Path, str]:
    """The text of each generated file."""
    base = ROOT / "conf" / "base.yaml"
    text = base.read_text(encoding="utf-8")
    return {
        base: build_base_yaml(text),
        ROOT / "docs" / "configuration.md": build_configuration(text),
        ROOT / "docs" / "tables.md": build_tables(),
    }
