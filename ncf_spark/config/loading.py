"""`base.yaml` + overrides → settings; the only reader of YAML."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ncf_spark.config.problems import describe
from ncf_spark.config.settings import Config
from ncf_spark.errors import ConfigError


def load_config(path: str, overrides: Sequence[str] = ()) -> Config:
    """The settings of `base.yaml`, overridden by the file at `path`, then by `overrides`.

    Args:
        path: YAML file with overrides. `base.yaml` stands beside it, else in the working
            directory's `conf/`.
        overrides: `section.key=value` strings; the value is read as YAML.

    Raises:
        ConfigError: with every problem found, one a line.
    """
    merged = _read(_base_of(Path(path)))
    if Path(path).name != "base.yaml":
        merged = _merge(merged, _read(Path(path)))
    for override in overrides:
        merged = _merge(merged, _parse_override(override))
    try:
        config = Config.model_validate(_expand(merged))
    except ValidationError as error:
        lines = [line for problem in error.errors() for line in describe(problem)]
        head = f"{path}: {len(lines)} problem(s)"
        head += f", with --set {', '.join(overrides)}" if overrides else ""
        raise ConfigError(f"{head}\n  " + "\n  ".join(lines)) from None
    # A model of evaluation.compared may be NeuMF and inherit it, so this is no rule of Config.
    if config.model.kind != "neumf" and config.training.pretraining.halves:
        raise ConfigError(
            f"{path}: training.pretraining needs model.kind neumf, not {config.model.kind}. Set "
            "training.pretraining.gmf.epochs and training.pretraining.mlp.epochs to 0."
        )
    return config


class _Loader(yaml.CSafeLoader):
    """YAML that refuses a key given twice, reads 1e-3 as a number, and `yes` as a key's name.

    YAML 1.1 keeps the last of two equal keys, reads 1e-3 as a text (it wants 1.0e-3), and a key
    `yes` or `no` as true or false.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of `node`; ConstructorError if a key is there twice."""
        keys = [key.value for key, _ in node.value]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"{', '.join(twice)} is given twice; remove one", node.start_mark
            )
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:bool":
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _base_of(path: Path) -> Path:
    for folder in (path.parent, Path("conf")):
        if (folder / "base.yaml").is_file():
            return folder / "base.yaml"
    raise ConfigError(
        f"{path.parent / 'base.yaml'}: not found. Put base.yaml beside {path.name}; "
        "it holds the defaults that the file overrides."
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from None
    except (yaml.YAMLError, ValueError) as error:  # a date such as 2026-13-01 is a ValueError
        raise ConfigError(f"{path}: is not valid YAML: {error}") from None
    if content is not None and not isinstance(content, dict):
        raise ConfigError(f"{path}: expected sections with keys, found {type(content).__name__}.")
    return content or {}


def _parse_override(override: str) -> dict[str, Any]:
    key, separator, value = override.partition("=")
    if not separator or not all(key.split(".")):
        raise ConfigError(f"--set {override}: expected section.key=value")
    try:
        nested: Any = yaml.load(value, Loader=_Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML: {error}") from None
    for name in reversed(key.split(".")):
        nested = {name: nested}
    return dict(nested)


# The user chooses the keys: an override replaces all of them, as a merge would keep the default's.
_REPLACED_WHOLE = {"options", "event_weights", "features", "compared"}


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` on top of `base`, section by section (`a: {x: 1}` + `a: {y: 2}` = both)."""
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        if key in _REPLACED_WHOLE:
            merged[key] = {} if value is None else value
        elif isinstance(value, Mapping) and isinstance(known, Mapping):
            merged[key] = _merge(known, value)
        else:
            merged[key] = value
    return merged


_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def _expand(value: Any) -> Any:
    """`${NAME}` and `${NAME:-default}` in texts, replaced from the environment."""
    if isinstance(value, str):
        return _VARIABLE.sub(_variable, value)
    if isinstance(value, Mapping):
        return {key: _expand(nested) for key, nested in value.items()}
    if isinstance(value, list):
        return [_expand(nested) for nested in value]
    return value


def _variable(match: re.Match[str]) -> str:
    name, default = match.groups()
    value = os.environ.get(name, default)
    if value is None:
        raise ConfigError(f"{match.group(0)}: the environment variable {name} is not set.")
    return value
