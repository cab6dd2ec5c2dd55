"""A training that is lost and goes on with other workers is as good as one that is not."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ncf_spark.training.task import TrainingTask
from tests.model.architectures import build_architecture
from tests.training.interrupted import interrupted, movielens
from tests.training.tasks import on_workers, write_activity, write_shards, write_task
from tests.training.trainers import build_settings

DATA = Path(os.environ.get("NCF_DATA", "/nowhere"))
# Users like the items of their own group. Of these ten, one is held out.
NUM_USERS, GROUPS, ITEMS_OF_A_GROUP = 240, 6, 10
NUM_ITEMS = GROUPS * ITEMS_OF_A_GROUP


@pytest.fixture
def pattern(tmp_path) -> TrainingTask:
    """Each user's held-out item is ranked among the 50 of the other groups."""
    own = {
        user: [user % GROUPS + GROUPS * place for place in range(ITEMS_OF_A_GROUP)]
        for user in range(NUM_USERS)
    }
    held_out = {user: own[user][user // GROUPS % ITEMS_OF_A_GROUP] for user in own}
    pairs = [(u, i) for u, items in own.items() for i in items if i != held_out[u]]
    rivals = [[i for i in range(NUM_ITEMS) if i % GROUPS != u % GROUPS] for u in own]
    users, items = (list(column) for column in zip(*pairs, strict=True))
    judged = {"user_index": [*own], "item_index": [*held_out.values()], "negatives": rivals}
    return write_task(
        tmp_path,
        train_uri=write_shards(tmp_path / "pattern", {"user_index": users, "item_index": items}),
        validation_uri=write_shards(tmp_path / "held_out", judged),
        activity_uri=write_activity(tmp_path / "items", {"uniform": [1.0] * NUM_ITEMS}),
        num_users=NUM_USERS,
        architecture=build_architecture("neumf", NUM_ITEMS, factors=8, tower=(16, 16, 8)),
        loop=build_settings(epochs=8, batch_size=32, num_negatives=4, learning_rate=0.002),
        checkpoint_epochs=1,
        ks=(1, 10),
    )


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_pattern_is_learnt_as_well_after_an_interruption(pattern, before, after):
    steps = 2 * -(-NUM_USERS * (ITEMS_OF_A_GROUP - 1) // (32 * before)) + 5  # in the third epoch
    history = interrupted(pattern, before, after, steps)
    assert [record["epoch"] for record in history] == list(range(1, 9))
    assert history[1]["hr@1"] < 0.5  # it had not been learnt before
    assert history[-1]["hr@1"] > 0.97
    whole = replace(pattern, checkpoint_epochs=None)
    assert history[-1]["hr@1"] == pytest.approx(
        on_workers(whole, after)[0]["history"][-1]["hr@1"], abs=0.02
    )


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "ml-1m").is_dir(), reason="NCF_DATA names no folder with ml-1m")
def test_movielens_is_learnt_as_well_after_an_interruption(tmp_path):
    """One in five users, six epochs, lost in the middle of the third."""
    found = {}
    for way, workers in {"1": (1, 1), "2": (2, 2), "2 → 1": (2, 1), "1 → 2": (1, 2)}.items():
        (tmp_path / way).mkdir()
        task, positives = movielens(
            DATA, tmp_path / way, every=5, batch_size=512, learning_rate=0.002, epochs=6
        )
        if way in ("1", "2"):
            history = on_workers(replace(task, checkpoint_epochs=None), workers[0])[0]["history"]
        else:
            history = interrupted(task, *workers, int(2.5 * positives / 512 / workers[0]))
        found[way] = history[-1]["hr@10"]
    # Two workers make steps twice as large; HR@10 of 1,208 users has a standard error of 0.014.
    low, high = sorted([found["1"], found["2"]])
    for way in ("2 → 1", "1 → 2"):
        assert low - 0.02 < found[way] < high + 0.02, found
