from datetime import date
from pathlib import Path

import numpy as np
import pytest

from ncf_spark import schemas
from ncf_spark.config import load_config
from ncf_spark.evaluation import baselines
from ncf_spark.evaluation.baselines import build_item_neighbours, fit_als
from ncf_spark.evaluation.fitting import write_baselines
from ncf_spark.evaluation.last_night import judged_models
from ncf_spark.pipeline.context import Job
from ncf_spark.storage.warehouse import Warehouse
from tests.conftest import rows

TRAIN = "user_index int, item_index int"
# Users of item 0: 0 1 2 3; 1: 0 1; 2: 2 3; 3: 0; 4: 9, who has no other. Item 5 has none.
PAIRS = [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1), (2, 2), (3, 2), (0, 3), (9, 4)]
ROOT8 = 8**0.5
# (item, rank, neighbour, similarity) with no shrinkage
NEIGHBOURS = [
    (0, 1, 1, 2 / ROOT8),  # 2 common users of 4 and 2; ties with item 2
    (0, 2, 2, 2 / ROOT8),
    (0, 3, 3, 0.5),
    (1, 1, 0, 2 / ROOT8),  # ties with item 3: 1 / √2
    (1, 2, 3, 0.5**0.5),
    (2, 1, 0, 2 / ROOT8),
    (3, 1, 1, 0.5**0.5),
    (3, 2, 0, 0.5),
]


def neighbours(spark, pairs=PAIRS, num_items=6, k=9, shrinkage=0.0) -> list[tuple]:
    found = build_item_neighbours(
        spark.createDataFrame(pairs, TRAIN),
        num_items=num_items,
        neighbours=k,
        shrinkage=shrinkage,
    )
    return rows(schemas.conform(found, schemas.ITEM_NEIGHBOURS, "item_neighbours"))


def close(expected: list[tuple]) -> list[tuple]:
    return [(*row[:3], pytest.approx(row[3], abs=1e-12)) for row in expected]


@pytest.mark.parametrize("order", [1, -1])
def test_neighbours_are_the_items_with_the_most_users_in_common(spark, order):
    assert neighbours(spark, PAIRS[::order]) == close(NEIGHBOURS)


def test_only_the_first_neighbours_are_kept(spark):
    assert neighbours(spark, k=2) == close([row for row in NEIGHBOURS if row[1] <= 2])


def test_shrinkage_counts_few_common_users_less(spark):
    # 2 / (√8 + 2), 1 / (√4 + 2) and 1 / (√2 + 2)
    two, one, few = 2 / (ROOT8 + 2), 0.25, 1 / (2**0.5 + 2)
    assert neighbours(spark, shrinkage=2.0) == close(
        [
            (0, 1, 1, two),
            (0, 2, 2, two),
            (0, 3, 3, one),
            (1, 1, 0, two),
            (1, 2, 3, few),
            (2, 1, 0, two),
            (3, 1, 1, few),
            (3, 2, 0, one),
        ]
    )


@pytest.mark.usefixtures("two_partitions")
@pytest.mark.parametrize(
    ("bytes_", "items"), [(64 * 2**20, 256), (4 * 40 * 3, 256), (1, 256), (2**20, 7)]
)
def test_neighbours_are_the_same_in_blocks_of_any_size(spark, monkeypatch, bytes_, items):
    monkeypatch.setattr(baselines, "COUNT_BYTES", bytes_)
    monkeypatch.setattr(baselines, "BLOCK_ITEMS", items)
    choose = np.random.default_rng(5)
    matrix = choose.random((60, 40)) < choose.random(40) * 0.5
    pairs = [(int(user), int(item)) for user, item in zip(*matrix.nonzero(), strict=True)]
    common = matrix.T.astype(int) @ matrix.astype(int)
    users = np.diag(common)
    expected = []
    for item in range(40):
        similar = {
            other: common[item, other] / (np.sqrt(users[item] * users[other]) + 1.5)
            for other in range(40)
            if other != item and common[item, other]
        }
        best = sorted(similar, key=lambda other, s=similar: (-s[other], other))[:5]
        expected += [(item, rank, i, similar[i]) for rank, i in enumerate(best, start=1)]
    assert neighbours(spark, pairs, 40, 5, 1.5) == close(expected)


