"""Nothing -> events, items and recipients in generate.path, for trials and tests."""

from pyspark.sql import functions as F

from ncf_spark.interactions import generated
from ncf_spark.job import Job, main
from ncf_spark.storage.files import to_uri


def run(job: Job) -> None:
    """Writes Parquet, in parallel, the same rows for the same settings and run date."""
    settings, seed = job.config.generate, job.config.run.seed
    sizes = {"num_items": settings.num_items, "num_categories": settings.num_categories}
    numbers = job.spark.range(0, settings.num_events, 1, settings.partitions)
    events = generated.build_events(
        numbers,
        **sizes,
        num_users=settings.num_users,
        days=settings.days,
        ends_at=job.ends_at,
        seed=seed,
    )
    if settings.messy_share:
        events = events.transform(generated.with_mess, share=settings.messy_share, seed=seed)
    tables = {
        "events": events,
        "items": generated.build_items(job.spark.range(settings.num_items), **sizes, seed=seed),
        "recipients": generated.build_recipients(job.spark.range(settings.num_users), seed=seed),
    }
    for name, rows in tables.items():
        uri = f"{to_uri(settings.path)}/{name}"
        rows.write.mode("overwrite").parquet(uri)
        count = job.spark.read.parquet(uri).agg(F.count(F.lit(1))).first()
        job.note(f"{name} written", {"rows": count[0] if count else 0, "to": uri})


if __name__ == "__main__":
    main(run, "generate_events", __doc__, run="none")
