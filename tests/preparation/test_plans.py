"""What no transform may do to a table that grows: sort it in one task, or send it to Python."""

import inspect
import re
from datetime import date, datetime, timezone

import pytest
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.config.tables import CatalogueColumns
from ncf_spark.evaluation import popularity
from ncf_spark.inputs import catalogue, events
from ncf_spark.preparation import activity, generated, indexing, interactions, split

MODULES = (activity, catalogue, events, generated, indexing, interactions, popularity, split)
GROUP = "plans of all transforms"
MIDNIGHT = datetime(2026, 11, 24, tzinfo=timezone.utc)


def faults(table: DataFrame) -> list[str]:
    """Lines of the optimised plan with a window that has no partition, or with Python in them."""
    plan = table._jdf.queryExecution().optimizedPlan().toString()
    found = []
    for line in (line.lstrip(" :+-") for line in plan.splitlines()):
        # Window [functions], [partition], [order]: without a partition the order comes first.
        parts = re.findall(r"\], \[([^\]]*)\]", line)
        unpartitioned = not parts or re.search(r" (ASC|DESC) NULLS ", parts[0])
        if re.match(r"Window \[", line) and unpartitioned:
            found.append(line)
        if re.search(r"Python|pythonUDF|MapIn|FlatMapGroups", line):
            found.append(line)
    return found


def generated_plans(spark) -> dict[str, DataFrame]:
    made = generated.build_events(
        spark.range(9), num_users=3, num_items=3, num_categories=1, days=9, ends_at=MIDNIGHT, seed=1
    )
    return {
        "generated.build_events": made,
        "generated.with_mess": generated.with_mess(made, share=0.1, seed=1),
        "generated.build_items": generated.build_items(
            spark.range(9), num_items=9, num_categories=1, seed=1
        ),
        "generated.build_recipients": generated.build_recipients(spark.range(9), seed=1),
    }


@pytest.fixture(scope="module")
def plans(spark) -> dict[str, DataFrame]:
    """Each public transform of the preparation, applied to empty tables as they are stored."""
    spark.sparkContext.setJobGroup(GROUP, "plans")

    def empty(schema):
        return spark.createDataFrame(spark.sparkContext.emptyRDD(), schema)

    raw = empty("user string, item string, ts string, kind string, value string")
    names = {"user": "user", "item": "item", "time": "ts", "type": "kind", "value": "value"}
    built = events.build_events(raw, names, "timestamp", {"buy": 1.0}, 4.0, None, None, MIDNIGHT)
    history = interactions.build_history(built, drop_duplicates=True, bought_types=["buy"])
    kept = interactions.build_interactions(history)
    users, items = empty(schemas.USER_INDEX), empty(schemas.ITEM_INDEX)
    appended = indexing.append_index(
        kept.select("user_id"), users, "user_id", "user_index", num_known=0
    )
    numbered = indexing.with_indexes(kept, users, items)
    indexed = split.with_was_trained(numbered, numbered)
    held_out = split.with_last_event_held_out(indexed, seed=1)
    validated = split.with_validation_held_out(held_out, seed=1)
    train = split.build_train(validated, num_shards=4)
    user_items = split.build_user_items(validated, num_shards=4)
    provided = empty("user_index int, item_index int, negatives array<string>")
    marked = indexed.withColumn("is_train", F.lit(True))
    counts = activity.build_item_counts(marked, MIDNIGHT, 30.0)
    scored = activity.with_activity(counts, {"num_users": 1.0})
    new = activity.with_is_new(scored, date(2026, 11, 23), 14)
    both = new.withColumn("activity_by_counts", F.col("activity"))
    columns = dict.fromkeys(CatalogueColumns.model_fields)
    found = {
        "events.build_events": built,
        "interactions.build_history": history,
        "interactions.build_interactions": kept,
        "interactions.build_rare_ids": interactions.build_rare_ids(kept, "user_id", at_least=2),
        "interactions.filter_out_ids": interactions.filter_out_ids(kept, users.select("user_id")),
        "indexing.append_index": appended,
        "indexing.with_index": indexing.with_index(kept, users, "user_id"),
        "indexing.with_indexes": numbered,
        "split.with_was_trained": indexed,
        "split.with_last_event_held_out": held_out,
        "split.with_validation_held_out": validated,
        "split.with_recent_held_out": split.with_recent_held_out(indexed, cutoff_at=MIDNIGHT),
        "split.with_provided_held_out": split.with_provided_held_out(indexed, train),
        "split.build_train": train,
        "split.build_user_items": user_items,
        "split.build_holdout": split.build_holdout(
            user_items, held_out="holdout", num_items=9, num_negatives=2, seed=1
        ),
        "split.build_provided_holdout": split.build_provided_holdout(provided, items, num_shards=4),
        "activity.build_item_counts": counts,
        "activity.with_activity": scored,
        "activity.with_is_new": new,
        "activity.with_distributions": activity.with_distributions(both),
        "catalogue.build_catalogue": catalogue.build_catalogue(
            raw, {**columns, "item": "item"}, [], ends_at=MIDNIGHT, time_format="timestamp"
        ),
        "popularity.build_item_popularity": popularity.build_item_popularity(train, items),
        **generated_plans(spark),
    }
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
    return found


def test_no_transform_has_a_window_without_partition_or_python_in_its_plan(plans):
    assert {name: faults(plan) for name, plan in plans.items() if faults(plan)} == {}


def test_building_a_plan_runs_no_query(spark, plans):
    """A transform that collects or counts would have started a job, of the group by then."""
    assert list(spark.sparkContext.statusTracker().getJobIdsForGroup(GROUP)) == []
    spark.sparkContext.setJobGroup(GROUP, "the check finds what it looks for")
    spark.range(1).collect()
    assert len(spark.sparkContext.statusTracker().getJobIdsForGroup(GROUP)) == 1
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)


def test_every_transform_is_among_the_plans(plans):
    public = {
        f"{module.__name__.rsplit('.', 1)[-1]}.{name}"
        for module in MODULES
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and inspect.signature(function).return_annotation == DataFrame.__name__
        and not name.startswith("_")
    }
    assert public == set(plans)


FAULTY = {
    "an order and no partition": lambda: F.row_number().over(Window.orderBy("n")),
    "neither": lambda: F.count("n").over(Window.partitionBy()),
    "a UDF": lambda: F.udf(lambda n: n, "int")("n"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_the_check_finds_what_it_looks_for(spark, fault):
    numbers = spark.range(3).select(F.col("id").alias("n"))
    assert len(faults(numbers.select("n", FAULTY[fault]()))) > 0


def test_the_check_lets_windows_with_a_partition_pass(spark):
    numbers = spark.range(3).select(F.col("id").alias("n"))
    assert faults(numbers.select(F.count("n").over(Window.partitionBy("n")))) == []
    assert faults(numbers.select(F.row_number().over(Window.partitionBy("n").orderBy("n")))) == []
