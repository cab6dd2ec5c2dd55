import pytest
import torch

from ncf_spark.training.task import TrainingTask
from tests.training.tasks import write_task


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    # Small tensors: more threads than cores make a step many times slower.
    torch.set_num_threads(1)


@pytest.fixture
def task(tmp_path) -> TrainingTask:
    return write_task(tmp_path)
