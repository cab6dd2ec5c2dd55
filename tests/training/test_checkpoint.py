"""A training that fails and goes on: from where, with how many workers, and to what end."""

import logging
from dataclasses import replace

import pytest

from ncf_spark.storage import files
from ncf_spark.training.batches import BYTES_PER_POSITIVE
from ncf_spark.training.checkpoint import place
from ncf_spark.training.loop import Trainer
from ncf_spark.training.task import TrainingTask
from tests.model.architectures import build_architecture
from tests.training.tasks import (
    NUM_ITEMS,
    NUM_USERS,
    alone,
    on_workers,
    stored,
    without_seconds,
    write_activity,
)
from tests.training.trainers import build_settings


class LostError(Exception):
    """Stands for a worker that is no longer there."""


@pytest.fixture
def fail_at(monkeypatch):
    """Lets every worker fail in an epoch, counted over all phases from 1; None: no longer."""
    original = Trainer.train_epoch

    def set_up(at: int | None, num_workers: int = 1) -> list[int]:
        begun: list[int] = []  # the epochs that any worker began

        def train_epoch(self: Trainer, epoch: int) -> dict:
            begun.append(epoch)
            if at is not None and len(begun) > (at - 1) * num_workers:
                self.communicator.gather([0])  # the checkpoint before is whole
                raise LostError
            return original(self, epoch)

        monkeypatch.setattr(Trainer, "train_epoch", train_epoch)
        return begun

    return set_up


def numbers(task: TrainingTask) -> list[str]:
    return files.list_names(place(task.model_uri))


def pretrained(task: TrainingTask, **loop: object) -> TrainingTask:
    halves = {kind: replace(task.loop, epochs=2) for kind in ("gmf", "mlp")}
    return replace(task, pretraining=halves, loop=replace(task.loop, epochs=2, **loop))


# Negatives that are drawn once, at the start, so that both runs meet the same.
@pytest.mark.parametrize("optimiser", ["adam", "lazy_adam", "sgd"])
@pytest.mark.parametrize("kind", ["mf", "neumf"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_it_ends_where_an_uninterrupted_training_does(task, fail_at, optimiser, kind, at):
    loop = replace(task.loop, optimiser=optimiser, decay="linear", warmup_epochs=0.5)
    task = replace(
        task,
        architecture=build_architecture(kind, NUM_ITEMS, tower=(4, 4, 2)),
        loop=loop,
        redraw=False,
        checkpoint_epochs=1,
    )
    expected, whole = (
        alone(replace(task, model_uri=task.model_uri + "-2")),
        stored(replace(task, model_uri=task.model_uri + "-2")),
    )
    fail_at(at)
    with pytest.raises(LostError):
        alone(task)
    begun = fail_at(None)
    found = alone(task)
    assert begun == list(range(at, 4))
    assert without_seconds(found["history"]) == without_seconds(expected["history"])
    assert found["chosen_epochs"] == expected["chosen_epochs"]
    assert stored(task)["user"].tolist() == whole["user"].tolist()
    assert stored(task)["item"].tolist() == whole["item"].tolist()


@pytest.mark.parametrize("at", [2, 3])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_positives_that_are_streamed_come_as_they_would_have(
    task, fail_at, tmp_path, at, num_workers
):
    # Every negative is item 6, so that nothing is left to chance but the order of the positives.
    activity_uri = write_activity(tmp_path / "item_6", {"uniform": [0.0] * 6 + [1.0]})
    task = replace(task, activity_uri=activity_uri, max_retries=None, checkpoint_epochs=1)
    task = replace(task, resident_bytes=5 * BYTES_PER_POSITIVE)
    elsewhere = replace(task, model_uri=task.model_uri + "-2")
    expected = on_workers(elsewhere, num_workers)[0]
    assert expected["positives"]["mode"] == "streaming"
    fail_at(at, num_workers)
    with pytest.raises(LostError):
        on_workers(task, num_workers)
    fail_at(None)
    found = on_workers(task, num_workers)[0]
    assert without_seconds(found["history"]) == without_seconds(expected["history"])
    assert stored(task)["user"].tolist() == stored(elsewhere)["user"].tolist()
    assert stored(task)["item"].tolist() == stored(elsewhere)["item"].tolist()


@pytest.mark.parametrize("at", [2, 3, 4, 5, 6])
def test_each_phase_of_a_pretraining_can_go_on(task, fail_at, at):
    task = replace(pretrained(task), redraw=False, checkpoint_epochs=1)
    elsewhere = replace(task, model_uri=task.model_uri + "-2")
    expected = alone(elsewhere)
    fail_at(at)
    with pytest.raises(LostError):
        alone(task)
    begun = fail_at(None)
    found = alone(task)
    assert begun == [1, 2, 1, 2, 1, 2][at - 1 :]
    assert without_seconds(found["history"]) == without_seconds(expected["history"])
    assert found["chosen_epochs"] == expected["chosen_epochs"]
    assert stored(task)["user"].tolist() == stored(elsewhere)["user"].tolist()


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (3, 2)])
def test_any_number_of_workers_goes_on(task, fail_at, before, after):
    """Without learning after the failure, every user keeps the vector of the checkpoint."""
    task = replace(task, validation_uri=None, checkpoint_epochs=1)
    fail_at(3, before)
    with pytest.raises(LostError):
        on_workers(task, before)
    fail_at(None)
    elsewhere = replace(task, model_uri=task.model_uri + "-2")
    on_workers(replace(elsewhere, loop=replace(task.loop, epochs=2)), before)
    still = replace(task, loop=replace(task.loop, learning_rate=0.0, optimiser="sgd"))
    begun = fail_at(None)
    history = on_workers(still, after)[0]["history"]
    assert begun == [3] * after
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert stored(task)["user"].tolist() == stored(elsewhere)["user"].tolist()
    assert len(stored(task)["user"]) == NUM_USERS


