"""Configurations of a text; `problems` is a plain function to import."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ncf_spark.config import Config, load_config
from ncf_spark.errors import ConfigError

BASE = Path(__file__).parents[2] / "conf" / "base.yaml"

Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path) -> Load:
    """Loads a text as the file of overrides, beside the project's own base.yaml."""
    (tmp_path / "base.yaml").write_text(BASE.read_text(encoding="utf-8"), encoding="utf-8")

    def load(text: str = "", *overrides: str) -> Config:
        (tmp_path / "shop.yaml").write_text(text, encoding="utf-8")
        return load_config(str(tmp_path / "shop.yaml"), overrides)

    return load


def problems(load: Load, text: str, *overrides: str) -> list[str]:
    """The lines of the error, sorted."""
    with pytest.raises(ConfigError, match=r"shop\.yaml( with --set .+)?: \d+ problem") as raised:
        load(text, *overrides)
    return sorted(line.strip() for line in str(raised.value).splitlines()[1:])
