"""Interactions and side features -> item_activity: how active each item is, how often drawn."""

from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.interactions import activity
from ncf_spark.job import Job, main

BY_COUNTS = {"num_users": 1.0, "recent_events": 1.0}


def run(job: Job) -> None:
    """Scores by the configured side features, or by counts where there are none."""
    settings, given = job.config.activity, list(job.config.activity.features)
    catalogue = job.read("catalogue", schemas.with_features(schemas.CATALOGUE, given))
    # What stands in a provided test set alone is no interaction.
    pairs = job.read("split", schemas.SPLIT).where("num_events is not null")
    counts = pairs.withColumn("is_train", F.expr("not is_holdout and not is_validation")).transform(
        activity.build_item_counts, job.ends_at, settings.half_life_days
    )
    items = (
        # What follows looks at all items several times, and need not count them every time.
        job.stage(counts, "counts")
        .join(job.read("item_index", schemas.ITEM_INDEX), on="item_index", how="inner")
        .join(catalogue.select("item_id", *given), on="item_id", how="left")
        .fillna(0.0, subset=given)
        .transform(activity.with_activity, settings.features or BY_COUNTS)
        .transform(activity.with_activity, BY_COUNTS, into="activity_by_counts")
        .transform(activity.with_is_new, job.run_date, settings.new_item_days)
        .transform(activity.with_distributions)
    )
    job.write("item_activity", items, schemas.with_features(schemas.ITEM_ACTIVITY, given))


if __name__ == "__main__":
    main(run, "score_item_activity", __doc__)
