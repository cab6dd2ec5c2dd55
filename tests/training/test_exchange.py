import pytest
import torch

from ncf_spark.training.exchange import start_exchange, use_sparse_exchange
from tests.training.simulated import InMemory, run_workers


@pytest.mark.parametrize("in_half", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_gradients_are_added_up_over_the_workers(sparse, in_half):
    """The second worker's gradients are twice the first one's; all are exact in float16."""

    def exchanged(worker: InMemory) -> list[list]:
        share = 1.0 + worker.worker_rank
        bias, items = (torch.nn.Parameter(torch.zeros(size)) for size in [(), (3, 2)])
        bias.grad = torch.tensor(share / 8)
        rows = share * torch.tensor([[0.25, -0.5], [1.0, 0.0], [0.5, 0.5]])
        indices = torch.tensor([[2, 0, 2]])
        items.grad = torch.sparse_coo_tensor(indices, rows, (3, 2), check_invariants=False)
        if not sparse:
            items.grad = items.grad.to_dense()
        start_exchange([bias, items], worker, in_half=in_half)()
        assert items.grad.is_sparse == sparse
        return [p.grad.to_dense().tolist() for p in (bias, items)]

    for bias, items in run_workers(2, exchanged):
        assert bias == 3 / 8
        assert items == [[3.0, 0.0], [0.0, 0.0], [2.25, 0.0]]


def test_rows_are_exchanged_where_samples_are_fewer_than_a_quarter_of_the_items():
    assert use_sparse_exchange(24, 100)
    assert not use_sparse_exchange(25, 100)