def test_the_newest_two_are_kept(task):
    task = replace(task, loop=build_settings(batch_size=4, epochs=5), checkpoint_epochs=1)
    alone(task)
    assert numbers(task) == ["000004", "000005"]


@pytest.mark.parametrize(("every", "kept"), [(2, ["000002", "000004"]), (3, ["000003"]), (9, [])])
def test_a_checkpoint_is_left_every_so_many_epochs(task, every, kept):
    task = replace(task, loop=build_settings(batch_size=4, epochs=5), checkpoint_epochs=every)
    alone(task)
    assert numbers(task) == kept


@pytest.mark.parametrize(("minutes", "kept"), [(1e-9, ["000002", "000003"]), (60.0, [])])
def test_a_checkpoint_is_left_every_so_many_minutes(task, minutes, kept):
    alone(replace(task, checkpoint_minutes=minutes))
    assert numbers(task) == kept


@pytest.mark.parametrize("name", ["manifest.json", "shared.safetensors", "users-00001.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_torn_checkpoint_is_left_out(task, fail_at, caplog, name, damage):
    task = replace(task, checkpoint_epochs=1)
    fail_at(3, 2)
    with pytest.raises(LostError):
        on_workers(task, 2)
    torn = f"{place(task.model_uri)}/000002/{name}"
    content = files.read_bytes(torn)
    files.delete(torn)
    if damage == "cut":
        files.write_bytes(torn, content[: len(content) // 2])
    begun = fail_at(None)
    with caplog.at_level(logging.WARNING, logger="ncf_spark"):
        history = on_workers(task, 2)[0]["history"]
    assert sorted(begun) == [2, 2, 3, 3]
    assert [record["epoch"] for record in history] == [1, 2, 3]
    [message] = [r.getMessage() for r in caplog.records]
    assert "000002 is not whole and is left out" in message


def test_without_a_checkpoint_training_starts_from_the_beginning(task, fail_at):
    fail_at(3)
    with pytest.raises(LostError):
        alone(task)
    begun = fail_at(None)
    assert numbers(task) == []
    assert [record["epoch"] for record in alone(task)["history"]] == [1, 2, 3]
    assert begun == [1, 2, 3]
