"""The campaign of the generated shop, by the jobs' own functions, after tables that are made up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pyspark.sql import SparkSession

from ncf_spark import schemas
from ncf_spark.campaign.eligibility import write_campaign_items
from ncf_spark.campaign.step import write_campaign
from ncf_spark.config import load_config
from ncf_spark.inputs.intake import read_catalogue
from ncf_spark.night import STEPS
from ncf_spark.pipeline.context import Job
from ncf_spark.preparation.step import write_interactions
from ncf_spark.storage.warehouse import Warehouse
from tests.campaign.rules.shop import K_SCORED, RUN_DATE
from tests.campaign.rules.validator import RULES
from tests.jobs.conftest import ROOT

MADE = {
    "user_index": schemas.USER_INDEX,
    "item_index": schemas.ITEM_INDEX,
    "user_topk": schemas.USER_TOPK,
    "item_topk": schemas.ITEM_TOPK,
}


def settings(shop: Path, campaign: Mapping[str, Any], **sections: Any) -> dict[str, Any]:
    """The configuration of the shop with a campaign's rules; `sections` replace whole ones."""
    csv = {"format": "csv", "options": {"header": "true"}}
    given = {
        "input": {
            "path": f"{shop}/events.parquet",
            "columns": {"user": "user_id", "item": "item_id", "time": "event_at"}
            | {"type": "event_type"},
        },
        "catalogue": {
            "path": f"{shop}/items.parquet",
            "columns": {name: name for name in ("title", "url", "category", "brand", "price")}
            | {"item": "item_id", "in_stock": "pieces", "countries": "countries"}
            | {"active_from": "since", "active_until": "until"},
        },
        "recipients": {
            "path": f"{shop}/recipients.parquet",
            "columns": {name: name for name in ("email", "country", "segment", "consent")}
            | {"user": "user_id"},
        },
        "suppressions": {
            "complained": {"path": f"{shop}/complained.csv", "columns": {"user": "user_id"}},
            "unsubscribed": {"path": f"{shop}/unsubscribed.csv", "columns": {"email": "email"}},
            "bounced": {"path": f"{shop}/bounced.csv", **csv, "columns": {"email_sha256": "sha"}},
        },
        "send_log": {
            "path": f"{shop}/send_log.parquet",
            "columns": {"user": "user_id", "item": "item_id", "campaign": "campaign"}
            | {"sent_at": "sent_at"},
        },
        "scoring": {"k": K_SCORED},
        "campaign": dict(campaign),
        "run": {"date": RUN_DATE},
    }
    return {**given, **sections}


def with_rule(path: str, value: Any) -> dict[str, Any]:
    """RULES with one setting changed: `lists.min_score`, None."""
    sections = {k: dict(v) if isinstance(v, dict) else v for k, v in RULES.items()}
    *section, name = path.split(".")
    (sections[section[0]] if section else sections)[name] = value
    return sections


def export(
    spark: SparkSession,
    shop: Path,
    warehouse: Path,
    given: Mapping[str, Any],
    profile: str = "generic_csv",
    run_date: date = RUN_DATE,
) -> Path:
    """Exports the campaign by a configuration; the folder of a profile's files.

    The run is complete and published then, for the next night to find.
    """
    warehouse.mkdir(parents=True, exist_ok=True)
    config_path = warehouse / "campaign.yaml"
    config_path.write_text(yaml.safe_dump({**given, "storage": {"warehouse": str(warehouse)}}))
    (warehouse / "base.yaml").write_text((ROOT / "conf" / "base.yaml").read_text())
    config = load_config(str(config_path))
    storage = Warehouse(str(warehouse))
    run = storage.open_run(run_date)
    job = Job({}, "", config, spark, run_date, storage, run)
    for name, schema in MADE.items():
        job.write(name, spark.read.parquet(f"{shop}/made/{name}.parquet"), schema)
    catalogue = schemas.with_features(schemas.CATALOGUE, [])
    job.write("catalogue", read_catalogue(job), catalogue)
    write_interactions(job)
    write_activity(job)
    write_campaign_items(job)
    write_campaign(job)
    record = {"tables": job.tables, "config": config.model_dump(mode="json")}
    for step in STEPS:
        run.finish_step(step, record)
    run.complete({}, STEPS)
    storage.publish(run)
    return Path(run.table_uri(f"campaign_files/{profile}").removeprefix("file://"))


def write_activity(job: Job) -> None:
    """`item_activity` of the items with events; nothing but their numbers counts here."""
    index = job.read("item_index", schemas.ITEM_INDEX)
    numbers = [f"cast(0 as {f.dataType.simpleString()}) as {f.name}" for f in _numbers()]
    rows = index.selectExpr("item_id", "item_index", *numbers, "false as is_new")
    job.write("item_activity", rows, schemas.ITEM_ACTIVITY)


def _numbers() -> list[Any]:
    others = ("item_id", "item_index", "is_new")
    return [field for field in schemas.ITEM_ACTIVITY if field.name not in others]
