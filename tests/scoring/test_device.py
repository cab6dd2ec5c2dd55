from types import SimpleNamespace

import pytest
import torch
from pyspark import TaskContext

from ncf_spark.scoring.device import task_device


@pytest.fixture
def give_gpus(monkeypatch):
    """Makes this process a task with these GPUs, on a machine whose torch can use them or not."""

    def give(*addresses: str, usable: bool = True) -> None:
        gpus = {"gpu": SimpleNamespace(addresses=list(addresses))} if addresses else {}
        context = SimpleNamespace(resources=lambda: gpus)
        monkeypatch.setattr(TaskContext, "get", staticmethod(lambda: context))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)

    return give


def test_a_task_scores_on_the_gpu_that_spark_gave_it(give_gpus):
    give_gpus("3")
    assert task_device() == torch.device("cuda", 3)


def test_a_task_without_a_usable_gpu_scores_on_one_core(give_gpus, caplog):
    given = torch.get_num_threads()
    try:
        for addresses, usable in (((), True), (("3",), False)):
            torch.set_num_threads(2)
            give_gpus(*addresses, usable=usable)
            assert task_device() == torch.device("cpu")
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(given)
    assert caplog.messages == ["Spark gave this task a GPU that torch cannot use: the CPU scores"]


def test_outside_a_task_scores_are_computed_on_the_cpu():
    assert task_device() == torch.device("cpu")
