"""conf/base.yaml is the one place of the defaults, and the model that of the descriptions."""

import inspect
from collections.abc import Iterator

import pytest
import yaml

from ncf_spark.config import Config, Section, load_config
from tests.config.conftest import BASE


def sections(model: type[Section] = Config) -> Iterator[type[Section]]:
    yield model
    for field in model.model_fields.values():
        if inspect.isclass(field.annotation) and issubclass(field.annotation, Section):
            yield from sections(field.annotation)


def test_every_key_loads_with_the_value_that_stands_there():
    loaded = load_config(str(BASE)).model_dump(mode="json")
    assert loaded == yaml.safe_load(BASE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("section", sorted(set(sections()), key=lambda s: s.__name__))
def test_every_setting_is_described_and_has_no_second_default_in_the_code(section):
    for name, field in section.model_fields.items():
        is_section = inspect.isclass(field.annotation) and issubclass(field.annotation, Section)
        assert field.description or is_section, name
        assert field.is_required(), name
