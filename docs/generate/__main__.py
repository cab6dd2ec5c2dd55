"""Writes the generated files: `python -m docs.generate`."""

from docs.generate import build_documents

for path, text in build_documents().items():
    path.write_text(text, encoding="utf-8")
