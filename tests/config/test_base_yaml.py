"""conf/base.yaml is the one place of the defaults and of what each setting means."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ncf_spark.config import Config, Section, load_config

BASE = Path(__file__).parents[2] / "conf" / "base.yaml"


def sections(model: type[Section] = Config) -> Iterator[type[Section]]:
    yield model
    for field in model.model_fields.values():
        if inspect.isclass(field.annotation) and issubclass(field.annotation, Section):
            yield from sections(field.annotation)


def settings_with_lines(
    node: yaml.MappingNode, model: type[Section], lines: list[str]
) -> Iterator[tuple[str, bool]]:
    """(Class.field, whether its line carries a comment) for each setting of the file.

    A comment beside `columns:` speaks for the columns below it, and one occurrence speaks for a
    field that several sections inherit.
    """
    for key, value in node.value:
        nested = model.model_fields[key.value].annotation
        commented = "#" in lines[key.start_mark.line]
        if inspect.isclass(nested) and issubclass(nested, Section):
            for name, own in settings_with_lines(value, nested, lines):
                yield name, own or (key.value == "columns" and commented)
        else:
            owner = next(c for c in model.__mro__ if key.value in inspect.get_annotations(c))
            yield f"{owner.__name__}.{key.value}", commented


def test_every_key_loads_with_the_value_that_stands_there():
    loaded = load_config(str(BASE)).model_dump(mode="json")
    assert loaded == yaml.safe_load(BASE.read_text(encoding="utf-8"))


def test_every_setting_is_explained():
    text = BASE.read_text(encoding="utf-8")
    found = list(settings_with_lines(yaml.compose(text), Config, text.splitlines()))
    explained = {name for name, commented in found if commented}
    assert sorted({name for name, _ in found} - explained) == []


@pytest.mark.parametrize("section", sorted(set(sections()), key=lambda s: s.__name__))
def test_no_setting_has_a_second_default_in_the_code(section):
    assert [name for name, field in section.model_fields.items() if not field.is_required()] == []
