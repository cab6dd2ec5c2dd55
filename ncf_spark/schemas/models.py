"""Tables of models, metrics and scores."""

from __future__ import annotations

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
)

from ncf_spark.schemas.columns import (
    ITEM_INDEX_COLUMN,
    RANK,
    USER_INDEX_COLUMN,
    VECTOR,
    column,
    table,
)

USER_VECTORS = table(
    "model/user_vectors",
    "A user with a vector.",
    ("user_index",),
    [USER_INDEX_COLUMN, VECTOR],
)

ITEM_VECTORS = table(
    "model/item_vectors",
    "An item with a vector.",
    ("item_index",),
    [ITEM_INDEX_COLUMN, VECTOR],
)

ITEM_POPULARITY = table(
    "item_popularity",
    "An item of tonight: the baseline `popularity`, counted on `train` alone.",
    ("item_index",),
    [ITEM_INDEX_COLUMN, column("num_users", LongType(), "different users in train, 0 if none")],
)

ITEM_NEIGHBOURS = table(
    "item_neighbours",
    "A neighbour of an item: the baseline `item_item`.",
    ("item_index", "rank"),
    [
        ITEM_INDEX_COLUMN,
        RANK,
        column("neighbour_index", IntegerType(), "item_index of the neighbour"),
        column("similarity", DoubleType(), "cosine of the items' train users, shrunk"),
    ],
)

RANKS = table(
    "ranks",
    "A holdout pair, ranked by a model.",
    ("model", "protocol", "user_index", "item_index"),
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
    ],
)

METRICS = table(
    "metrics",
    "A figure of a model. The file `metrics.json` beside the tables has the same rows.",
    ("model", "protocol", "metric", "k", "segment"),
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
    ],
)

CHAMPION = table(
    "champion",
    "A candidate for publishing; without `model.candidates` only the night's own model.",
    ("model",),
    [
        column("model", StringType(), "its name in metrics"),
        column("kind", StringType(), "how it is scored: model, dot, popularity or item_item"),
        column("place", StringType(), "folder in the run, of the model or of the baseline's table"),
        column("protocol", StringType(), "model.selection.protocol"),
        column("metric", StringType(), "model.selection.metric"),
        column("k", IntegerType(), "model.selection.k"),
        column("value", DoubleType(), "of the metric; null: not computed", nullable=True),
        column("low", DoubleType(), "of the 95 % interval; null: not computed", nullable=True),
        column("high", DoubleType(), "of the 95 % interval; null: not computed", nullable=True),
        column("is_incumbent", BooleanType(), "whether a model of this name was published before"),
        column("is_champion", BooleanType(), "true on one row: what is published"),
        column("reason", StringType(), "of the choice, as a sentence"),
    ],
)

USER_TOPK = table(
    "user_topk",
    "A recommendation for a user.",
    ("user_index", "rank"),
    [
        USER_INDEX_COLUMN,
        RANK,
        ITEM_INDEX_COLUMN,
        column("score", FloatType(), "higher is better, comparable within a user"),
        column("source", StringType(), "model, or the name of a baseline"),
    ],
)

ITEM_TOPK = table(
    "item_topk",
    "A similar item of an item, by item vectors and by common buyers.",
    ("item_index", "method", "rank"),
    [
        ITEM_INDEX_COLUMN,
        column("method", StringType(), "embedding: by item vectors; co_purchase: by common buyers"),
        RANK,
        column("similar_item_index", IntegerType(), "the neighbour"),
        column("score", FloatType(), "cosine of the vectors, or of the buyers, shrunk; -1 to 1"),
        column("support", LongType(), "users who bought both; null: by embedding", nullable=True),
    ],
)
