"""Comments of `conf/base.yaml`, and `configuration.md`: from the descriptions of the settings."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args, get_origin

import yaml

from ncf_spark.config import Config, Section, Source

_COMMENT_COLUMN, _WIDTH = 24, 100


class Setting(NamedTuple):
    """A setting, or a section of settings.

    Args:
        key: `input.columns.user`.
        owner: the class that declares it, and its name there.
        about: its description, by paragraphs.
        schema: its type as JSON schema.
        section: the class of a section, also of an optional one; None: a setting.
        default: as `conf/base.yaml` writes it; None: it is not there, or has settings below it.
        line: of `conf/base.yaml`; empty: it is not there.
    """

    key: str
    owner: tuple[type[Section], str]
    about: list[str]
    schema: Mapping[str, Any]
    section: type[Section] | None
    default: str | None
    line: str

    @property
    def is_table(self) -> bool:
        """Whether it names a table of the customer's."""
        return self.section is not None and issubclass(self.section, Source)


def build_base_yaml(text: str) -> str:
    """`conf/base.yaml`: keys, order and values of `text`, comments of the model."""
    first, *others = _paragraphs(Config)
    lines = _comment([f"{first} `make docs` writes the comments.", *others])
    seen = set()
    for setting in _settings(Config, text, yaml.compose(text)):
        is_top = "." not in setting.key
        if is_top:
            lines.append("")
        if is_top and setting.default is None:
            lines += [*_comment([" ".join(setting.about)]), setting.line]
        elif setting.line:
            is_known = setting.owner in seen
            lines += [setting.line] if is_known else _with_comment(setting)
        # What several sections inherit is explained once.
        seen.add(setting.owner)
    return "\n".join(lines) + "\n"


def build_configuration(text: str) -> str:
    """The reference of all settings, with the defaults of `text`, which is `conf/base.yaml`."""
    settings = list(_settings(Config, text, yaml.compose(text)))
    shared = [s for s in settings if s.owner[0] is Source and s.key.startswith("input.")]
    parts = [
        "# Configuration",
        "<!-- make docs writes this page from the descriptions in ncf_spark/config. -->",
        *_paragraphs(Config),
        "Unknown keys, wrong types and values out of range are reported together, before Spark "
        "starts.",
        "## Your tables",
        *_paragraphs(Source),
        "Every section that names a table has these settings, here with the defaults of `input`:",
        _table(shared, "input."),
    ]
    for top in (s for s in settings if "." not in s.key):
        below = [s for s in settings if s.key.startswith(f"{top.key}.")]
        own = [s for s in below if s.owner[0] is not Source]
        parts += [f"## `{top.key}`", *top.about]
        if top.is_table:
            parts.append("The settings of [your tables](#your-tables), and:")
        parts.append(_table(own, f"{top.key}."))
    return "\n\n".join(parts) + "\n"


def _settings(
    model: type[Section], text: str, node: Any, path: str = "", indent: str = ""
) -> Iterator[Setting]:
    """The settings of a section and of those in it, in the order of their YAML."""
    nodes = {key.value: (key, value) for key, value in node.value} if node else {}
    types = model.model_json_schema()["properties"]
    for name in nodes or model.model_fields:
        field, nested = model.model_fields[name], _nested(model.model_fields[name].annotation)
        key, value = nodes.get(name, (None, None))
        has_keys = isinstance(value, yaml.MappingNode) and not value.flow_style
        default = None if value is None or (nested and has_keys) else _source(value, text)
        yield Setting(
            path + name,
            next((c, name) for c in model.__mro__ if name in inspect.get_annotations(c)),
            _paragraphs(field.description or nested),
            types[name],
            nested,
            default,
            f"{indent}{_source(key, text)}: {default or ''}".rstrip() if key else "",
        )
        if nested is not None:
            own_names = "<name>." if get_origin(field.annotation) is dict else ""
            below = value if has_keys else None
            yield from _settings(nested, text, below, f"{path}{name}.{own_names}", indent + "  ")


def _nested(annotation: Any) -> type[Section] | None:
    """The class of a section, also of an optional one and of one under names of the user's own."""
    for one in (annotation, *get_args(annotation)):
        if inspect.isclass(one) and issubclass(one, Section):
            return one
    return None


def _paragraphs(described: Any) -> list[str]:
    """The paragraphs of a description, or of a class's docstring, each on one line."""
    words = described if isinstance(described, str) else inspect.getdoc(described) or ""
    return [" ".join(one.split()) for one in words.split("\n\n")]


def _source(node: Any, text: str) -> str:
    """What the YAML file has for a key or value, with its quotes."""
    return text[node.start_mark.index : node.end_mark.index].strip()


# --- comments -----------------------------------------------------------------------------------


def _comment(paragraphs: list[str]) -> list[str]:
    """Lines of comments of their own."""
    words = "\n#\n".join(paragraphs)
    return [line for one in words.split("\n") for line in _wrapped("# ", one.lstrip("#"), "# ")]


def _with_comment(setting: Setting) -> list[str]:
    """The line of a setting, with its first paragraph and the values to choose from beside it."""
    words, values = setting.about[0], _values(setting.schema)
    if not all(f"`{value}`" in words for value in values):
        words = f"{words} Values: {', '.join(values)}."
    return _wrapped(
        f"{setting.line:<{_COMMENT_COLUMN - 2}}  # ", words, " " * _COMMENT_COLUMN + "# "
    )


def _wrapped(start: str, words: str, next_start: str) -> list[str]:
    how: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    words = words.replace("`", "")
    return textwrap.wrap(words, _WIDTH, initial_indent=start, subsequent_indent=next_start, **how)


# --- the page -----------------------------------------------------------------------------------


def _table(settings: Sequence[Setting], prefix: str) -> str:
    """A table in Markdown, with keys below `prefix`."""
    rows = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
    first: dict[tuple[type[Section], str], str] = {}
    for setting in settings:
        key = setting.key.removeprefix(prefix)
        said = first.setdefault(setting.owner, key)
        about = " ".join(setting.about) if said == key else f"As `{said}`."
        if setting.is_table:
            about += " It has the settings of [your tables](#your-tables)."
        default = f"`{setting.default}`" if setting.default else ""
        cells = [f"`{key}`", _type(setting.schema), default, about]
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


def _type(schema: Mapping[str, Any]) -> str:
    """A type and its range in words: integer ≥ 1, or null."""
    if "anyOf" in schema:
        return ", or ".join(_type(one) for one in schema["anyOf"])
    if values := _values(schema):
        words = ", ".join(f"`{value}`" for value in values)
        return f"list of {words}" if schema["type"] == "array" else words
    if "$ref" in schema:
        return "section"
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    if schema["type"] == "object":
        each = schema.get("additionalProperties")
        return f"names, each with {_type(each)}" if isinstance(each, dict) else "settings"
    names = {"string": schema.get("format", "text"), "boolean": "`true` or `false`"}
    ranges = [f"{sign} {schema[key]:,}" for key, sign in _RANGES.items() if key in schema]
    return " ".join([names.get(schema["type"], schema["type"]), " and ".join(ranges)]).strip()


_RANGES = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _values(schema: Mapping[str, Any]) -> list[str]:
    """The values to choose from, of a text or of a list of them; empty: any."""
    options = [schema, schema.get("items", {}), *schema.get("anyOf", [])]
    return next((one["enum"] for one in options if "enum" in one), [])
