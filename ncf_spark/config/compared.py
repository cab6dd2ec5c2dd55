"""The settings of the models of `evaluation.compared`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ncf_spark.config.problems import UNKNOWN, describe

if TYPE_CHECKING:
    from ncf_spark.config.settings import Config

# The settings that may differ between models; all others belong to the run.
_OF_A_MODEL = ("model.", "sampling.", "training.", "run.seed")
_OF_THE_RUN = (
    *("model.candidates", "model.selection", "training.num_workers", "training.num_shards"),
    *("training.device", "training.threads_per_worker", "training.worker_memory_bytes"),
    *("training.pin_workers", "training.start_timeout_s", "training.network_interfaces"),
    *("training.max_restarts", "training.warm_epochs", "training.full_retrain_every_days"),
)


def override(config: Config, name: str, overrides: Mapping[str, Any]) -> Config:
    """The settings of a compared model, which has no compared models itself.

    Raises:
        ValueError: with a line for each problem.
    """
    content = config.model_dump()
    content["evaluation"]["compared"] = {}
    content["model"]["candidates"] = []
    problems = [found for key, value in overrides.items() if (found := _set(content, key, value))]
    try:
        overridden = config.model_validate(content)
    except ValidationError as error:
        problems += [line for problem in error.errors() for line in describe(problem)]
    if problems:
        raise ValueError("\n".join(f"evaluation.compared.{name}: {line}" for line in problems))
    return overridden


def _set(content: dict[str, Any], key: str, value: Any) -> str | None:
    """Sets a setting in a dumped configuration; or says why it cannot be set."""
    if "." not in key and isinstance(value, Mapping):
        return f"{key}: write each setting with its full name, such as model.kind: mf"
    if not key.startswith(_OF_A_MODEL) or key.startswith(_OF_THE_RUN):
        return (
            f"{key} cannot differ between models; "
            "a compared model may set model, sampling, training and run.seed"
        )
    *sections, last = key.split(".")
    section: Any = content
    for part in sections:
        section = section.get(part) if isinstance(section, dict) else None
    if not isinstance(section, dict) or last not in section:
        return f"{key}: {UNKNOWN}"
    section[last] = value
    return None
