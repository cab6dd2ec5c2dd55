"""The night as a run of MLflow, where that is configured; the only importer of mlflow."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from ncf_spark.config import Config
from ncf_spark.errors import ConfigError
from ncf_spark.monitoring.summary import NightFacts

# A server that is down costs half a minute, not the minutes of MLflow's defaults: the night is
# published, and only the end of the job waits for it.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_AT_ONCE = {"params": 100, "metrics": 1000}  # what a server takes in one request
_LONGEST = 6000  # characters of a parameter


def check_installed(config: Config) -> None:
    """Raises ConfigError when MLflow is asked for but not installed."""
    if config.monitoring.mlflow_tracking_uri is not None and find_spec("mlflow") is None:
        raise ConfigError(
            "monitoring.mlflow_tracking_uri is set, but MLflow is not installed. Install this "
            "package with its extra mlflow (pip install 'ncf-spark[mlflow]'), or set it to null."
        )


def track(config: Config, facts: NightFacts, texts: Mapping[str, str]) -> str:
    """Creates a finished run with the settings, the figures and some files.

    Args:
        texts: artifacts, by file name.

    Returns:
        MLflow's id of the run.

    Raises:
        Exception: of whatever kind, when the store does not take it.
    """
    uri = config.monitoring.mlflow_tracking_uri or ""
    os.environ.update({k: v for k, v in _PATIENCE.items() if k not in os.environ})
    if uri.startswith("file:") or "://" not in uri:
        # MLflow warns of folders, since it prefers a database; the folder is the user's choice.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(uri)
    name = config.monitoring.mlflow_experiment
    known = client.get_experiment_by_name(name)
    experiment_id = client.create_experiment(name) if known is None else known.experiment_id
    tags = {"run": facts.run, "run_date": facts.run_date, "published": str(facts.published)}
    run_id: str = client.create_run(experiment_id, run_name=facts.run, tags=tags).info.run_id
    try:
        params = [Param(key, value) for key, value in parameters(config.model_dump(mode="json"))]
        for start in range(0, len(params), _AT_ONCE["params"]):
            client.log_batch(run_id, params=params[start : start + _AT_ONCE["params"]])
        figures = [Metric(key, value, 0, 0) for key, value in metrics(facts).items()]
        for start in range(0, len(figures), _AT_ONCE["metrics"]):
            client.log_batch(run_id, metrics=figures[start : start + _AT_ONCE["metrics"]])
        for file_name, text in texts.items():
            client.log_text(run_id, text, file_name)
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id)
    return run_id


def parameters(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """`("training.epochs", "20")` for each setting.

    Without reader options and the section monitoring, which may hold passwords.
    """
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if key == "options" or name == "monitoring":
            continue
        if isinstance(value, Mapping) and value:
            yield from parameters(value, f"{name}.")
        else:
            yield _as_name(name), str(value)[:_LONGEST]


def metrics(facts: NightFacts) -> dict[str, float]:
    """`neumf/full/ndcg_at_10`, `seconds/train` and `rows/campaign`, by name."""
    found = {
        f"{row['model']}/{row['protocol']}/{row['metric']}_at_{row['k']}": float(row["value"])
        for row in facts.metrics
    }
    for step, record in facts.records.items():
        found[f"seconds/{step}"] = float(record.get("seconds", 0))
        for table, written in record.get("tables", {}).items():
            found[f"rows/{table}"] = float(written["num_rows"])
    return {_as_name(name): value for name, value in found.items()}


def _as_name(text: str) -> str:
    return re.sub(r"[^\w./ -]", "_", text)
