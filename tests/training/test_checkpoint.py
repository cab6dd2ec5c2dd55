"""A training that fails and goes on: from where, with how many workers, and to what end."""

from dataclasses import replace

import pytest

from ncf_spark.storage import files
from ncf_spark.training import loop
from ncf_spark.training.batches import BYTES_PER_POSITIVE
from ncf_spark.training.checkpoint import last_checkpoint
from ncf_spark.training.loop import Trainer
from ncf_spark.training.task import TrainingTask
from tests.model.architectures import build_architecture
from tests.training.tasks import (
    NUM_ITEMS,
    NUM_USERS,
    alone,
    elsewhere,
    history_on_disk,
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
    return files.list_names(task.checkpoints_uri)


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
        alone(elsewhere(task)),
        stored(elsewhere(task)),
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
    other = elsewhere(task)
    expected = on_workers(other, num_workers)[0]
    assert expected["positives"]["mode"] == "streaming"
    fail_at(at, num_workers)
    with pytest.raises(LostError):
        on_workers(task, num_workers)
    fail_at(None)
    found = on_workers(task, num_workers)[0]
    assert without_seconds(found["history"]) == without_seconds(expected["history"])
    assert stored(task)["user"].tolist() == stored(other)["user"].tolist()
    assert stored(task)["item"].tolist() == stored(other)["item"].tolist()


@pytest.mark.parametrize("at", [2, 3, 4, 5, 6])
def test_each_phase_of_a_pretraining_can_go_on(task, fail_at, at):
    task = replace(pretrained(task), redraw=False, checkpoint_epochs=1)
    other = elsewhere(task)
    expected = alone(other)
    fail_at(at)
    with pytest.raises(LostError):
        alone(task)
    begun = fail_at(None)
    found = alone(task)
    assert begun == [1, 2, 1, 2, 1, 2][at - 1 :]
    assert without_seconds(found["history"]) == without_seconds(expected["history"])
    assert found["chosen_epochs"] == expected["chosen_epochs"]
    assert stored(task)["user"].tolist() == stored(other)["user"].tolist()


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (3, 2)])
def test_any_number_of_workers_goes_on(task, fail_at, monkeypatch, before, after):
    """Without learning after the failure, every user keeps the vector of the checkpoint."""
    task = replace(task, validation_uri=None, checkpoint_epochs=1)
    fail_at(3, before)
    with pytest.raises(LostError):
        on_workers(task, before)
    fail_at(None)
    other = elsewhere(task)
    on_workers(replace(other, loop=replace(task.loop, epochs=2)), before)
    begun = fail_at(None)
    monkeypatch.setattr(loop, "learning_rate_at", lambda *args, **named: 0.0)
    history = on_workers(task, after)[0]["history"]
    assert begun == [3] * after
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert stored(task)["user"].tolist() == stored(other)["user"].tolist()
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
def test_a_torn_checkpoint_is_left_out(task, fail_at, name, damage):
    task = replace(task, checkpoint_epochs=1)
    fail_at(3, 2)
    with pytest.raises(LostError):
        on_workers(task, 2)
    torn = f"{task.checkpoints_uri}/000002/{name}"
    content = files.read_bytes(torn)
    files.delete(torn)
    if damage == "cut":
        files.write_bytes(torn, content[: len(content) // 2])
    number, [problem] = last_checkpoint(task.checkpoints_uri, task.identity)
    assert number == 1
    assert f"{task.checkpoints_uri}/000002 is incomplete and is ignored" in problem
    if name != "manifest.json":
        assert f"({name} {'has' if damage == 'cut' else 'is missing'}" in problem
    begun = fail_at(None)
    history = on_workers(task, 2)[0]["history"]
    assert sorted(begun) == [2, 2, 3, 3]
    assert [record["epoch"] for record in history] == [1, 2, 3]
    # What was torn is written anew, and is not mixed with what was left of it.
    assert last_checkpoint(task.checkpoints_uri, task.identity) == (3, [])
    assert numbers(task) == ["000002", "000003"]


def test_when_all_are_torn_training_starts_from_the_beginning(task, fail_at):
    task = replace(task, checkpoint_epochs=1)
    fail_at(3)
    with pytest.raises(LostError):
        alone(task)
    for number in numbers(task):
        files.delete(f"{task.checkpoints_uri}/{number}/manifest.json")
    number, problems = last_checkpoint(task.checkpoints_uri, task.identity)
    assert number is None
    assert ["000002" in problems[0], "000001" in problems[1]] == [True, True]
    begun = fail_at(None)
    alone(task)
    assert begun == [1, 2, 3]


CHANGES = {
    "loop.seed": lambda task: {"loop": replace(task.loop, seed=6)},
    "loop.learning_rate": lambda task: {"loop": replace(task.loop, learning_rate=0.5)},
    "architecture.factors": lambda task: {
        "architecture": replace(task.architecture, factors=task.architecture.factors + 1)
    },
    "tables.build_interactions": lambda task: {
        "tables": {"build_interactions": "2026-11-01T04:00:00+00:00"}
    },
    "tables.score_item_activity": lambda task: {
        "tables": {**task.tables, "score_item_activity": "2026-11-01T03:30:00+00:00"}
    },
    "num_users": lambda task: {"num_users": NUM_USERS - 1},
    "pretraining.gmf.epochs": lambda task: {"pretraining": pretrained(task).pretraining},
    "validation": lambda task: {"validation_uri": None},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_of_another_training_is_left_out(task, fail_at, name):
    task = replace(task, checkpoint_epochs=1)
    fail_at(3)
    with pytest.raises(LostError):
        alone(task)
    changed = replace(task, **CHANGES[name](task))
    number, problems = last_checkpoint(task.checkpoints_uri, changed.identity)
    assert number is None
    for left_out, problem in zip(("000002", "000001"), problems, strict=True):
        assert f"{left_out} was written with other settings or tables and is ignored" in problem
    assert f"{name} was " in problems[0]
    begun = fail_at(None)
    alone(changed)
    assert begun[0] == 1
    # The others have gone: they are older, whatever their number.
    assert last_checkpoint(task.checkpoints_uri, changed.identity)[1] == []


def test_later_checkpoints_of_another_training_do_not_push_out_the_new(task):
    longer = replace(task, loop=replace(task.loop, epochs=5), checkpoint_epochs=1)
    alone(longer)
    assert numbers(task) == ["000004", "000005"]
    alone(replace(task, checkpoint_epochs=1))
    assert numbers(task) == ["000002", "000003"]


def test_nothing_is_left_of_what_was_torn(task, fail_at):
    task = replace(task, loop=replace(task.loop, epochs=2), checkpoint_epochs=1)
    left = f"{task.checkpoints_uri}/000001/users-00009.safetensors"
    files.write_bytes(left, b"left over")
    alone(task)
    assert not files.exists(left)
    assert numbers(task) == ["000001", "000002"]


@pytest.mark.parametrize(
    "changes",
    [
        {"resident_bytes": 5 * BYTES_PER_POSITIVE},
        {"checkpoint_epochs": None, "checkpoint_minutes": 60.0},
    ],
)
def test_what_does_not_change_the_outcome_may_differ(task, fail_at, changes):
    task = replace(task, checkpoint_epochs=1)
    fail_at(3)
    with pytest.raises(LostError):
        alone(task)
    begun = fail_at(None)
    alone(replace(task, **changes))
    assert begun == [3]


def test_the_records_of_a_training_that_goes_on_are_there_at_once(task, fail_at):
    task = replace(task, checkpoint_epochs=1)
    fail_at(3)
    with pytest.raises(LostError):
        alone(task)
    files.delete(task.model_uri)  # as a step that starts again does
    fail_at(1)
    with pytest.raises(LostError):
        alone(task)
    assert [record["epoch"] for record in history_on_disk(task)] == [1, 2]
