"""Decision D2 on two executor processes: who sees what, and what is exchanged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pyspark.sql import SparkSession

from ncf_spark.training.batches import BYTES_PER_POSITIVE
from tests.jobs.conftest import Night, expect
from tests.jobs.processes import submit

pytestmark = pytest.mark.slow

NUM_SHARDS = 5


@pytest.fixture(scope="module")
def epochs(night: Night, tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    """What both workers tell of an epoch: as the night's, with ten times its users, streaming."""
    output = tmp_path_factory.mktemp("epochs") / "workers.json"
    num_users = night.run.recorded_rows("user_index")
    tasks = [{}, {"num_users": 10 * num_users}, {"resident_bytes": 500 * BYTES_PER_POSITIVE}]
    arguments = (night.run.uri, str(NUM_SHARDS), str(output), *map(json.dumps, tasks))
    expect(submit("tests/jobs/two_workers.py", *arguments, conf="local-cluster"), 0)
    epochs: list[list[dict[str, Any]]] = json.loads(output.read_text())
    assert [len(workers) for workers in epochs] == [2, 2, 2]
    return epochs


@pytest.fixture(scope="module")
def workers(epochs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return epochs[0]


@pytest.mark.parametrize(("epoch", "mode"), [(0, "resident"), (2, "streaming")])
def test_each_positive_is_taken_exactly_once(
    spark: SparkSession, night: Night, epochs: list[list[dict[str, Any]]], epoch: int, mode: str
):
    workers = epochs[epoch]
    assert [worker["mode"] for worker in workers] == [mode, mode]
    train = spark.read.parquet(night.run.table_uri("train"))
    positives = sorted((row.user_index, row.item_index) for row in train.collect())
    taken = sorted(tuple(pair) for worker in workers for pair in worker["taken"])
    assert len(positives) > 4000
    assert taken == positives


def test_both_workers_take_steps_on_users_of_their_own(workers: list[dict[str, Any]]):
    first, second = ({user for user, _ in worker["taken"]} for worker in workers)
    assert first
    assert second
    assert {user % NUM_SHARDS % 2 for user in first} == {0}
    assert {user % NUM_SHARDS % 2 for user in second} == {1}
    assert workers[0]["num_steps"] == workers[1]["num_steps"] > 1


def test_both_workers_end_with_the_same_shared_weights(workers: list[dict[str, Any]]):
    assert workers[0]["shared"] == workers[1]["shared"]


def test_each_worker_moves_the_rows_of_its_own_users_only(workers: list[dict[str, Any]]):
    for worker in workers:
        assert set(worker["moved_users"]) == {user for user, _ in worker["taken"]}


def test_only_shared_gradients_and_figures_are_exchanged(
    night: Night, workers: list[dict[str, Any]]
):
    """NeuMF with 8 factors and tower 64-32-16-8: 40 numbers an item, and the dense layers."""
    num_items = night.run.recorded_rows("item_index")
    dense = (64 * 32 + 32) + (32 * 16 + 16) + (16 * 8 + 8) + 8 + 8 + 1
    steps = workers[0]["num_steps"]
    for worker in workers:
        assert worker["bytes_exchanged"] == {
            "shared_gradients": steps * 4 * (40 * num_items + dense),
            "totals": 2 * 8,
        }


def test_ten_times_the_users_are_exchanged_in_the_same_bytes(epochs: list[list[dict[str, Any]]]):
    first, larger, _ = epochs
    assert [w["bytes_exchanged"] for w in larger] == [w["bytes_exchanged"] for w in first]
