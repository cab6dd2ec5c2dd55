"""Training that begins with a stored model: what it takes over, and what each worker reads."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ncf_spark.model import store
from ncf_spark.model.recommender import Recommender
from ncf_spark.storage import arrays, files
from ncf_spark.training.shards import UserShards
from ncf_spark.training.task import Start, TrainingTask
from ncf_spark.training.warm import load_start
from ncf_spark.training.worker import save_manifest
from tests.model.architectures import build_architecture
from tests.training.tasks import (
    NUM_ITEMS,
    NUM_SHARDS,
    NUM_USERS,
    alone,
    elsewhere,
    on_workers,
    stored,
    write_task,
)


@pytest.fixture
def before(task) -> TrainingTask:
    """A model that two workers trained and stored."""
    save_manifest(task, on_workers(task, 2))
    return task


def later(before: TrainingTask, tmp_path, epochs: int = 0, **named) -> TrainingTask:
    """The next night, of three more users and two more items; without an epoch it is the start."""
    start = Start("2026-11-01.1", before.model_uri, before.num_users, before.num_shards)
    task = write_task(
        tmp_path / "later",
        num_users=NUM_USERS + 3,
        architecture=build_architecture("neumf", NUM_ITEMS + 2, tower=(4, 4, 2)),
        **{"start": start, **named},
    )
    return replace(task, loop=replace(task.loop, epochs=epochs))


def test_known_rows_and_weights_are_taken_over_and_new_rows_are_as_first_values(before, tmp_path):
    task = later(before, tmp_path)
    cold = replace(elsewhere(task), start=None)
    alone(task)
    alone(cold)
    old, new, first = stored(before), stored(task), stored(cold)
    for name, number in (("user", NUM_USERS), ("item", NUM_ITEMS)):
        np.testing.assert_array_equal(new[name][:number], old[name])
        np.testing.assert_array_equal(new[name][number:], first[name][number:])
        assert (new[name][:7] != first[name][:7]).any(axis=1).all()
    weights = [
        store.read_tensors(f"{t.model_uri}/shared.safetensors") for t in (before, task, cold)
    ]
    for name, values in weights[0].items():
        assert values.equal(weights[1][name]), name
    assert not weights[0]["bias"].equal(weights[2]["bias"])


@pytest.mark.parametrize("num_workers", [1, 3])
@pytest.mark.parametrize("num_shards", [1, 3, 6, 8])
def test_any_number_of_workers_and_shards_takes_over_the_same(before, num_workers, num_shards):
    start = Start("2026-11-01.1", before.model_uri, before.num_users, before.num_shards)
    num_users, taken = NUM_USERS + 3, {}
    for rank in range(num_workers):
        shards = UserShards(num_users, max(num_shards, num_workers), rank, num_workers)
        model = Recommender(before.architecture, shards.num_rows)
        torch.nn.init.constant_(model.user_vectors, 7.0)
        load_start(model, start, shards)
        users = np.concatenate([shards.users_of(shard) for shard, _ in shards.owned])
        taken |= dict(zip(users.tolist(), model.user_vectors.detach().numpy(), strict=True))
    found = np.stack([taken[user] for user in range(num_users)])
    np.testing.assert_array_equal(found[:NUM_USERS], stored(before)["user"])
    assert (found[NUM_USERS:] == 7).all()


def test_each_worker_reads_the_files_of_its_own_users_alone(before, tmp_path, monkeypatch):
    read: list[str] = []
    original = arrays.read_vectors

    def watched(uri: str, index_name: str):
        read.append(uri.rsplit("/", 1)[-1])
        return original(uri, index_name)

    monkeypatch.setattr(arrays, "read_vectors", watched)
    on_workers(later(before, tmp_path), 2)
    of_users = sorted(name for name in read if name != "item_vectors")
    assert of_users == [f"shard-{shard:05d}.parquet" for shard in range(NUM_SHARDS)]  # each once
    assert read.count("item_vectors") == 2


def test_training_goes_on_from_there_with_a_fresh_optimiser(before, tmp_path):
    """Adam's first step is as long as the learning rate, whatever was learnt before."""
    task = later(before, tmp_path, epochs=1)
    [start] = [replace(elsewhere(task), loop=replace(task.loop, epochs=0))]
    alone(task)
    alone(start)
    moved = np.abs(stored(task)["user"] - stored(start)["user"]).max(axis=1)
    assert (moved[:9] > 0).all()
    assert (moved[9:] == 0).all()  # users without a pair stay where they are


def test_a_checkpoint_of_another_start_is_not_gone_on_with(before, tmp_path):
    task = later(before, tmp_path)
    assert task.start is not None
    assert task.identity["start"] == "2026-11-01.1"
    moved = replace(task, start=replace(task.start, model_uri="file:///elsewhere"))
    assert moved.identity == task.identity
    for start in (None, replace(task.start, run="2026-11-02.1")):
        assert replace(task, start=start).identity != task.identity


def test_a_checkpoint_is_gone_on_with_in_place_of_the_start(before, tmp_path):
    task = later(before, tmp_path, epochs=2, checkpoint_epochs=1)
    done = alone(task)["history"]
    assert len(done) == 2
    files.delete(before.model_uri)  # is not looked at again
    assert alone(task)["history"] == done
