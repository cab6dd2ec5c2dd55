"""What a person sees at the end of a trial beside the log: where to look, and some rows."""

from __future__ import annotations

from ncf_spark import schemas
from ncf_spark.evaluation.metrics import main_cut_off
from ncf_spark.job.context import Job


def print_first_rows(job: Job) -> None:
    """Prints where the tables are, the model beside popularity, and the campaign's first rows.

    Neither addresses nor user ids are shown: this ends in a log.
    """
    published = job.warehouse.published_run()
    is_published = published is not None and published.name == job.run.name
    print(f"\n{'Published' if is_published else 'Complete, not published'}: {job.run.uri}")
    places = ("campaign", "campaign_long", "campaign_files", "user_topk", "item_topk", "metrics")
    for table in (*places, "report/index.html"):
        print(f"  {job.run.table_uri(table)}")
    print("\nThe model and what it is compared with, on the holdout:")
    _print_metrics(job)
    campaign = job.read("campaign", schemas.campaign_schema(job.config.campaign.k))
    slots = [
        schemas.slot_column(name, rank)
        for rank in range(1, min(3, job.config.campaign.k) + 1)
        for name in ("item_id", "title")
    ]
    print("First rows of the campaign table (3 slots of each):")
    campaign.orderBy("user_id").select("country", "arm", *slots).show(5, 32)


def _print_metrics(job: Job) -> None:
    k, line = main_cut_off(job.config.evaluation.ks), "{:<12}{:<6}{:>3}  {:<20}{:>7}{:>8}{:>8}"
    print(line.format("protocol", "metric", "k", "model", "value", "low", "high"))
    rows = job.read_rows("metrics", schemas.METRICS)
    for row in sorted(rows, key=lambda row: (row["protocol"], row["metric"], row["model"])):
        if row["segment"] == "all" and row["metric"] in ("hr", "ndcg") and row["k"] == k:
            names, values = ("protocol", "metric", "k", "model"), ("value", "low", "high")
            figures = ["" if row[n] is None else f"{row[n]:.4f}" for n in values]
            print(line.format(*[row[name] for name in names], *figures))
    print()
