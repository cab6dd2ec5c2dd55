import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ncf_spark.model.recommender import Architecture, Recommender, initialise_users
from ncf_spark.model.store import load_model
from ncf_spark.storage import arrays
from ncf_spark.training.communicator import Alone, Communicator
from ncf_spark.training.loop import LoopSettings
from ncf_spark.training.preflight import worker_bytes
from ncf_spark.training.shards import UserShards
from ncf_spark.training.worker import Holdout, TrainingTask, save_manifest, train_worker
from tests.training.simulated import run_workers

CPU = torch.device("cpu")
NUM_USERS, NUM_ITEMS, NUM_SHARDS = 10, 8, 4
# Every user has two items, and user 9 none; item 7 is nobody's.
PAIRS = [(user, (user + step) % 7) for user in range(9) for step in (0, 3)]
# Held-out item and rivals of users 0, 1 and 4; shards 2 and 3 have no rows.
HELD_OUT = {0: (1, [2, 4, 5]), 1: (2, [3, 5]), 4: (6, [2])}


def write_shards(folder: Path, columns: dict[str, list]) -> str:
    """A table in shard=… folders; `columns` include user_index."""
    table = pa.table(
        {
            n: pa.array(v, pa.list_(pa.int32()) if n == "negatives" else pa.int32())
            for n, v in columns.items()
        }
    )
    shards = np.array(columns["user_index"]) % NUM_SHARDS
    for shard in sorted(set(shards.tolist())):
        place = folder / f"shard={shard}"
        place.mkdir(parents=True)
        pq.write_table(table.filter(pa.array(shards == shard)), place / "part-00000.parquet")
    return f"file://{folder}"


def write_holdout(folder: Path, held_out: dict[int, tuple[int, list[int]]]) -> str:
    items, negatives = zip(*held_out.values(), strict=True)
    columns = {"user_index": [*held_out], "item_index": [*items], "negatives": [*negatives]}
    return write_shards(folder, columns)


@pytest.fixture
def task(tmp_path) -> TrainingTask:
    users, items = (list(column) for column in zip(*PAIRS, strict=True))
    activity = pa.table(
        {"item_index": pa.array(range(7), "int32"), "negative_probability": [1 / 7] * 7}
    )
    (tmp_path / "activity").mkdir()
    pq.write_table(activity, tmp_path / "activity" / "part-00000.parquet")
    return TrainingTask(
        train_uri=write_shards(tmp_path / "train", {"user_index": users, "item_index": items}),
        holdout_uri=write_holdout(tmp_path / "holdout", HELD_OUT),
        activity_uri=f"file://{tmp_path}/activity",
        model_uri=f"file://{tmp_path}/model",
        num_users=NUM_USERS,
        num_shards=NUM_SHARDS,
        architecture=Architecture("neumf", 2, (4, 4, 2), 0.0, "normal", NUM_ITEMS),
        loop=LoopSettings(3, 4, 2, 0.01, 0.0, 5),
        max_retries=10,
        ks=(1, 2),
        evaluate_every=2,
    )


def on_workers(task: TrainingTask, num_workers: int) -> list[list[dict]]:
    return run_workers(num_workers, lambda worker: train_worker(task, worker, CPU))


def without_seconds(history: list[dict]) -> list[dict]:
    return [{name: v for name, v in record.items() if name != "seconds"} for record in history]


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_workers_together_write_one_whole_model(task, num_workers):
    histories = on_workers(task, num_workers)
    save_manifest(task, [{"history": history, "bytes_summed": {}} for history in histories])
    indexes, vectors = arrays.read_vectors(f"{task.model_uri}/user_vectors", "user_index")
    assert indexes.tolist() == list(range(NUM_USERS))
    assert vectors.shape == (NUM_USERS, 4)
    stored = load_model(task.model_uri)
    assert stored.model.item_vectors.shape == (NUM_ITEMS, 4)
    assert stored.manifest["num_workers"] == num_workers


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_each_users_vector_is_stored_under_its_index(task, num_workers):
    # Without learning, a user keeps the vector that it starts with.
    on_workers(replace(task, loop=replace(task.loop, learning_rate=0.0)), num_workers)
    _, vectors = arrays.read_vectors(f"{task.model_uri}/user_vectors", "user_index")
    for shard in range(NUM_SHARDS):
        users = list(range(shard, NUM_USERS, NUM_SHARDS))
        model = Recommender(task.architecture, len(users))
        initialise_users(model, task.architecture, [(shard, len(users))], NUM_USERS, seed=5)
        assert vectors[users].tolist() == model.user_vectors.tolist()


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_each_positive_counts_once_whatever_the_number_of_workers(task, num_workers):
    for history in on_workers(task, num_workers):
        # 18 positives with two negatives each
        assert [record["samples"] for record in history] == [54, 54, 54]


