"""Who hears of a night: its own files, the log, Prometheus and MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ncf_spark.config import Config
from ncf_spark.errors import DataError
from ncf_spark.job.context import Job
from ncf_spark.job.gates import Verdict, lines_of
from ncf_spark.job.logs import log
from ncf_spark.job.openmetrics import exposition
from ncf_spark.job.summary import NightFacts, night_summary
from ncf_spark.job.tracking import check_installed, track
from ncf_spark.storage import files


def check_monitoring(config: Config) -> None:
    """Raises ConfigError or DataError when a night could not be told of as it is configured."""
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


def facts_of(
    job: Job, manifest: Mapping[str, Any], refusals: list[str], block_reason: str | None
) -> NightFacts:
    """What is told of a night.

    Args:
        manifest: of the run, or what would be.
        refusals: sentences of the gates that refused.
        block_reason: why the run is not published although no gate refused; None: it is.
    """
    before = job.warehouse.night_before(job.run)
    of_before = (before.manifest() if before is not None else None) or {}
    model_before = of_before.get("champion")
    published = job.warehouse.published_run()
    stays = "nothing is published" if published is None else f"{published.name} stays published"
    if refusals:
        outcome = f"No: {'; '.join(refusals)}. Meanwhile {stays}."
    elif block_reason is not None:
        outcome = f"No: it {block_reason}."
    else:
        outcome = f"Yes: {job.run.uri}, which LATEST.json names."
    return NightFacts(
        run_date=str(job.run_date),
        run=job.run.name,
        uri=job.run.uri,
        own=manifest.get("champion", job.config.model.kind),
        records=manifest.get("steps", {}),
        metrics=manifest.get("metrics", []),
        before=None if model_before is None or before is None else (before.name, model_before),
        metrics_before=of_before.get("metrics", []),
        verdicts=lines_of([Verdict(**verdict) for verdict in manifest.get("gates", [])]),
        published=not refusals and block_reason is None,
        outcome=outcome,
    )


def write_page(job: Job, facts: NightFacts) -> None:
    """Writes summary.txt and metrics.prom into the run, before its manifest."""
    files.write_bytes(f"{job.run.uri}/summary.txt", night_summary(facts).encode())
    files.write_bytes(f"{job.run.uri}/metrics.prom", exposition(facts, _last_success(job, facts)))


def notify(job: Job, facts: NightFacts) -> None:
    """Tells of a night whose pointer has moved, or will not.

    Whoever does not listen is warned of in the log, and the night is not lost for it.
    """
    settings = job.config.monitoring
    if settings.openmetrics_path is not None:
        try:
            text = exposition(facts, _last_success(job, facts))
            files.write_bytes(files.to_uri(settings.openmetrics_path), text)
        except OSError as error:
            log.warning("monitoring.openmetrics_path: cannot be written: %s", error)
    if settings.mlflow_tracking_uri is not None:
        _track(job, facts)
    log.info("the night on one page:\n\n%s", night_summary(facts))


def _track(job: Job, facts: NightFacts) -> None:
    report = f"{job.run.table_uri('report')}/index.html"
    try:
        page = files.read_bytes(report).decode()
        texts = {"summary.txt": night_summary(facts), "report.html": page}
        told = {"run_id": track(job.config, facts, texts)}
        log.info("MLflow has it as run %s", told["run_id"])
    except Exception as error:  # of any kind: it must not lose the night
        told = {"error": f"{type(error).__name__}: {error}"}
        log.warning("MLflow did not take the night, which stands all the same: %s", told["error"])
    files.write_json(f"{job.run.uri}/mlflow.json", told)


def _last_success(job: Job, facts: NightFacts) -> datetime | None:
    """When a run was published last: tonight's now, else as the pointer says."""
    if facts.published:
        return datetime.now(timezone.utc)
    pointer = f"{job.warehouse.uri}/LATEST.json"
    # A pointer that was restored by hand may not say when.
    at = files.read_json(pointer).get("published_at") if files.exists(pointer) else None
    return None if at is None else datetime.fromisoformat(at)
