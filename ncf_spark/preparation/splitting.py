"""`interactions` → `train` and `holdout`, by the configured split."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.errors import DataError
from ncf_spark.inputs import values
from ncf_spark.inputs.intake import read_provided_holdout
from ncf_spark.pipeline.context import Job
from ncf_spark.preparation import split
from ncf_spark.preparation.indexing import with_indexes
from ncf_spark.schemas.results import Start
from ncf_spark.storage import tables
from ncf_spark.training.warm_start import choose_start, trained_pairs

# Of `train`: some 200,000 positives. Workers that stream them shuffle by row groups, so there must
# be many; a file without this would be one. It does not make the files larger.
_ROW_GROUP_BYTES = 2**20

_REMEDIES = {
    "leave_one_out": "It takes users with at least two items; bring more events.",
    "temporal": "Set split.holdout_days to part of the input's days, or choose another split.",
    "provided": "Its users must have pairs of their own in the input; see split.holdout.",
}


def held_out_ids(job: Job, id_name: str) -> DataFrame:
    """Ids that occur only in a provided test set; none for the other splits."""
    if job.config.split.method != "provided":
        return tables.empty_table(job.spark, schemas.INTERACTIONS).select(id_name)
    provided = read_provided_holdout(job)
    ids = provided.select(id_name)
    if id_name == "item_id":
        ids = ids.union(provided.select(F.explode("negatives")))
    return ids


def check_sizes(job: Job, num_items: int) -> None:
    """Raises DataError when there are too few items to rank or to recommend from.

    Args:
        num_items: those that are present.
    """
    evaluation, k = job.config.evaluation, job.config.scoring.k
    is_long = max(evaluation.ks) >= num_items
    # Negatives need as many items again as the longest list.
    short = [cutoff for cutoff in evaluation.ks if cutoff <= num_items / 2]
    ks = (short or [1]) if is_long else evaluation.ks
    most_negatives = num_items - max(ks)
    needed = list[tuple[str, object, str]]()
    if is_long:
        changes = f"set it to {ks}, and model.selection.k to one of them"
        needed.append(("evaluation.ks", evaluation.ks, changes))
    if evaluation.num_negatives > most_negatives:
        change = f"set it to at most {most_negatives}"
        needed.append(("evaluation.num_negatives", evaluation.num_negatives, change))
    if k > num_items:
        needed.append(("scoring.k", k, f"set it, and campaign.k, to at most {num_items}"))
    if needed:
        lines = [
            f"{name} is {value}, but there are {num_items} items: {change}."
            for name, value, change in needed
        ]
        raise DataError(
            "item_index: too few items. Change these settings, or loosen the filters of section "
            "input:\n" + "\n".join(lines)
        )


def write_split(
    job: Job,
    interactions: DataFrame,
    user_index: DataFrame,
    item_index: DataFrame,
    num_present: int,
) -> Start:
    """Writes `split`, and from it `train` by user shard, `validation` and `holdout`.

    Args:
        num_present: items of tonight's input; negatives are drawn from them alone.

    Returns:
        Which model training starts from: what it was trained on stays in `train`.

    Raises:
        DataError: when one of them is empty.
    """
    num_shards, wanted = job.config.training.num_shards, job.config.evaluation.num_negatives
    start = choose_start(job)
    pairs = _write_pairs(job, interactions, user_index, item_index, start)
    train = split.build_train(pairs, num_shards=num_shards)
    train = job.write(
        "train", train, schemas.TRAIN, partition_by=["shard"], row_group_bytes=_ROW_GROUP_BYTES
    )
    users = job.stage(split.build_user_items(pairs, num_shards=num_shards), "users")
    departed = job.num_rows("item_index") > num_present
    drawn = partial(
        split.build_holdout,
        users,
        num_items=num_present,
        present=item_index.where("is_present") if departed else None,
        num_negatives=wanted,
        seed=job.config.run.seed,
    )
    job.write("validation", drawn(held_out="validation"), schemas.HOLDOUT, partition_by=["shard"])
    if job.config.split.method == "provided" and job.config.split.holdout.columns.negatives:
        provided = with_indexes(read_provided_holdout(job), user_index, item_index)
        given = split.build_provided_holdout(provided, item_index, num_shards=num_shards)
        # Users without a train pair have no vector to rank with: counted, not judged.
        holdout = given.join(train, on="user_index", how="left_semi")
    else:
        holdout = drawn(held_out="holdout")
    short = {"short": F.count_if(F.size("negatives") < wanted)}
    job.write("holdout", holdout, schemas.HOLDOUT, partition_by=["shard"], counts=short)
    _check_split(job)
    if job.counts["holdout"]["short"]:
        name = f"holdout rows with fewer than {wanted} negatives"
        job.note(name, job.counts["holdout"]["short"])
    _note_left_out(job, users)
    return start


def _write_pairs(
    job: Job, interactions: DataFrame, user_index: DataFrame, item_index: DataFrame, start: Start
) -> DataFrame:
    """Writes `split`: each pair by its indexes, with what it serves for."""
    indexed = with_indexes(interactions, user_index, item_index)
    trained = None if start.run is None else trained_pairs(job, start.run)
    indexed = split.with_was_trained(indexed, trained)
    pairs = _with_is_holdout(job, indexed, user_index, item_index)
    if job.config.split.validation:
        pairs = split.with_validation_held_out(pairs, seed=job.config.run.seed)
    else:
        pairs = pairs.withColumn("is_validation", F.lit(False))
    return job.write("split", pairs, schemas.SPLIT)


def _note_left_out(job: Job, users: DataFrame) -> None:
    """Counts the held-out pairs of users who have none in train."""
    if job.config.split.method == "leave_one_out":
        return  # Who has two pairs has one in train.
    row = users.where("num_train = 0").agg(F.coalesce(F.sum(F.size("holdout")), F.lit(0))).first()
    job.note("holdout rows of users without train rows, left out", int(row[0]) if row else 0)
    kept_back = job.num_rows("interactions") - job.num_rows("train")
    job.note("interactions kept from train", kept_back)


def _with_is_holdout(
    job: Job, indexed: DataFrame, user_index: DataFrame, item_index: DataFrame
) -> DataFrame:
    settings = job.config.split
    if settings.method == "leave_one_out":
        return split.with_last_event_held_out(indexed, seed=job.config.run.seed)
    if settings.method == "temporal":
        cutoff_at = job.ends_at - timedelta(days=settings.holdout_days)
        return split.with_recent_held_out(indexed, cutoff_at=cutoff_at)
    _check_provided(job)
    provided = with_indexes(read_provided_holdout(job), user_index, item_index)
    return split.with_provided_held_out(indexed, provided)


def _check_provided(job: Job) -> None:
    provided = read_provided_holdout(job)
    has_none = F.col("negatives").isNull() | (F.size("negatives") == 0)
    asked = {"bare": F.count_if(has_none), **values.count_ids("user"), **values.count_ids("item")}
    [row] = provided.agg(*[count.alias(name) for name, count in asked.items()]).collect()
    for side in ("user", "item"):
        values.note_ids(job, "split.holdout", side, row.asDict(), provided)
    if job.config.split.holdout.columns.negatives and row["bare"]:
        raise DataError(
            f"split.holdout: {row['bare']:,} rows have no negatives, and the first of one item "
            "would be a hit. Give them some, leave them out by split.holdout.where, or have all "
            "negatives drawn by split.holdout.columns.negatives: null."
        )


def _check_split(job: Job) -> None:
    method = job.config.split.method
    for table in ("train", "holdout"):
        if not job.num_rows(table):
            raise DataError(
                f"{table}: split.method {method} leaves it empty "
                f"({job.num_rows('interactions'):,} interactions came in). "
                f"{_REMEDIES[method]}"
            )
