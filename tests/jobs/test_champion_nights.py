"""Two nights with candidates: what is published is the champion, of whichever kind."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from ncf_spark import schemas
from ncf_spark.storage import files
from ncf_spark.storage.runs import Run
from ncf_spark.storage.warehouse import Warehouse
from tests.jobs.conftest import NO_REPLANNING, expect, small_config, submit, write_config
from tests.jobs.test_night import table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """A night that item_item wins, as the model hardly learns, and one with ALS alone."""
    folder = tmp_path_factory.mktemp("champion")
    changes = {
        "training": {"epochs": 1, "num_shards": 5, "learning_rate": 1e-6},
        "model": {"candidates": ["neumf", "item_item"]},
        # ALS alone is behind what item_item was the night before, and is to be published here.
        "gates": {"of_popularity": None, "of_last_night": None},
        "evaluation": {
            "baselines": ["popularity", "item_item", "als"],
            "als": {"ranks": [4], "iterations": 2},
            "bootstrap_samples": 50,
        },
    }
    config = write_config(folder / "conf", small_config(folder, **changes))
    arguments = ("--config", config, "--run-date")
    expect(submit("jobs/generate_events.py", *arguments, "2026-11-02", options=NO_REPLANNING), 0)
    run = ("jobs/nightly.py", *arguments)
    expect(submit(*run, "2026-11-01", options=NO_REPLANNING), 0)
    als_alone = ("--set", "model.candidates=[als]")
    expect(submit(*run, "2026-11-02", *als_alone, options=NO_REPLANNING), 0)
    first, second = (
        Run(f"{Warehouse(str(folder / 'ware house')).uri}/runs/2026-11-0{n}.1") for n in (1, 2)
    )
    return first, second


def chosen(spark: SparkSession, run: Run) -> tuple[str, str]:
    [row] = table(spark, run, "champion").where("is_champion").collect()
    return row["model"], row["reason"]


def check_lists(spark: SparkSession, run: Run, source: str) -> None:
    """Whether the lists are the champion's, ranked without gaps and unseen."""
    topk = table(spark, run, "user_topk")
    assert {row[0] for row in topk.select("source").distinct().collect()} == {source}
    assert topk.select("user_index").distinct().count() > 250
    pairs = table(spark, run, "split").select("user_index", "item_index")
    assert topk.join(pairs, on=["user_index", "item_index"]).count() == 0
    by_user = topk.groupBy("user_index").agg({"rank": "max", "item_index": "count"})
    assert by_user.where("`max(rank)` != `count(item_index)`").count() == 0
    campaign = table(spark, run, "campaign")
    assert {row[0] for row in campaign.select("source_1").distinct().collect()} == {source}


def test_the_first_night_publishes_the_best(spark: SparkSession, nights: tuple[Run, Run]):
    run, _ = nights
    name, reason = chosen(spark, run)
    assert name == "item_item"
    assert "nothing was published before" in reason
    check_lists(spark, run, "item_item")
    page = files.read_bytes(f"{run.table_uri('report')}/index.html").decode()
    assert "Published is <b>item_item</b>" in page
    assert "Candidates for publishing" in page
    note = run.step_record("evaluate")["notes"]["champion"]
    assert note["candidates"]["item_item"]["low"] > note["candidates"]["neumf"]["high"]


def test_the_next_night_judges_what_was_published(spark: SparkSession, nights: tuple[Run, Run]):
    first, run = nights
    name, reason = chosen(spark, run)
    assert name == "als"
    assert "item_item, published before, is no candidate" in reason
    check_lists(spark, run, "als")
    metrics = spark.createDataFrame(files.read_json(f"{run.uri}/metrics.json"), schemas.METRICS)
    of_it = metrics.where("model = 'last_night' and metric = 'ndcg' and k = 10")
    assert {row["protocol"] for row in of_it.where("segment = 'all'").collect()} == {
        "full",
        "sampled_99",
    }
    notes = run.step_record("evaluate")["notes"]
    assert notes["last night's model"] == {"run": first.name, "model": "item_item"}
    beside = notes["ndcg@10 under full, beside last night's model"]
    assert beside["last_night"] > 0.05
    # Item item of last night, on nearly the same events, is nearly that of tonight.
    tonight = metrics.where("model = 'item_item' and protocol = 'full' and metric = 'ndcg'")
    [row] = tonight.where("k = 10 and segment = 'all'").collect()
    assert abs(row["value"] - beside["last_night"]) < 0.1
    page = files.read_bytes(f"{run.table_uri('report')}/index.html").decode()
    assert "what 2026-11-01.1 published" in page


def test_similar_items_are_alike_by_the_vectors_of_als(spark: SparkSession, nights):
    _, run = nights
    similar = (
        table(spark, run, "item_topk")
        .where("rank = 1 and method = 'embedding'")
        .limit(20)
        .collect()
    )
    vectors = {
        row["item_index"]: row["vector"]
        for row in table(spark, run, "compared/als/item_vectors").collect()
    }
    for row in similar:
        a, b = vectors[row["item_index"]], vectors[row["similar_item_index"]]
        norms = (sum(x * x for x in a) * sum(x * x for x in b)) ** 0.5
        cosine = sum(x * y for x, y in zip(a, b, strict=True)) / norms if norms else 0.0
        assert row["score"] == pytest.approx(cosine, abs=1e-4)
