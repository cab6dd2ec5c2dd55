import logging
from contextlib import suppress
from dataclasses import replace

import horovod.torch as hvd
import pytest
import torch
from horovod.common.exceptions import HorovodInternalError

from ncf_spark.errors import ConfigError, DataError, WorkerError
from ncf_spark.storage import files
from ncf_spark.training.distributed import (
    Horovod,
    LineLogger,
    _device,
    _failures,
    _results_uri,
    _run_worker,
    run_workers,
)
from tests.training.tasks import alone


def test_output_is_logged_in_whole_lines():
    lines: list[str] = []
    stream = LineLogger(lambda form, line: lines.append(form % line))
    assert stream.write("one\ntw") == 6
    stream.write("o\n\n")
    stream.flush()
    stream.write("three")
    assert lines == ["train: one", "train: two"]


def test_the_cpu_is_taken_when_it_is_asked_for():
    assert _device("cpu") == torch.device("cpu")


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert _device("auto") == torch.device("cpu")


def test_a_missing_gpu_is_an_error_that_names_the_setting(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"training\.device is cuda.*set training\.device: auto"):
        _device("cuda")


@pytest.mark.parametrize(("assigned", "index"), [(["3"], 3), ([], 1)])
def test_the_gpu_is_the_one_that_spark_assigned_else_by_local_rank(monkeypatch, assigned, index):
    place = "ncf_spark.training.distributed"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(f"{place}.get_available_devices", lambda: assigned)
    monkeypatch.setattr(f"{place}.hvd.local_rank", lambda: 5)
    assert _device("auto") == torch.device("cuda", index)


def test_a_worker_looks_at_its_gpu_before_it_allocates(monkeypatch, task):
    """With what CUDA says of its memory replaced; the failure is told to the driver."""
    place = "ncf_spark.training.distributed"
    for name, value in {
        "init": None,
        "shutdown": None,
        "rank": 0,
        "size": 1,
    }.items():
        monkeypatch.setattr(f"{place}.hvd.{name}", lambda value=value: value)
    for name, value in {"RANK": "0", "SIZE": "1"}.items():
        monkeypatch.setenv(f"HOROVOD_LOCAL_{name}", value)
    monkeypatch.setattr(f"{place}._device", lambda setting: torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1_000, 80_000_000_000))
    with pytest.raises(ConfigError, match=r"bytes of its GPU .* which has 1,000 left"):
        _run_worker([task], "cuda", 1, False, 0)
    with pytest.raises(ConfigError, match=r"^model: a worker needs"):
        _failures(task, 0).check("model")


def test_what_is_exchanged_is_added_up_and_waited_for(monkeypatch):
    """With Horovod's calls replaced: two workers that both have the same tensor."""
    place, waited = "ncf_spark.training.distributed.hvd", []

    def all_reduce(tensor, op, name):
        assert op == hvd.Sum
        tensor.mul_(2)
        return name

    for name, value in {"rank": 0, "size": 2}.items():
        monkeypatch.setattr(f"{place}.{name}", lambda value=value: value)
    monkeypatch.setattr(f"{place}.allreduce_", all_reduce)
    monkeypatch.setattr(f"{place}.allreduce_async_", all_reduce)
    monkeypatch.setattr(f"{place}.synchronize", waited.append)
    workers, tensor = Horovod(), torch.ones(3)
    workers.all_reduce_(tensor, "totals")
    wait = workers.all_reduce_async(tensor, "gradients")
    assert (tensor.tolist(), waited) == ([4.0] * 3, [])
    wait()
    assert waited == ["gradients"]
    assert workers.bytes_exchanged == {"totals": 12, "gradients": 12}


class Workers:
    """In place of horovod.spark: attempts that fail as they are told to, and then one that ends.

    Args:
        num_trained_before_failure: models that an attempt finishes before it fails.
    """

    def __init__(
        self, *told: tuple[int, BaseException] | None, num_trained_before_failure: int = 0
    ) -> None:
        self.told = list(told)
        self.num_trained_before_failure = num_trained_before_failure
        self.attempts = 0
        self.asked: list[list[str]] = []

    def run(self, work, args, **settings):
        self.attempts += 1
        # The driver's Python may not be where the workers are started.
        assert settings["executable"] == "./environment/bin/python"
        tasks, *_, attempt = args
        self.asked.append([task.model_uri.rsplit("/", 1)[-1] for task in tasks])
        trained = tasks[: self.num_trained_before_failure] if self.told else tasks
        for task in trained:
            for rank in range(2):
                files.write_json(f"{_results_uri(task)}/worker-{rank:05d}.json", {"rank": rank})
        if not self.told:
            return
        said, task = self.told.pop(0), tasks[len(trained)]
        if said is not None:
            with (
                suppress(type(said[1])),
                _failures(task, attempt).recorded(said[0], HorovodInternalError),
            ):
                raise said[1]
        raise RuntimeError("Horovod detected that one or more processes exited\nwith 1")


