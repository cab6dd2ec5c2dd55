from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ncf_spark.errors import DataError
from ncf_spark.model.recommender import Recommender, initialise_users
from ncf_spark.model.store import load_model
from ncf_spark.storage import arrays
from ncf_spark.training.communicator import Communicator, SingleWorker
from ncf_spark.training.shards import UserShards
from ncf_spark.training.validation import ValidationItems
from ncf_spark.training.worker import Worker, save_manifest
from tests.model.architectures import build_architecture
from tests.training.simulated import run_workers
from tests.training.tasks import (
    CPU,
    NUM_ITEMS,
    NUM_SHARDS,
    NUM_USERS,
    alone,
    history_on_disk,
    on_workers,
    stored,
    without_seconds,
    write_activity,
)


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_workers_together_write_one_whole_model(task, num_workers):
    workers = on_workers(task, num_workers)
    save_manifest(task, [{**worker, "bytes_exchanged": {}} for worker in workers])
    indexes, vectors = arrays.read_vectors(f"{task.model_uri}/user_vectors", "user_index")
    assert indexes.tolist() == list(range(NUM_USERS))
    assert vectors.shape == (NUM_USERS, 4)
    model = load_model(task.model_uri)
    assert model.model.item_vectors.shape == (NUM_ITEMS, 4)
    assert model.manifest["num_workers"] == num_workers
    assert model.manifest["chosen_epochs"] == workers[0]["chosen_epochs"]
    assert model.manifest["task"]["mixture"] == {"uniform": 1.0}
    assert model.manifest["task"]["loop"]["optimiser"] == "adam"


@pytest.mark.parametrize("num_workers", [1, 2, 3])
@pytest.mark.parametrize("optimiser", ["adam", "lazy_adam"])
def test_each_users_vector_is_stored_under_its_index(task, num_workers, optimiser):
    # Without learning, a user keeps the vector that it starts with.
    loop = replace(task.loop, learning_rate=0.0, optimiser=optimiser)
    on_workers(replace(task, loop=loop), num_workers)
    vectors = stored(task)["user"]
    for shard in range(NUM_SHARDS):
        users = list(range(shard, NUM_USERS, NUM_SHARDS))
        model = Recommender(task.architecture, len(users))
        initialise_users(model, task.architecture, [(shard, len(users))], NUM_USERS, seed=5)
        assert vectors[users].tolist() == model.user_vectors.tolist()


def test_a_record_tells_its_phase_and_the_history_on_disk_is_that_of_the_workers(task):
    worker = alone(task)
    assert [(r["phase"], r["epoch"]) for r in worker["history"]] == [
        ("neumf", 1),
        ("neumf", 2),
        ("neumf", 3),
    ]
    assert history_on_disk(task) == worker["history"]


def test_an_item_without_interactions_tonight_is_never_a_negative(task):
    task = replace(task, validation_uri=None)
    alone(replace(task, loop=replace(task.loop, epochs=1)))
    first = stored(task)["item"]
    alone(task)
    third = stored(task)["item"]
    assert (first[7] == third[7]).all()
    assert (first[:7] != third[:7]).any(axis=1).all()


def test_dropout_follows_the_seed(task):
    task = replace(task, architecture=replace(task.architecture, dropout=(0.5, 0.25)))
    first = alone(task)
    torch.rand(3)  # whatever else has drawn from torch's own generator
    assert without_seconds(alone(task)["history"]) == without_seconds(first["history"])


# --- negatives ----------------------------------------------------------------------------------

DISTRIBUTIONS = {
    "low_activity": [1.0, 0, 0, 0, 0, 0, 0],
    "low_activity_by_counts": [0, 0.5, 0.5, 0, 0, 0, 0],
    "uniform": [1 / 7] * 7,
    "popularity": [0, 0, 0, 0, 0, 0, 1.0],
}


@pytest.mark.parametrize(
    ("mixture", "expected"),
    [
        ({"low_activity": 1.0, "uniform": 0.0}, [1, 0, 0, 0, 0, 0, 0, 0]),
        ({"low_activity_by_counts": 1.0}, [0, 0.5, 0.5, 0, 0, 0, 0, 0]),
        ({"uniform": 1.0}, [1 / 7] * 7 + [0]),
        ({"popularity": 1.0}, [0, 0, 0, 0, 0, 0, 1, 0]),
        (
            {
                "low_activity": 0.1,
                "low_activity_by_counts": 0.2,
                "uniform": 0.35,
                "popularity": 0.35,
            },
            [0.15, 0.15, 0.15, 0.05, 0.05, 0.05, 0.4, 0],
        ),
    ],
)
def test_negatives_are_drawn_from_the_mixture_of_the_columns(task, tmp_path, mixture, expected):
    activity_uri = write_activity(tmp_path / "mixed", DISTRIBUTIONS)
    task = replace(task, activity_uri=activity_uri, mixture=mixture, max_retries=None)
    nobody = torch.zeros(25_000, dtype=torch.int64)
    items, _ = Worker(task, SingleWorker(), CPU).sampler.draw(nobody, nobody)
    found = torch.bincount(items.flatten(), minlength=NUM_ITEMS) / items.numel()
    # Of 50,000 draws, 5 standard deviations are at most 0.011.
    assert found.tolist() == pytest.approx(expected, abs=0.011)


