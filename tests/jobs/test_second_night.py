"""The night after: who arrived, who departed, and a model that goes on from the one before."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from ncf_spark.storage import files
from ncf_spark.storage.runs import Run
from ncf_spark.storage.warehouse import Warehouse
from tests.jobs.conftest import (
    NO_REPLANNING,
    RUN_DATE,
    Night,
    expect,
    small_config,
    submit,
    write_config,
)

pytestmark = pytest.mark.slow

DEPARTED_USER, DEPARTED_ITEM = "u00000007", "i00000011"
ARRIVED_USER, ARRIVED_ITEM = "a new user", "a new item"


@pytest.fixture(scope="module")
def nights(night: Night, tmp_path_factory) -> tuple[Run, Run]:
    """The first night's run and the second's, in a copy of the first one's warehouse.

    The second has other numbers of workers and shards, a user and an item more, and a user and an
    item less.
    """
    folder = tmp_path_factory.mktemp("second night")
    for part in ("ware house", "input"):
        shutil.copytree(night.folder / part, folder / part)
    first = Warehouse(str(folder / "ware house")).published_run()
    assert first is not None
    items = pd.read_parquet(folder / "input" / "items").item_id[20:28].tolist()
    pairs = [(ARRIVED_USER, item) for item in [*items, ARRIVED_ITEM]]
    pairs += [(f"u0000000{n}", ARRIVED_ITEM) for n in range(5)]
    events = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    events = events.assign(event_at="2026-11-02T08:00:00Z", event_type="purchase")
    events.to_parquet(folder / "input" / "events" / "more.parquet", index=False)
    content = small_config(folder)
    content["input"] |= {"where": f"user_id <> '{DEPARTED_USER}' and item_id <> '{DEPARTED_ITEM}'"}
    content["training"] |= {"num_workers": 1, "num_shards": 4, "epochs": 2, "warm_epochs": 1}
    content["evaluation"] = {"baselines": ["popularity"], "bootstrap_samples": 0}
    config = write_config(folder / "conf", content)
    result = submit(
        "jobs/nightly.py", "--config", config, "--run-date", "2026-11-02", options=NO_REPLANNING
    )
    expect(result, 0)
    second = Warehouse(str(folder / "ware house")).published_run()
    assert second is not None
    assert (first.name, second.name) == (f"{RUN_DATE}.1", "2026-11-02.1")
    return first, second


def table(spark: SparkSession, run: Run, name: str) -> DataFrame:
    return spark.read.parquet(run.finished_table_uri(name))


def numbers(spark: SparkSession, run: Run, side: str) -> dict[str, int]:
    rows = table(spark, run, f"{side}_index").collect()
    return {row[f"{side}_id"]: row[f"{side}_index"] for row in rows}


def test_ids_keep_their_numbers_and_who_departed_is_marked(spark, nights):
    gone = {"user": DEPARTED_USER, "item": DEPARTED_ITEM}
    arrived = {"user": ARRIVED_USER, "item": ARRIVED_ITEM}
    for side in ("user", "item"):
        before, after = (numbers(spark, run, side) for run in nights)
        assert after == {**before, arrived[side]: len(before)}
        absent = table(spark, nights[1], f"{side}_index").where("not is_present").collect()
        assert [row[f"{side}_id"] for row in absent] == [gone[side]]
        notes = nights[1].step_record("build_interactions")["notes"]
        assert notes[f"{side}s"] == {"present": len(before), "departed": 1, "new": 1}


def test_training_began_with_the_first_nights_model(spark, nights):
    record = nights[1].step_record("train")["notes"]["start"]
    assert (record["started_from"], record["last_full_training"]) == (nights[0].name, RUN_DATE)
    manifest = files.read_json(f"{nights[1].table_uri('model')}/manifest.json")
    assert [line["epoch"] for line in manifest["history"]] == [1]
    assert manifest["task"]["start"]["run"] == nights[0].name
    # The first epoch is where the second of the night before ended, not where its first was.
    losses = [line["loss"] for line in files.read_json(f"{nights[0].uri}/model/history.json")]
    assert manifest["history"][0]["loss"] < losses[0]


def test_nobody_is_held_out_whom_the_first_model_was_trained_on(spark, nights):
    pair = ["user_index", "item_index"]
    known = table(spark, nights[0], "train").select(*pair)
    assert known.count() > 1000
    for name in ("holdout", "validation"):
        held_out = table(spark, nights[1], name)
        assert held_out.count() > 100
        assert held_out.join(known, on=pair).count() == 0


def test_who_departed_is_neither_shown_nor_drawn_and_keeps_the_vector(spark, nights):
    user = numbers(spark, nights[1], "user")[DEPARTED_USER]
    item = numbers(spark, nights[1], "item")[DEPARTED_ITEM]
    for name, condition in {
        "user_topk": f"user_index = {user} or item_index = {item}",
        "item_topk": f"similar_item_index = {item} or item_index = {item}",
        "ranks": f"array_contains(top_items, {item})",
        "holdout": f"array_contains(negatives, {item})",
        "validation": f"array_contains(negatives, {item})",
        "item_activity": f"item_index = {item}",
        "item_popularity": f"item_index = {item}",
        "campaign_long": f"item_id = '{DEPARTED_ITEM}' or "
        f"(user_id = '{DEPARTED_USER}' and source <> 'bestseller')",
    }.items():
        rows = table(spark, nights[1], name)
        assert rows.count() > 100
        assert rows.where(condition).count() == 0, name
    vectors = [
        table(spark, run, "model/user_vectors").where(f"user_index = {user}").first().vector
        for run in nights
    ]
    assert vectors[0] == vectors[1]


def test_who_arrived_gets_recommendations_and_the_new_item_may_be_recommended(spark, nights):
    user = numbers(spark, nights[1], "user")[ARRIVED_USER]
    assert table(spark, nights[1], "user_topk").where(f"user_index = {user}").count() == 20
    names = {row.item_id for row in table(spark, nights[1], "item_activity").collect()}
    assert ARRIVED_ITEM in names