def test_all_workers_return_the_same_history(task):
    first, second = on_workers(task, 2)
    assert without_seconds(first) == without_seconds(second)


def test_the_history_on_disk_is_that_of_the_workers(task):
    [history] = on_workers(task, 1)
    place = Path(task.model_uri.removeprefix("file://")) / "history.json"
    assert json.loads(place.read_text()) == history


@pytest.mark.parametrize(("every", "judged"), [(1, [1, 2, 3]), (2, [2, 3]), (0, [3])])
def test_metrics_come_every_so_many_epochs_and_after_the_last(task, every, judged):
    history = train_worker(replace(task, evaluate_every=every), Alone(), CPU)
    assert [record["epoch"] for record in history if "hr@2" in record] == judged


def test_an_item_without_interactions_tonight_is_never_a_negative(task):
    untouched = train_worker(replace(task, loop=replace(task.loop, epochs=1)), Alone(), CPU)
    _, first = arrays.read_vectors(f"{task.model_uri}/item_vectors", "item_index")
    train_worker(task, Alone(), CPU)
    _, third = arrays.read_vectors(f"{task.model_uri}/item_vectors", "item_index")
    assert untouched
    assert (first[7] == third[7]).all()
    assert (first[:7] != third[:7]).any(axis=1).all()


def test_dropout_follows_the_seed(task):
    task = replace(task, architecture=replace(task.architecture, dropout=0.5))
    first = train_worker(task, Alone(), CPU)
    torch.rand(3)  # whatever else has drawn from torch's own generator
    assert without_seconds(train_worker(task, Alone(), CPU)) == without_seconds(first)


def test_a_worker_holds_the_holdout_of_its_own_users(task):
    holdout = Holdout.read(task.holdout_uri, UserShards(NUM_USERS, NUM_SHARDS, 0, 2), CPU)
    # Worker 0 of 2 has shards 0 (users 0, 4, 8) and 2; users 0 and 4 are its first rows.
    assert holdout.users.tolist() == [0, 1]
    assert holdout.items.tolist() == [1, 6]
    assert holdout.rivals.tolist() == [[2, 4, 5], [2, -1, -1]]


def test_a_worker_without_holdout_rows_has_an_empty_holdout(task):
    holdout = Holdout.read(task.holdout_uri, UserShards(NUM_USERS, NUM_SHARDS, 2, 4), CPU)
    assert holdout.users.tolist() == []
    assert holdout.rivals.shape[0] == 0


def judge(communicator: Communicator) -> dict[str, float]:
    """Item i has the vector 5 - i; the three users have 1, -1 and 0."""
    model = Recommender(Architecture("gmf", 1, (2, 1), 0.0, "normal", 5), 3)
    with torch.no_grad():
        model.head.output.fill_(1.0)
        model.bias.zero_()
        model.item_vectors.copy_(torch.tensor([[5.0], [4.0], [3.0], [2.0], [1.0]]))
        model.user_vectors.copy_(torch.tensor([[1.0], [-1.0], [0.0]]))
    # Ranks: 3 (after items 0 and 1), 2 (after item 4) and 3 (two ties, the rest is padding).
    rows = [(0, 2, [0, 1, 3, -1]), (1, 3, [4, 0, 1, 2]), (2, 4, [0, 1, -1, -1])]
    own = rows[communicator.worker_rank :: communicator.num_workers]
    users, items = (torch.tensor([row[i] for row in own], dtype=torch.int64) for i in (0, 1))
    rivals = torch.tensor([row[2] for row in own], dtype=torch.int64).reshape(len(own), 4)
    holdout = Holdout(users, items, rivals)
    return holdout.evaluate(model, (2, 3), communicator)


JUDGED = {"hr@2": 1 / 3, "ndcg@2": 0.210310, "hr@3": 1.0, "ndcg@3": 0.543643}


def test_the_holdout_is_judged_by_hit_ratio_and_ndcg():
    # 1 / log2(3) = 0.630930 for rank 2 and 1 / log2(4) = 0.5 for rank 3, over three rows
    assert judge(Alone()) == pytest.approx(JUDGED, abs=1e-6)


def test_metrics_are_over_the_rows_of_all_workers():
    # The fourth worker has none.
    for found in run_workers(2, judge) + run_workers(4, judge):
        assert found == pytest.approx(JUDGED, abs=1e-6)


def test_the_largest_worker_is_told_what_it_will_hold(task):
    task = replace(
        task,
        num_users=5,
        num_shards=2,
        architecture=Architecture("gmf", 2, (2, 1), 0.0, "normal", 3),
    )
    assert worker_bytes(task, num_workers=2, num_positives=10) == {
        # 3 of 5 users: (output 2 + bias 1 + items 6 + users 6) · 4 bytes · 4 copies
        "parameters, gradients and optimiser": 240,
        # 6 of 10 positives · 3 numbers of 8 bytes
        "positives": 144,
    }