@pytest.mark.parametrize(("redraw", "same"), [(True, False), (False, True)])
def test_negatives_are_the_same_every_time_unless_they_are_redrawn(task, redraw, same):
    worker = Worker(replace(task, redraw=redraw), SingleWorker(), CPU)
    batch = torch.arange(18)
    (first, _), (again, _) = (
        worker.sampler.draw(worker.positives.users.long(), batch) for _ in range(2)
    )
    assert first.shape == (2, 18)
    assert torch.equal(first, again) == same


@pytest.mark.parametrize(("max_retries", "drawn"), [(10, False), (None, True)])
def test_a_users_positives_are_drawn_only_where_they_are_not_rejected(task, max_retries, drawn):
    worker = Worker(replace(task, max_retries=max_retries), SingleWorker(), CPU)
    user_0 = torch.zeros(200, dtype=torch.int64)  # its positives are items 0 and 3
    items, unresolved = worker.sampler.draw(user_0, user_0)
    assert bool(torch.isin(items, torch.tensor([0, 3])).any()) == drawn
    assert unresolved is None


# --- validation ---------------------------------------------------------------------------------


def test_a_worker_holds_the_validation_items_of_its_own_users(task):
    shards = UserShards(NUM_USERS, NUM_SHARDS, 0, 2)
    validation = ValidationItems.read(task.validation_uri, shards, CPU)
    # Worker 0 of 2 has shards 0 (users 0, 4, 8) and 2; users 0 and 4 are its first rows.
    assert validation.users.tolist() == [0, 1]
    assert validation.items.tolist() == [1, 6]
    assert validation.negatives.tolist() == [[2, 4, 5], [2, -1, -1]]


def test_a_worker_without_rows_of_the_table_has_no_validation_items(task):
    shards = UserShards(NUM_USERS, NUM_SHARDS, 2, 4)
    validation = ValidationItems.read(task.validation_uri, shards, CPU)
    assert validation.users.tolist() == []
    assert validation.negatives.shape[0] == 0


def judge(communicator: Communicator) -> dict[str, float]:
    """Item i has the vector 5 - i; the three users have 1, -1 and 0."""
    model = Recommender(build_architecture("gmf", num_items=5, factors=1), 3)
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
    validation = ValidationItems(users, items, rivals)
    return validation.evaluate(model, (2, 3), communicator)


JUDGED = {"hr@2": 1 / 3, "ndcg@2": 0.210310, "hr@3": 1.0, "ndcg@3": 0.543643}


def test_validation_items_are_judged_by_hit_ratio_and_ndcg():
    # 1 / log2(3) = 0.630930 for rank 2 and 1 / log2(4) = 0.5 for rank 3, over three rows
    assert judge(SingleWorker()) == pytest.approx(JUDGED, abs=1e-6)


def test_metrics_are_over_the_rows_of_all_workers():
    # The fourth worker has none.
    for found in run_workers(2, judge) + run_workers(4, judge):
        assert found == pytest.approx(JUDGED, abs=1e-6)


def test_epochs_cannot_be_judged_by_a_table_without_rows(task, tmp_path):
    place = tmp_path / "nothing" / "shard=0"
    place.mkdir(parents=True)
    types = [("user_index", pa.int32()), ("item_index", pa.int32())]
    schema = pa.schema([*types, ("negatives", pa.list_(pa.int32()))])
    pq.write_table(schema.empty_table(), place / "part-00000.parquet")
    task = replace(task, validation_uri=f"file://{tmp_path}/nothing")
    with pytest.raises(ValueError, match="epoch 1 cannot be evaluated: its metric is NaN"):
        on_workers(task, 2)


def test_the_rank_of_a_validation_item_is_that_of_the_stored_model(task):
    [worker] = on_workers(task, 1)
    save_manifest(task, [worker])
    model, vectors = load_model(task.model_uri).model, torch.from_numpy(stored(task)["user"])
    ranks = []
    for user, (item, rivals) in {0: (1, [2, 4, 5]), 1: (2, [3, 5]), 4: (6, [2])}.items():
        candidates = model.item_vectors[[item, *rivals]]
        [scores] = model.pairs(vectors[[user]], candidates.unsqueeze(0)).tolist()
        ranks.append(1 + sum(score >= scores[0] for score in scores[1:]))
    chosen = worker["history"][worker["chosen_epochs"]["neumf"] - 1]
    assert chosen["hr@2"] == pytest.approx(np.mean([rank <= 2 for rank in ranks]))
    assert chosen["ndcg@10"] == pytest.approx(np.mean([1 / np.log2(r + 1) for r in ranks]))


@pytest.mark.parametrize("table", ["train", "validation", "activity"])
@pytest.mark.parametrize("resident_bytes", [None, 60])
def test_a_damaged_table_is_an_error_of_the_data(task, tmp_path, table, resident_bytes):
    for path in (tmp_path / table).rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=rf"/{table}: cannot be read \(.*Run the step that writes"):
        alone(replace(task, resident_bytes=resident_bytes))
