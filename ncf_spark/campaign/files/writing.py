"""The files of a campaign, for each configured tool, whole or as what changed."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame

from ncf_spark import schemas
from ncf_spark.campaign.files import counts, delta, lines
from ncf_spark.campaign.files.profiles import PROFILES, Profile, header
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log
from ncf_spark.storage import tables
from ncf_spark.storage.parts import PartsFolder
from ncf_spark.storage.runs import Run


def max_text_bytes(job: Job) -> int | None:
    """What every configured profile takes of an id or URL, in bytes; None: all of it."""
    profiles = [PROFILES[name] for name in job.config.campaign.files.profiles]
    return min((p.max_text_bytes for p in profiles if p.max_text_bytes is not None), default=None)


def needs_address(job: Job) -> bool:
    """Whether every configured profile knows people by their address."""
    profiles = job.config.campaign.files.profiles
    return bool(profiles) and all(PROFILES[name].key == "email" for name in profiles)


def write_campaign_files(job: Job, lists: DataFrame) -> None:
    """Writes `campaign_files/<profile>/` and `campaign_state/<profile>` for each profile.

    Args:
        lists: `schemas.CAMPAIGN_LISTS`.
    """
    for name in job.config.campaign.files.profiles:
        _write(job, lists, PROFILES[name])


def _write(job: Job, lists: DataFrame, profile: Profile) -> None:
    settings = job.config.campaign
    last = _last_run(job, profile)
    # The night's end, not the clock: a rerun of the date gives the same rows.
    export = lines.Export(settings.id, job.run_date, job.run.name, job.ends_at)
    known = lines.filter_addressable(lists, profile)
    state = None if last is None else _state(job, last, profile)
    given: dict[str, Any] = {
        **{"export": export, "last_state": state, "hash_emails": settings.files.hash_emails},
    }
    if profile.suffix == "parquet":
        rows = lines.build_rows(known, profile, **given)
    else:
        rows = lines.build_lines(known, profile, k=settings.k, **given)
    place = f"campaign_state/{profile.name}"
    job.write(place, delta.build_state(rows), schemas.CAMPAIGN_STATE)
    without_key = job.num_rows("campaign") - job.num_rows(place)
    is_delta = settings.files.deltas and state is not None
    told = lines.describe(profile, export, k=settings.k, hash_emails=settings.files.hash_emails)
    since = last.name if is_delta and last is not None else None
    facts = {**told, "since": since}
    with PartsFolder(job.run.table_uri(f"campaign_files/{profile.name}"), facts) as folder:
        chosen = rows
        if is_delta and state is not None:
            chosen = delta.build_delta(rows, state)
            gone = delta.build_removals(rows, state, updated_at=export.updated_at)
            _write_rows(folder, _removals(gone, profile), profile, "removed", settings.k)
        parts = _write_rows(folder, chosen, profile, "campaign", settings.k)
    figures = {
        "rows": sum(part.rows for part in parts),
        "files": len(parts),
        "without an address or id, left out": without_key,
        **count_changed(known, profile),
    }
    job.note(f"{profile.name} files", figures)


def count_changed(lists: DataFrame, profile: Profile) -> dict[str, int]:
    """How many cells are not as the tables have them, of recipients and of slots.

    Warns of keys among them: these are other addresses or ids than the shop's.
    """
    rows = counts.build_list_counts(lists, profile).collect()
    keys = sum(row["num_guarded"] for row in rows if row["column"] == profile.key)
    if keys:
        log.warning(
            "%s: %d recipients have a key that a spreadsheet would run; the tool reads it with an "
            "apostrophe before it, and does not know them by that",
            *(profile.name, keys),
        )
    return {
        "guarded against spreadsheets": sum(row["num_guarded"] for row in rows),
        "cut short": sum(row["num_clipped"] for row in rows),
    }


def _removals(gone: DataFrame, profile: Profile) -> DataFrame:
    if profile.suffix == "parquet":
        return delta.build_removal_rows(gone, profile)
    return delta.build_removal_lines(gone, profile)


def _write_rows(
    folder: PartsFolder, rows: DataFrame, profile: Profile, group: str, k: int
) -> list[Any]:
    if profile.suffix == "parquet":
        return folder.write_parquet(rows, group=group)
    head = header(profile, k)
    if head is not None and group == "removed":
        head = ",".join(delta.removal_columns(profile))
    return folder.write_lines(
        rows,
        group=group,
        suffix=profile.suffix,
        line_end=profile.line_end,
        header=head,
        max_bytes=profile.max_bytes,
        profile=profile.name,
    )


def _last_run(job: Job, profile: Profile) -> Run | None:
    """The night before, where it published this campaign for this tool with the same settings."""
    run = job.warehouse.night_before(job.run)
    record = None if run is None else run.step_record("export_campaign")
    if record is None or f"campaign_state/{profile.name}" not in record["tables"]:
        return None
    then, now = record["config"]["campaign"], job.config.campaign
    same = (then["id"], then["k"], then["files"]["hash_emails"]) == (
        *(now.id, now.k, now.files.hash_emails),
    )
    return run if same else None


def _state(job: Job, run: Run, profile: Profile) -> DataFrame:
    place = f"campaign_state/{profile.name}"
    return tables.read_table(job.spark, run.table_uri(place), schemas.CAMPAIGN_STATE, place)
