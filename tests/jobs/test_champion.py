"""The champion of a run: chosen by its metrics, recorded, read by the later steps."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from ncf_spark import schemas
from ncf_spark.config import load_config
from ncf_spark.evaluation import champion, last_night
from ncf_spark.evaluation.champion import Champion
from ncf_spark.night import STEPS
from ncf_spark.pipeline import staleness
from ncf_spark.pipeline.context import Job
from ncf_spark.storage import files
from ncf_spark.storage.arrays import write_vectors
from ncf_spark.storage.warehouse import Warehouse
from tests.conftest import rows

NIGHTS = [date(2026, 11, day) for day in (1, 2, 3)]
FIGURES = {"neumf": (0.2, 0.19, 0.21), "item_item": (0.22, 0.2, 0.24), "als_8": (0.1, 0.0, 0.3)}
CANDIDATES = ["neumf", "item_item", "als_8"]


def job(spark: SparkSession, folder: Path, night: date, candidates: list[str], *more: str) -> Job:
    """A night that is to evaluate, of 10 users."""
    overrides = [
        f"storage.warehouse={folder}",
        "input.path=none",
        "evaluation.baselines=[item_item, als]",
        "evaluation.als.ranks=[8, 16]",
        "gates.of_popularity=null",
        f"model.candidates=[{', '.join(candidates)}]",
        *more,
    ]
    config = load_config("conf/base.yaml", overrides)
    warehouse = Warehouse(config.storage.warehouse)
    made = Job(STEPS, "evaluate", config, spark, night, warehouse, warehouse.open_run(night))
    for name in ("model", "compared/als_8", "compared/als_16"):
        place, vectors = f"{name}/user_vectors", np.ones((10, 1), np.float32)
        part = f"{made.run.table_uri(place)}/part.parquet"
        write_vectors(part, "user_index", np.arange(10), vectors)
        made.record_table(place, 10, schemas.USER_VECTORS)
    return made


def choose(made: Job, figures: dict[str, tuple[float, float, float]] = FIGURES):
    """The choice by these figures, among others that do not count."""
    found = [
        (name, "full", "ndcg", 10, segment, value + shift, low, high)
        for name, (value, low, high) in figures.items()
        for segment, shift in (("all", 0.0), ("users few", 1.0))
    ]
    others = [("als_8", "full", "hr", 10, "all", 1.0, 1.0, 1.0)]
    names = schemas.METRICS.names
    metrics = [dict(zip(names, row, strict=True)) for row in [*found, *others]]
    return champion.write_champion(made, metrics)


def publish(made: Job, **record: object) -> None:
    """Finishes the night with what it wrote and points readers at it."""
    for step in STEPS:
        made.run.finish_step(step, {"tables": made.tables, "notes": made.notes, **record})
    files.write_json(f"{made.run.uri}/manifest.json", {"completed_at": "now"})
    made.warehouse.publish(made.run)


def test_without_candidates_the_own_model_is_published(spark, tmp_path):
    made = job(spark, tmp_path, NIGHTS[0], [])
    choice = choose(made)
    assert (choice.champion, choice.incumbent) == ("neumf", None)
    [row] = rows(made.read("champion", schemas.CHAMPION))
    assert row[:9] == ("neumf", "model", "model", "full", "ndcg", 10, 0.2, 0.19, 0.21)
    assert row[9:] == (False, True, choice.reason)
    assert champion.read_champion(made) == Champion("neumf", "model", "model")
    # A metric that was not computed decides nothing then.
    other = job(spark, tmp_path / "b", NIGHTS[0], [], "evaluation.ks=[5]", "model.selection.k=7")
    assert choose(other).champion == "neumf"
    assert rows(other.read("champion", schemas.CHAMPION))[0][6:9] == (None, None, None)


def test_the_choice_is_recorded_with_the_figures_of_each_candidate(spark, tmp_path):
    made = job(spark, tmp_path, NIGHTS[0], CANDIDATES)
    choice = choose(made)
    found = {row["model"]: row for row in made.read("champion", schemas.CHAMPION).collect()}
    assert set(found) == set(CANDIDATES)
    assert [name for name, row in found.items() if row["is_champion"]] == ["item_item"]
    assert champion.read_champion(made) == Champion("item_item", "item_item", "item_neighbours")
    assert {name: (row["kind"], row["place"]) for name, row in found.items()} == {
        "neumf": ("model", "model"),
        "item_item": ("item_item", "item_neighbours"),
        "als_8": ("dot", "compared/als_8"),
    }
    assert found["als_8"][6:9] == (0.1, 0.0, 0.3)
    assert found["item_item"]["reason"] == choice.reason


def test_the_published_runs_champion_is_the_incumbent(spark, tmp_path):
    first = job(spark, tmp_path, NIGHTS[0], CANDIDATES)
    assert choose(first, {**FIGURES, "neumf": (0.3, 0.2, 0.4)}).champion == "neumf"
    publish(first)
    second = job(spark, tmp_path, NIGHTS[1], CANDIDATES)
    assert choose(second).champion == "neumf"
    row = second.read("champion", schemas.CHAMPION).where("is_incumbent").collect()
    assert [(r["model"], r["is_champion"]) for r in row] == [("neumf", True)]
    publish(second)
    third = job(spark, tmp_path, NIGHTS[2], CANDIDATES)
    assert choose(third, {**FIGURES, "item_item": (0.3, 0.25, 0.4)}).champion == "item_item"


@pytest.mark.parametrize("later", [0, 1])
def test_a_run_of_the_same_date_or_later_is_no_night_before(spark, tmp_path, later):
    first = job(spark, tmp_path, NIGHTS[later], CANDIDATES)
    choose(first)
    publish(first)
    again = job(spark, tmp_path, NIGHTS[0], CANDIDATES)
    assert choose(again).incumbent is None
    assert [row.name for row in last_night.judged_models(again)][-1] != "last_night"


def test_a_run_without_a_choice_published_its_own_model(spark, tmp_path):
    first = job(spark, tmp_path, NIGHTS[0], CANDIDATES)
    publish(first, config={"model": {"kind": "gmf"}})
    second = job(spark, tmp_path, NIGHTS[1], CANDIDATES)
    assert champion.champion_of(second, first.run) == Champion("gmf", "model", "model")
    choice = choose(second)
    assert choice.champion == "item_item"
    assert "gmf, published before, is no candidate" in choice.reason


@pytest.mark.parametrize(
    ("best", "kind", "place", "num_users"),
    [
        ("neumf", "model", "model", 10),
        ("als_8", "dot", "compared/als_8", 10),
        ("item_item", "item_item", "item_neighbours", None),
    ],
)
def test_what_was_published_is_judged_again(spark, tmp_path, best, kind, place, num_users):
    first = job(spark, tmp_path, NIGHTS[0], CANDIDATES)
    choose(first, {**FIGURES, best: (0.9, 0.8, 1.0)})
    publish(first)
    second = job(spark, tmp_path, NIGHTS[1], CANDIDATES)
    found = last_night.judged_models(second)
    assert [row.name for row in found][:-1] == ["neumf", "item_item", "als_8", "als_16"]
    last = found[-1]
    assert last[:3] == ("last_night", kind, first.run.table_uri(place))
    assert last.known_users
    users = last.user_vectors
    assert (None if users is None else users.count()) == num_users
    off = job(spark, tmp_path, NIGHTS[1], CANDIDATES, "evaluation.judge_last_night=false")
    assert [row.name for row in last_night.judged_models(off)] == [row.name for row in found][:-1]


def test_the_champion_is_compared_with_last_night_over_the_users_of_both(spark, tmp_path):
    first = job(spark, tmp_path, NIGHTS[0], CANDIDATES)
    choose(first)
    publish(first)
    second = job(spark, tmp_path, NIGHTS[1], CANDIDATES)
    ranks = spark.createDataFrame(
        [
            ("item_item", "full", 0, 2, 1, None),
            ("item_item", "full", 1, 2, 1, None),
            ("last_night", "full", 0, 2, 3, None),
            ("neumf", "full", 0, 2, 4, None),
        ],
        schemas.RANKS,
    )
    choice = choose(second)
    found = last_night.compare_with_last_night(second, ranks, choice.champion)
    assert (found.run, found.model) == (first.run.name, "item_item")
    sentence = last_night.last_night_sentence(second, choice.champion, found)
    assert sentence.startswith(
        "Over the 1 users that both judged, ndcg@10 under full is 1.0000 for"
    )
    assert "0.5000 for last_night, what 2026-11-01.1 published" in sentence
    [ndcg] = [row for row in found.metrics if row.metric == "ndcg"]
    assert (ndcg.protocol, ndcg.k, ndcg.num_users) == ("full", 10, 1)
    assert (ndcg.champion, ndcg.last_night) == (1.0, 0.5)
    assert last_night.compare_with_last_night(first, ranks, choice.champion) is None


def test_other_candidates_are_chosen_from_without_another_training(spark, tmp_path):
    before = job(spark, tmp_path, NIGHTS[0], []).config.model_dump(mode="json")
    made = job(spark, tmp_path, NIGHTS[0], CANDIDATES, "model.selection.metric=hr")
    record = {"config": before}
    assert staleness.changes(made, "train", record, {}) == []
    assert staleness.changes(made, "evaluate", record, {}) == [
        f"model.candidates was [], is {CANDIDATES}",
        "model.selection.metric was ndcg, is hr",
    ]
    other = job(spark, tmp_path, NIGHTS[0], CANDIDATES, "model.factors=9")
    assert staleness.changes(other, "train", record, {}) == ["model.factors was 8, is 9"]


def test_the_source_is_model_for_what_was_trained_and_else_the_baselines_name():
    assert Champion("mf_64", "model", "compared/mf_64").source == "model"
    assert Champion("als_8", "dot", "compared/als_8").source == "als_8"
    assert Champion("popularity", "popularity", "item_popularity").source == "popularity"


def test_items_are_alike_by_the_champions_vectors_or_else_by_the_own_models():
    assert champion.item_vectors(Champion("als", "dot", "compared/als")) == ("dot", "compared/als")
    mf = Champion("mf", "model", "compared/mf")
    assert champion.item_vectors(mf) == ("model", "compared/mf")
    popularity = Champion("popularity", "popularity", "item_popularity")
    assert champion.item_vectors(popularity) == ("model", "model")


def test_users_have_vectors_where_the_champion_needs_some(spark, tmp_path):
    made = job(spark, tmp_path, NIGHTS[0], [])
    users = spark.createDataFrame([(3, [1]), (12, [2])], "user_index int, seen array<int>")
    vectors = champion.champion_users(made, Champion("als_8", "dot", "compared/als_8"), users)
    assert rows(vectors.select("user_index", "seen", "vector")) == [(3, [1], [1.0])]
    popularity = Champion("popularity", "popularity", "item_popularity")
    assert rows(champion.champion_users(made, popularity, users)) == [(3, [1]), (12, [2])]
