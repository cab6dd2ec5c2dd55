"""Writes the files of a campaign for each configured tool: all rows, or those that changed."""

from __future__ import annotations

from pyspark.sql import DataFrame

from ncf_spark import schemas
from ncf_spark.campaign.files import counts, delta
from ncf_spark.campaign.files.profiles import PROFILES, Profile, header
from ncf_spark.campaign.files.rows import (
    Export,
    build_rows,
    filter_addressable,
    manifest_facts,
)
from ncf_spark.pipeline.context import Job
from ncf_spark.pipeline.logs import log
from ncf_spark.storage import tables
from ncf_spark.storage.parts import Part, PartsFolder
from ncf_spark.storage.runs import Run


def max_text_bytes(job: Job) -> int | None:
    """The longest id or URL in bytes that every configured profile takes; None: no limit."""
    profiles = [PROFILES[name] for name in job.config.campaign.files.profiles]
    return min((p.max_text_bytes for p in profiles if p.max_text_bytes is not None), default=None)


def needs_address(job: Job) -> bool:
    """Whether the address is the key of every configured profile."""
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
    settings, state_table = job.config.campaign, f"campaign_state/{profile.name}"
    last, state = _last_run(job, profile), None
    if last is not None:
        uri = last.table_uri(state_table)
        state = tables.read_table(job.spark, uri, schemas.CAMPAIGN_STATE, state_table)
    # The night's end, not the clock: a rerun of the date gives the same rows.
    export = Export(settings.id, job.run_date, job.run.name, job.ends_at)
    known = filter_addressable(lists, profile)
    hash_emails = settings.files.hash_emails
    rows = build_rows(
        known, profile, export=export, k=settings.k, last_state=state, hash_emails=hash_emails
    )
    job.write(state_table, delta.build_state(rows), schemas.CAMPAIGN_STATE)
    base = last if settings.files.deltas else None
    facts = manifest_facts(profile, export, k=settings.k, hash_emails=hash_emails)
    facts["since"] = None if base is None else base.name
    with PartsFolder(job.run.table_uri(f"campaign_files/{profile.name}"), facts) as folder:
        chosen = rows
        if base is not None and state is not None:
            chosen = delta.build_delta(rows, state)
            removals = delta.build_removals(rows, state, updated_at=export.updated_at)
            removals = delta.build_removal_rows(removals, profile)
            _write_rows(folder, removals, profile, "removed", settings.k)
        parts = _write_rows(folder, chosen, profile, "campaign", settings.k)
    figures = {
        "rows": sum(part.rows for part in parts),
        "files": len(parts),
        "without an address or id, left out": job.num_rows("campaign") - job.num_rows(state_table),
        **count_changed(known, profile),
    }
    job.note(f"{profile.name} files", figures)


def count_changed(lists: DataFrame, profile: Profile) -> dict[str, int]:
    """The number of cells that differ from the tables, of recipients and of slots.

    Warns when there are keys among them: the tool does not recognize these recipients.
    """
    rows = counts.build_list_counts(lists, profile).collect()
    keys = sum(row["num_escaped"] for row in rows if row["column"] == profile.key)
    if keys:
        log.warning(
            "%s: the key of %d recipients would run as a formula in a spreadsheet, so an "
            "apostrophe is written before it: the tool does not recognize these recipients",
            *(profile.name, keys),
        )
    return {
        "escaped for spreadsheets": sum(row["num_escaped"] for row in rows),
        "truncated": sum(row["num_truncated"] for row in rows),
    }


def _write_rows(
    folder: PartsFolder, rows: DataFrame, profile: Profile, group: str, k: int
) -> list[Part]:
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
    """The night before, if it published this campaign for this tool with the same settings."""
    run = job.warehouse.night_before(job.run)
    record = None if run is None else run.step_record("export_campaign")
    if record is None or f"campaign_state/{profile.name}" not in record["tables"]:
        return None
    then, now = record["config"]["campaign"], job.config.campaign
    before = then["id"], then["k"], then["files"]["hash_emails"]
    return run if before == (now.id, now.k, now.files.hash_emails) else None
