"""Interactions and side features -> item_activity: how active each item is, how often drawn."""

from ncf_spark import schemas
from ncf_spark.interactions import activity
from ncf_spark.job import Job, main

BY_COUNTS = {"num_users": 1.0, "recent_events": 1.0}


def run(job: Job) -> None:
    """Scores by the configured side features, or by counts where there are none."""
    settings, sampling = job.config.activity, job.config.sampling
    schema = schemas.with_features(schemas.CATALOGUE, list(settings.features))
    features = job.read("catalogue", schema).select("item_id", *settings.features)
    items = (
        job.read("interactions", schemas.INTERACTIONS)
        .transform(
            activity.build_item_counts, ends_at=job.ends_at, half_life_days=settings.half_life_days
        )
        .join(job.read("item_index", schemas.ITEM_INDEX), on="item_id", how="inner")
        .join(features, on="item_id", how="left")
        .fillna(0.0, subset=list(settings.features))
        .transform(activity.with_activity, settings.features or BY_COUNTS)
        .transform(
            activity.with_is_new, run_date=job.run_date, new_item_days=settings.new_item_days
        )
        .transform(
            activity.with_negative_probability,
            low_activity=sampling.low_activity,
            uniform=sampling.uniform,
            popularity=sampling.popularity,
        )
    )
    table = schemas.with_features(schemas.ITEM_ACTIVITY, list(settings.features))
    job.write("item_activity", items, table)


if __name__ == "__main__":
    main(run, "score_item_activity", __doc__)
