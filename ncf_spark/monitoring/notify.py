"""Reports a night: to its own files, the log, Prometheus and MLflow."""

from __future__ import annotations

import logging
from datetime import datetime, timezone

from ncf_spark.config import Config
from ncf_spark.errors import DataError
from ncf_spark.monitoring.openmetrics import exposition
from ncf_spark.monitoring.summary import NightFacts, night_summary
from ncf_spark.monitoring.tracking import check_installed, track
from ncf_spark.storage import files
from ncf_spark.storage.warehouse import Warehouse

log = logging.getLogger("ncf_spark")


def check_monitoring(config: Config) -> None:
    """Raises ConfigError or DataError when a night could not be reported as it is configured."""
    check_installed(config)
    path = config.monitoring.openmetrics_path
    if path is None:
        return
    probe = f"{files.to_uri(path)}.probe"
    try:
        files.write_bytes(probe, b"")
        files.delete(probe)
    except OSError as error:
        raise DataError(
            f"monitoring.openmetrics_path: cannot write to {path} ({error}). "
            "Name a file in a folder that this user may write to, or set it to null."
        ) from None


def write_page(warehouse: Warehouse, facts: NightFacts) -> None:
    """Writes summary.txt and metrics.prom into the run, before its manifest."""
    files.write_bytes(f"{facts.uri}/summary.txt", night_summary(facts).encode())
    text = exposition(facts, _last_success(warehouse, facts))
    files.write_bytes(f"{facts.uri}/metrics.prom", text)


def notify(config: Config, warehouse: Warehouse, facts: NightFacts) -> None:
    """Reports a night that is published or refused.

    A report that fails is a warning in the log: the night is not lost for it.
    """
    settings = config.monitoring
    if settings.openmetrics_path is not None:
        try:
            text = exposition(facts, _last_success(warehouse, facts))
            files.write_bytes(files.to_uri(settings.openmetrics_path), text)
        except OSError as error:
            log.warning("monitoring.openmetrics_path: cannot be written: %s", error)
    if settings.mlflow_tracking_uri is not None:
        _track(config, facts)
    log.info("the night on one page:\n\n%s", night_summary(facts))


def _track(config: Config, facts: NightFacts) -> None:
    report = f"{facts.uri}/report/index.html"
    try:
        page = files.read_bytes(report).decode()
        texts = {"summary.txt": night_summary(facts), "report.html": page}
        recorded = {"run_id": track(config, facts, texts)}
        log.info("MLflow has it as run %s", recorded["run_id"])
    except Exception as error:  # of any kind: it must not lose the night
        message = f"{type(error).__name__}: {error}"
        recorded = {"error": message}
        log.warning(
            "MLflow could not record the night. The night itself is not affected: %s", message
        )
    files.write_json(f"{facts.uri}/mlflow.json", recorded)


def _last_success(warehouse: Warehouse, facts: NightFacts) -> datetime | None:
    """When a run was published last: now, if it is tonight's; else from the pointer."""
    if facts.published:
        return datetime.now(timezone.utc)
    pointer = f"{warehouse.uri}/LATEST.json"
    # A pointer that was restored by hand may not say when.
    at = files.read_json(pointer).get("published_at") if files.exists(pointer) else None
    return None if at is None else datetime.fromisoformat(at)
