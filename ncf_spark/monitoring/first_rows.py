"""What a person sees at the end of a trial beside the log: where to look, and some rows."""

from __future__ import annotations

from pyspark.sql import SparkSession

from ncf_spark import schemas
from ncf_spark.schemas.results import Evaluation, read_result
from ncf_spark.storage import tables
from ncf_spark.storage.runs import Run

_TABLES = ("campaign", "campaign_long", "campaign_files", "user_topk", "item_topk", "metrics")


def print_first_rows(spark: SparkSession, run: Run, *, is_published: bool, k: int) -> None:
    """Prints where the tables are, the model beside popularity, and the campaign's first rows.

    Neither addresses nor user ids are shown: this ends in a log.

    Args:
        run: a complete one.
        k: campaign.k.
    """
    print(f"\n{'Published' if is_published else 'Complete, not published'}: {run.uri}")
    for table in (*_TABLES, "report/index.html"):
        print(f"  {run.table_uri(table)}")
    print("\nThe model and what it is compared with, on the holdout:")
    _print_metrics(read_result(run.step_record("evaluate"), Evaluation))
    uri = run.finished_table_uri("campaign")
    campaign = tables.read_table(spark, uri, schemas.campaign_schema(k), "campaign")
    slots = [
        schemas.slot_column(name, rank)
        for rank in range(1, min(3, k) + 1)
        for name in ("item_id", "title")
    ]
    print("First rows of the campaign table (3 slots of each):")
    campaign.orderBy("user_id").select("country", "arm", *slots).show(5, 32)


def _print_metrics(judged: Evaluation) -> None:
    line = "{:<12}{:<6}{:>3}  {:<20}{:>7}{:>8}{:>8}"
    print(line.format("protocol", "metric", "k", "model", "value", "low", "high"))
    for row in sorted(judged.metrics, key=lambda row: (row.protocol, row.metric, row.model)):
        if row.metric in ("hr", "ndcg"):
            values = (row.value, row.low, row.high)
            figures = ["" if value is None else f"{value:.4f}" for value in values]
            print(line.format(row.protocol, row.metric, row.k, row.model, *figures))
    print()
