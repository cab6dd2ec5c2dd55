"""Tables of what is learnt, judged and scored."""

from __future__ import annotations

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructType,
)

from ncf_spark.schemas.columns import ITEM_INDEX_COLUMN, RANK, USER_INDEX_COLUMN, VECTOR, column

# Grain: user_index; part of the model.
USER_VECTORS = StructType([USER_INDEX_COLUMN, VECTOR])

# Grain: item_index; part of the model.
ITEM_VECTORS = StructType([ITEM_INDEX_COLUMN, VECTOR])

# Grain: item_index, the items that are present; the popularity baseline, counted on train alone.
ITEM_POPULARITY = StructType(
    [ITEM_INDEX_COLUMN, column("num_users", LongType(), "different users in train, 0 if none")]
)

# Grain: (item_index, rank), rank from 1: the neighbours of each item in the baseline item_item.
ITEM_NEIGHBOURS = StructType(
    [
        ITEM_INDEX_COLUMN,
        RANK,
        column("neighbour_index", IntegerType(), "item_index of the neighbour"),
        column("similarity", DoubleType(), "cosine of the items' train users, shrunk"),
    ]
)

# Grain: (model, protocol, user_index, item_index), one row for each holdout pair.
RANKS = StructType(
    [
        column("model", StringType(), "model.kind, a baseline, or a name of evaluation.compared"),
        column("protocol", StringType(), "sampled_99 or full"),
        USER_INDEX_COLUMN,
        ITEM_INDEX_COLUMN,
        column("rank", IntegerType(), "of the holdout item, from 1, the last among ties"),
        column(
            "top_items",
            ArrayType(IntegerType(), False),
            "the best max(evaluation.ks) items that the user does not know, best first, on one "
            "full row of each model and user; null: on the others",
            nullable=True,
        ),
    ]
)

# Grain: (model, protocol, metric, k, segment), one row a figure.
METRICS = StructType(
    [
        column("model", StringType(), "model.kind, a baseline, or a name of evaluation.compared"),
        column("protocol", StringType(), "sampled_99 or full"),
        column(
            "metric",
            StringType(),
            "hr, ndcg, recall, mrr, map; under full also coverage, popularity_percentile, gini",
        ),
        column("k", IntegerType(), "cut-off"),
        column("segment", StringType(), "all; users few, some, many; category=<name>"),
        column("value", DoubleType(), "0 to 1"),
        column("low", DoubleType(), "of the 95 % interval; null: not computed", nullable=True),
        column("high", DoubleType(), "of the 95 % interval; null: not computed", nullable=True),
    ]
)

# Grain: model, one row a candidate; the night's own model alone where none are configured.
CHAMPION = StructType(
    [
        column("model", StringType(), "its name in metrics"),
        column("kind", StringType(), "of scorer: model, dot, popularity or item_item"),
        column("place", StringType(), "in the run, of the model or of the baseline's table"),
        column("protocol", StringType(), "model.selection.protocol"),
        column("metric", StringType(), "model.selection.metric"),
        column("k", IntegerType(), "model.selection.k"),
        column("value", DoubleType(), "of the metric; null: not computed", nullable=True),
        column("low", DoubleType(), "of the 95 % interval; null: not computed", nullable=True),
        column("high", DoubleType(), "of the 95 % interval; null: not computed", nullable=True),
        column("is_incumbent", BooleanType(), "whether a model of this name was published before"),
        column("is_champion", BooleanType(), "true on one row: what is published"),
        column("reason", StringType(), "of the choice, a sentence"),
    ]
)

# Grain: (user_index, rank).
USER_TOPK = StructType(
    [
        USER_INDEX_COLUMN,
        RANK,
        ITEM_INDEX_COLUMN,
        column("score", FloatType(), "higher is better, comparable within a user"),
        column("source", StringType(), "what filled the slot: model, or a baseline's name"),
    ]
)

# Grain: (item_index, method, rank).
ITEM_TOPK = StructType(
    [
        ITEM_INDEX_COLUMN,
        column("method", StringType(), "embedding: by item vectors; co_purchase: by common buyers"),
        RANK,
        column("similar_item_index", IntegerType(), "the neighbour"),
        column("score", FloatType(), "cosine of the vectors, or of the buyers, shrunk; -1 to 1"),
        column("support", LongType(), "users who bought both; null: by embedding", nullable=True),
    ]
)
