"""Which epoch's model a worker stores, and how GMF and MLP are trained before they are joined."""

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from ncf_spark.config import load_config
from ncf_spark.errors import ConfigError
from ncf_spark.model.store import load_model
from ncf_spark.training.communicator import SingleWorker
from ncf_spark.training.loop import Trainer
from ncf_spark.training.task import TrainingTask
from ncf_spark.training.validation import ValidationItems
from ncf_spark.training.worker import Worker, save_manifest
from tests.training.tasks import alone, history_on_disk, on_workers, stored, without_seconds
from tests.training.trainers import build_settings


@pytest.fixture
def figures(monkeypatch):
    """Has the validation items give these figures, one after the other, to every worker."""

    def use(values: list[float]) -> None:
        left: dict[int, Iterator[float]] = {}

        def evaluate(self, model, ks, communicator) -> dict[str, float]:
            of_worker = left.setdefault(communicator.worker_rank, iter(values))
            return {"ndcg@10": next(of_worker)}

        monkeypatch.setattr(ValidationItems, "evaluate", evaluate)

    return use


def assert_equal_stored(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name in ("user", "item"):
        np.testing.assert_array_equal(found[name], expected[name])


# --- the best epoch -----------------------------------------------------------------------------


@pytest.mark.parametrize("num_workers", [1, 2, 3])
@pytest.mark.parametrize(
    ("values", "chosen"), [([0.5, 0.4, 0.3], 1), ([0.1, 0.4, 0.4], 2), ([0.1, 0.2, 0.3], 3)]
)
def test_the_stored_model_is_that_of_the_epoch_that_validation_chose(
    task, figures, values, chosen, num_workers
):
    figures(values)
    for worker in on_workers(task, num_workers):
        assert worker["chosen_epochs"] == {"neumf": chosen}
        assert [r["ndcg@10"] for r in worker["history"]] == values
    found = stored(task)
    as_long = replace(task, validation_uri=None, loop=replace(task.loop, epochs=chosen))
    on_workers(as_long, num_workers)
    assert_equal_stored(found, stored(task))


def test_without_validation_items_the_last_epoch_counts_and_nothing_is_judged(task):
    worker = alone(replace(task, validation_uri=None))
    assert worker["chosen_epochs"] == {"neumf": 3}
    assert [sorted(record) for record in worker["history"]] == [
        ["epoch", "loss", "phase", "samples", "seconds", "unresolved"]
    ] * 3


def test_judging_does_not_change_the_training(task):
    judged, plain = alone(task), alone(replace(task, validation_uri=None))
    losses = [[record["loss"] for record in w["history"]] for w in (judged, plain)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(("every", "judged"), [(1, [1, 2, 3]), (2, [2, 3]), (5, [3])])
def test_metrics_come_every_so_many_epochs_and_after_the_last(task, every, judged):
    worker = alone(replace(task, evaluate_every=every))
    assert [r["epoch"] for r in worker["history"] if "hr@2" in r] == judged
    assert [r["epoch"] for r in worker["history"] if "ndcg@10" in r] == judged
    assert worker["chosen_epochs"]["neumf"] in judged


@pytest.mark.parametrize(
    ("patience", "every", "values", "epochs", "chosen"),
    [
        (1, 1, [0.3, 0.2], 2, 1),
        (2, 1, [0.3, 0.2, 0.4, 0.4, 0.3], 5, 3),
        # Evaluations are counted, not epochs: those after epochs 2 and 4.
        (1, 2, [0.3, 0.2], 4, 2),
        (None, 1, [0.3, 0.2, 0.1, 0.1, 0.1, 0.1], 6, 1),
    ],
)
@pytest.mark.parametrize("num_workers", [1, 2])
def test_training_stops_when_patience_is_at_an_end(
    task, figures, patience, every, values, epochs, chosen, num_workers
):
    figures(values)
    loop = replace(task.loop, epochs=6)
    task = replace(task, loop=loop, patience=patience, evaluate_every=every)
    for worker in on_workers(task, num_workers):
        assert [record["epoch"] for record in worker["history"]] == list(range(1, epochs + 1))
        assert worker["chosen_epochs"] == {"neumf": chosen}


def test_a_worker_does_not_know_where_the_holdout_is(task, tmp_path):
    assert {field.name for field in fields(TrainingTask) if "uri" in field.name} == {
        "train_uri",
        "validation_uri",
        "activity_uri",
        "model_uri",
        "checkpoints_uri",
    }
    assert not any("holdout" in field.name for field in fields(TrainingTask))
    assert "holdout" not in repr(task)


# --- GMF and MLP first --------------------------------------------------------------------------

# NeuMF is judged as it was joined, which is its epoch 0, where there are items to judge it on.
EPOCHS = [("gmf", 1), ("gmf", 2), ("mlp", 1), ("mlp", 2)]
EPOCHS += [("neumf", 0), ("neumf", 1), ("neumf", 2), ("neumf", 3)]


def epochs_of(worker: dict[str, Any]) -> list[tuple[str, int]]:
    return [(record["phase"], record["epoch"]) for record in worker["history"]]


def pretrained(task: TrainingTask, **named: Any) -> TrainingTask:
    """Two epochs of Adam for GMF and MLP, then three of SGD; negatives are drawn once.

    So a half that is trained alone meets the same negatives.
    """
    adam = replace(task.loop, epochs=2, learning_rate=0.03)
    sgd = replace(task.loop, optimiser="sgd", learning_rate=0.5)
    halves = {"gmf": adam, "mlp": adam}
    values = {"pretraining": halves, "loop": sgd, "redraw": False, "alpha": 0.3, **named}
    return replace(task, **values)


def half(task: TrainingTask, kind: str, epochs: int = 2) -> TrainingTask:
    """GMF or MLP trained alone, as they are before they are joined."""
    return replace(
        task,
        architecture=replace(task.architecture, kind=kind),
        loop=replace(task.loop, epochs=epochs, learning_rate=0.03),
        redraw=False,
        validation_uri=None,
        model_uri=f"{task.model_uri}_{kind}",
    )


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_gmf_and_mlp_are_trained_before_neumf_in_one_call(task, num_workers):
    task = pretrained(task)
    first, *others = on_workers(task, num_workers)
    assert epochs_of(first) == EPOCHS
    assert all(record["samples"] == 54 for record in first["history"] if record["epoch"])
    assert [*first["chosen_epochs"]] == ["gmf", "mlp", "neumf"]
    assert history_on_disk(task) == first["history"]
    for other in others:
        assert without_seconds(other["history"]) == without_seconds(first["history"])
        assert other["chosen_epochs"] == first["chosen_epochs"]


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_the_joined_model_is_stored_where_no_epoch_makes_it_better(task, figures, num_workers):
    # The second epoch of GMF is its best, and the first of MLP.
    figures([0.1, 0.2, 0.2, 0.1, 0.9, 0.8, 0.7, 0.6])
    joined = pretrained(task)
    workers = on_workers(joined, num_workers)
    save_manifest(joined, workers)
    for worker in workers:
        assert worker["chosen_epochs"] == {"gmf": 2, "mlp": 1, "neumf": 0}
        assert epochs_of(worker) == EPOCHS
        assert [r["ndcg@10"] for r in worker["history"]][4:] == [0.9, 0.8, 0.7, 0.6]
    models = {"neumf": load_model(joined.model_uri).model}
    for kind, epochs in (("gmf", 2), ("mlp", 1)):
        alone_task = half(task, kind, epochs)
        save_manifest(alone_task, on_workers(alone_task, num_workers))
        models[kind] = load_model(alone_task.model_uri).model
    halves = [stored(half(task, kind)) for kind in ("gmf", "mlp")]
    found = stored(joined)
    for name in ("user", "item"):
        both = np.concatenate([vectors[name] for vectors in halves], axis=1)
        np.testing.assert_array_equal(found[name], both)
    gmf, mlp, neumf = (
        {n: p.detach().numpy() for n, p in models[k].named_parameters()}
        for k in ("gmf", "mlp", "neumf")
    )
    np.testing.assert_allclose(neumf["bias"], 0.3 * gmf["bias"] + 0.7 * mlp["bias"], rtol=1e-6)
    np.testing.assert_allclose(neumf["head.gmf.output"], 0.3 * gmf["head.output"], rtol=1e-6)
    np.testing.assert_allclose(neumf["head.mlp.output"], 0.7 * mlp["head.output"], rtol=1e-6)
    np.testing.assert_array_equal(neumf["head.mlp.first.weight"], mlp["head.first.weight"])


def test_the_joined_model_is_trained_on_where_that_makes_it_better(task, figures):
    figures([0.1, 0.2, 0.1, 0.2, 0.5, 0.4, 0.6, 0.6])
    task = pretrained(task)
    assert alone(task)["chosen_epochs"] == {"gmf": 2, "mlp": 2, "neumf": 2}
    found = stored(task)
    figures([0.1, 0.2, 0.1, 0.2, 0.5, 0.4, 0.6])
    alone(replace(task, loop=replace(task.loop, epochs=2)))
    assert_equal_stored(found, stored(task))
    figures([0.1, 0.2, 0.1, 0.2, 0.5, 0.4, 0.3, 0.2])
    alone(task)
    assert (stored(task)["item"][:7] != found["item"][:7]).any(axis=1).all()


def test_patience_holds_in_each_phase_and_the_joined_model_counts(task, figures):
    # GMF: epoch 2 is no better. MLP: both epochs are. NeuMF: epoch 1 is no better than joined.
    figures([0.2, 0.1, 0.1, 0.2, 0.5, 0.5])
    worker = alone(pretrained(task, patience=1))
    assert epochs_of(worker) == EPOCHS[:6]
    assert worker["chosen_epochs"] == {"gmf": 1, "mlp": 2, "neumf": 0}


def test_without_validation_items_each_phase_takes_all_its_epochs(task):
    worker = alone(pretrained(task, validation_uri=None))
    assert epochs_of(worker) == [place for place in EPOCHS if place != ("neumf", 0)]
    assert worker["chosen_epochs"] == {"gmf": 2, "mlp": 2, "neumf": 3}


def test_the_phases_of_a_task_and_their_epochs(task):
    assert task.phases == {"neumf": 3}
    assert pretrained(task).phases == {"gmf": 2, "mlp": 2, "neumf": 3}


# --- from the configuration ---------------------------------------------------------------------

URIS = {
    **{"train_uri": "t", "validation_uri": None, "activity_uri": "a", "model_uri": "m"},
    **{"checkpoints_uri": "c", "tables": {}, "start": None},
}


def task_of(*overrides: str) -> TrainingTask:
    config = load_config("conf/base.yaml", overrides)
    return TrainingTask.of(config, URIS, num_users=4, num_items=6)


def test_a_task_is_what_the_configuration_says():
    task = task_of(
        "training={num_shards: 9, epochs: 7, patience: 2, evaluate_every: 3}",
        "sampling={low_activity: 1, low_activity_by_counts: 2, uniform: 4, popularity: 1}",
        "sampling={redraw: false, max_retries: 5}",
        "evaluation.ks=[20, 5]",
    )
    assert (task.num_users, task.num_shards, task.architecture.num_items) == (4, 9, 6)
    assert (task.loop.epochs, task.patience, task.evaluate_every) == (7, 2, 3)
    assert task.mixture == {
        "low_activity": 0.125,
        "low_activity_by_counts": 0.25,
        "uniform": 0.5,
        "popularity": 0.125,
    }
    assert (task.redraw, task.max_retries) == (False, 5)
    assert (task.ks, task.choose_by) == ((20, 5), "ndcg@5")
    assert task.pretraining == {}


def test_positives_that_are_not_rejected_have_no_retries():
    assert task_of("sampling={reject_positives: false, max_retries: 5}").max_retries is None


def test_pretraining_is_adam_at_its_own_rate_for_its_own_epochs():
    task = task_of(
        "training={optimiser: sgd, learning_rate: 0.1, epochs: 7, batch_size: 32, l2: 0.01}",
        "training.pretraining.gmf={epochs: 3, learning_rate: 0.002, l2: 0.03}",
        "training.pretraining.mlp={epochs: 4, learning_rate: 0.003}",
        "training.pretraining.alpha=0.4",
        "sampling.num_negatives=5",
        "run.seed=6",
    )
    same = {"batch_size": 32, "num_negatives": 5, "seed": 6}
    gmf = build_settings(optimiser="adam", learning_rate=0.002, epochs=3, l2=0.03, **same)
    mlp = build_settings(optimiser="adam", learning_rate=0.003, epochs=4, l2=0.0, **same)
    sgd = build_settings(optimiser="sgd", learning_rate=0.1, epochs=7, l2=0.01, **same)
    assert (task.pretraining, task.loop) == ({"gmf": gmf, "mlp": mlp}, sgd)
    assert task.alpha == 0.4


@pytest.mark.parametrize("kind", ["mf", "gmf", "mlp"])
def test_only_neumf_is_pretrained(kind):
    both = [f"training.pretraining.{half}.epochs=3" for half in ("gmf", "mlp")]
    compared = f"evaluation.compared={{other: {{model.kind: {kind}}}}}"
    config = load_config("conf/base.yaml", [*both, compared]).models["other"]
    assert TrainingTask.of(config, URIS, num_users=4, num_items=6).pretraining == {}
    with pytest.raises(ConfigError, match=rf"needs model\.kind neumf, not {kind}\. Set train"):
        load_config("conf/base.yaml", [*both, f"model.kind={kind}"])


@pytest.mark.parametrize("phase", ["gmf", "mlp", "neumf"])
def test_a_phase_that_diverges_names_the_setting_to_lower(task, monkeypatch, phase):
    def diverge(trainer: Trainer, epoch: int) -> None:
        raise FloatingPointError("the loss is not finite after epoch 1")

    task = pretrained(task)
    worker = Worker(task, SingleWorker(), torch.device("cpu"))
    monkeypatch.setattr(Trainer, "train_epoch", diverge)
    section = "training" if phase == "neumf" else f"training.pretraining.{phase}"
    expected = f"{phase}: the loss is not finite after epoch 1; lower {section}.learning_rate"
    with pytest.raises(FloatingPointError, match=re.escape(expected) + "$"):
        worker.fit(worker.build(task.architecture), phase, task.loop)
