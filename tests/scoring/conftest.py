import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    # Small tensors: more threads than cores make a step many times slower.
    torch.set_num_threads(1)
