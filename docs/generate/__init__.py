"""The files that are generated from settings, schemas and steps; `make docs` writes them."""

from pathlib import Path

from docs.generate.settings import build_base_yaml, build_configuration

ROOT = Path(__file__).resolve().parents[2]


def build_documents() -> dict[Path, str]:
    """The text of each generated file."""
    base = ROOT / "conf" / "base.yaml"
    text = base.read_text(encoding="utf-8")
    return {
        base: build_base_yaml(text),
        ROOT / "docs" / "configuration.md": build_configuration(text),
    }