# Two groups of users, each with items of its own; user 8 and item 6 have no pair.
GROUPS = [(user, 3 * (user // 4) + i) for user in range(8) for i in range(3) if (user + i) % 4]
SETTINGS = {"rank": 2, "reg_param": 0.05, "alpha": 4.0, "iterations": 6}


@pytest.fixture(scope="module")
def fitted(spark):
    """What two fits with the same seed gave, as (users, items) each."""
    train = spark.createDataFrame(GROUPS, TRAIN)
    users = spark.range(9).selectExpr("cast(id as string) user_id", "cast(id as int) user_index")
    items = spark.range(7).selectExpr("cast(id as string) item_id", "cast(id as int) item_index")
    return [fit_als(train, users, items, **SETTINGS, seed=seed) for seed in (1, 1, 2)]


def test_every_user_and_item_of_the_indexes_has_a_vector(fitted):
    for table, schema, count, without in (
        (fitted[0][0], schemas.USER_VECTORS, 9, 8),
        (fitted[0][1], schemas.ITEM_VECTORS, 7, 6),
    ):
        found = rows(schemas.conform(table, schema, "vectors"))
        assert [index for index, _ in found] == list(range(count))
        assert {len(vector) for _, vector in found} == {2}
        assert [index for index, vector in found if not any(vector)] == [without]


def test_als_finds_the_users_groups(fitted):
    users, items = (np.array([vector for _, vector in rows(table)]) for table in fitted[0])
    scores = users @ items.T
    # Pairs that nobody has are a preference of 0; ratings alone would say nothing about them.
    for own, other in ((scores[:4, :3], scores[:4, 3:6]), (scores[4:8, 3:6], scores[4:8, :3])):
        assert own.min() > 0.8
        assert np.abs(other).max() < 0.1


def test_the_same_seed_gives_the_same_vectors(fitted):
    first, again, other = ([rows(table) for table in tables] for tables in fitted)
    assert first == again
    assert first != other


def job(spark, folder: Path, chosen: str) -> Job:
    """A run that has train and the indexes."""
    overrides = [
        f"storage.warehouse={folder}",
        "input.path=none",
        f"evaluation.baselines={chosen}",
        "gates.of_popularity=null",
        "evaluation.item_item={neighbours: 2, shrinkage: 0.0}",
        "evaluation.als.ranks=[3]",
        "evaluation.als.iterations=1",
    ]
    config = load_config("conf/base.yaml", overrides)
    warehouse = Warehouse(config.storage.warehouse)
    day = date(2026, 11, 23)
    made = Job({}, "", config, spark, day, warehouse, warehouse.open_run(day))
    users = spark.range(10).selectExpr(
        "cast(id as string) user_id", "cast(id as int) user_index", "true is_present"
    )
    items = spark.range(6).selectExpr(
        "cast(id as string) item_id", "cast(id as int) item_index", "id < 5 is_present"
    )
    train = spark.createDataFrame([(*pair, 0) for pair in PAIRS], schemas.TRAIN)
    made.write("train", train, schemas.TRAIN, partition_by=["shard"])
    made.write("user_index", users, schemas.USER_INDEX)
    made.write("item_index", items, schemas.ITEM_INDEX)
    made.write(
        "model/user_vectors",
        users.selectExpr("user_index", "array(cast(1 as float)) as vector"),
        schemas.USER_VECTORS,
    )
    return made


def test_the_baselines_that_are_asked_for_are_written_and_judged(spark, tmp_path):
    made = job(spark, tmp_path, "[item_item, als]")
    before = set(made.tables)
    write_baselines(made)
    assert {
        name: table["num_rows"] for name, table in made.tables.items() if name not in before
    } == {
        "item_popularity": 5,  # the item that departed is not among them
        "item_neighbours": 7,
        "compared/als/user_vectors": 10,
        "compared/als/item_vectors": 6,
    }
    found = rows(made.read("item_neighbours", schemas.ITEM_NEIGHBOURS))
    assert found == close([row for row in NEIGHBOURS if row[1] <= 2])
    uri = made.run.table_uri
    judged = judged_models(made)
    assert [row[:3] for row in judged] == [
        ("neumf", "model", uri("model")),
        ("item_item", "item_item", uri("item_neighbours")),
        ("als", "dot", uri("compared/als")),
    ]
    vectors = [row.user_vectors for row in judged]
    counts = [found.count() if found is not None else None for found in vectors]
    assert counts == [10, None, 10]


def test_item_popularity_is_written_whatever_is_asked_for(spark, tmp_path):
    made = job(spark, tmp_path, "[]")
    before = set(made.tables)
    write_baselines(made)
    assert set(made.tables) - before == {"item_popularity"}
    popularity = rows(made.read("item_popularity", schemas.ITEM_POPULARITY))
    assert popularity == [(0, 4), (1, 2), (2, 2), (3, 1), (4, 1)]  # item 5 departed
    assert [name for name, *_ in judged_models(made)] == ["neumf"]


def test_a_baseline_that_fails_is_left_out(spark, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no convergence\nand more")

    monkeypatch.setattr("ncf_spark.evaluation.fitting.fit_als", fail)
    made = job(spark, tmp_path, "[item_item, als]")
    failed = write_baselines(made)
    assert failed == {"als": "RuntimeError: no convergence"}
    start = {"run": None, "reason": "there is no night before"}
    result = {"start": start, "failed": failed}
    made.run.finish_step("train", {"tables": made.tables, "result": result})
    made.name = "evaluate"
    assert [name for name, *_ in judged_models(made)] == ["neumf", "item_item"]


def test_a_baseline_that_is_a_candidate_ends_the_night_when_it_fails(spark, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no convergence")

    monkeypatch.setattr("ncf_spark.evaluation.fitting.fit_als", fail)
    made = job(spark, tmp_path, "[als]")
    model = made.config.model.model_copy(update={"candidates": ["als"]})
    made.config = made.config.model_copy(update={"model": model})
    with pytest.raises(RuntimeError, match="no convergence"):
        write_baselines(made)


def test_many_iterations_of_als_do_not_overflow_the_stack(spark, tmp_path):
    """With checkpoints: without them the JVM of this process ends here."""
    spark.sparkContext.setCheckpointDir(str(tmp_path))
    users, items = (spark.createDataFrame([(0,), (1,)], f"{s}_index int") for s in ("user", "item"))
    pairs = spark.createDataFrame([(0, 0), (1, 1)], TRAIN)
    how = {"rank": 2, "reg_param": 0.1, "alpha": 1.0, "seed": 1}
    found, _ = fit_als(pairs, users, items, iterations=30, **how)
    assert found.count() == 2