def run(monkeypatch, task, workers: Workers, max_restarts: int = 2, may_fail=(), **others):
    waited: list[int] = []
    monkeypatch.setattr("ncf_spark.training.distributed.horovod.spark.run", workers.run)
    found = run_workers(
        {"model": task, **others},
        lambda: waited.append(workers.attempts),
        may_fail=may_fail,
        num_workers=2,
        device="cpu",
        threads_per_worker=1,
        pin_workers=False,
        start_timeout_s=1,
        network_interfaces=[],
        max_restarts=max_restarts,
        python="./environment/bin/python",
    )
    return found, waited


LOST = (1, HorovodInternalError("Horovod has been shut down"))


def test_lost_workers_are_started_again_when_there_is_room(monkeypatch, task, caplog):
    workers = Workers(LOST, None)
    with caplog.at_level(logging.WARNING, logger="ncf_spark"):
        _, waited = run(monkeypatch, task, workers)
    assert (workers.attempts, waited) == (3, [1, 2])
    assert [record.getMessage() for record in caplog.records] == [
        "train: the workers failed (worker 0 is lost; worker 1: HorovodInternalError: "
        "Horovod has been shut down); restart 1 of 2",
        "train: the workers failed (Horovod detected that one or more processes exited); "
        "restart 2 of 2",
    ]
    assert not files.exists(f"{task.model_uri}/failures")
    assert not files.exists(_results_uri(task))


def test_all_models_are_trained_in_one_start_and_restarts_skip_those_that_are_finished(
    monkeypatch, task
):
    workers = Workers(LOST, num_trained_before_failure=1)
    other = replace(task, model_uri=f"{task.model_uri}/compared/mf")
    found, _ = run(monkeypatch, task, workers, mf=other)
    assert workers.asked == [["model", "mf"], ["mf"]]
    assert found == ({name: [{"rank": 0}, {"rank": 1}] for name in ("model", "mf")}, {})


def test_a_compared_model_that_fails_for_good_is_left_out_and_the_others_are_trained(
    monkeypatch, task, caplog
):
    workers = Workers((0, FloatingPointError("the loss is nan.")), num_trained_before_failure=1)
    other, last = (
        replace(task, model_uri=f"{task.model_uri}/compared/{name}") for name in ("mf", "gmf")
    )
    compared = {"mf": other, "gmf": last}
    found, waited = run(monkeypatch, task, workers, 0, may_fail=["mf", "gmf"], **compared)
    assert workers.asked == [["model", "mf", "gmf"], ["gmf"]]
    assert waited == [1]
    assert list(found[0]) == ["model", "gmf"]
    assert found[1] == {"mf": "mf: the loss is nan."}
    said = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert said == ["train: mf failed and is skipped: mf: the loss is nan."]
    workers = Workers((0, FloatingPointError("the loss is nan.")), num_trained_before_failure=1)
    with pytest.raises(ConfigError, match=r"^mf: the loss is nan\."):
        run(monkeypatch, task, workers, 0, may_fail=["gmf"], **compared)


def test_workers_that_are_lost_too_often_end_the_training(monkeypatch, task):
    workers = Workers(*[LOST] * 3)
    with pytest.raises(
        WorkerError, match=r"worker 0 is lost; .*, after 2 restarts\. .*max_restarts"
    ):
        run(monkeypatch, task, workers)
    assert workers.attempts == 3


@pytest.mark.parametrize(
    ("told", "raised"),
    [
        (ConfigError("training.device is cuda."), ConfigError),
        (DataError("train: cannot be read."), DataError),
        (TypeError("an int"), WorkerError),
    ],
)
def test_what_would_come_again_is_not_started_again(monkeypatch, task, told, raised):
    workers = Workers((0, told))
    with pytest.raises(raised, match=f"^model: .*{told}"):
        run(monkeypatch, task, workers)
    assert workers.attempts == 1


def test_a_training_of_other_settings_is_said_to_start_afresh(monkeypatch, task, caplog):
    alone(replace(task, checkpoint_epochs=1))
    with caplog.at_level(logging.INFO, logger="ncf_spark"):
        run(monkeypatch, task, Workers())
        run(monkeypatch, replace(task, patience=3), Workers())
    messages = [r.getMessage() for r in caplog.records if "checkpoint" in r.getMessage()]
    assert messages[0] == "train: model: resumes from checkpoint 000003 (num_workers was 1, is 2)"
    assert (
        "000003 was written with other settings or tables and is ignored (patience was None"
        in messages[1]
    )
    assert messages[-1] == "train: model: no other checkpoint; training starts from the beginning"
