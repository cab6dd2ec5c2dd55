import pytest
import torch
from ncf_spark.model.parts import add_gradient
from ncf_spark.training.gradients import Gradients

from ncf_spark.model.recommender import Recommender
from tests.model.architectures import build_architecture
from tests.training.simulated import InMemory, run_workers


@pytest.mark.parametrize("in_half", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_what_is_shared_is_added_up_over_the_workers_and_users_stay_with_theirs(sparse, in_half):
    """The second worker's gradients are twice the first one's; all are exact in float16."""

    def exchanged(worker: InMemory) -> list[list]:
        share = 1.0 + worker.worker_rank
        model = Recommender(build_architecture("gmf", num_items=3), num_users=2)
        gradients = Gradients(model, sparse_users=sparse, sparse_items=sparse, in_half=in_half)
        for _ in range(2):  # the second step is no sum of both
            gradients.clear()
            rows = torch.tensor([[0.25, -0.5], [1.0, 0.0], [0.5, 0.5]])
            gradients.add_items(torch.tensor([2, 0, 2]), share * rows)
            gradients.add_users(torch.tensor([1, 1, 0]), share * rows)
            add_gradient(model.bias, torch.tensor(share / 8))
            finish = gradients.start_exchange(worker)
            finish()
        return [p.grad.to_dense().tolist() for p in (model.bias, model.item_vectors)] + [
            model.user_vectors.grad.to_dense().tolist()
        ]

    for share, (bias, items, users) in enumerate(run_workers(2, exchanged), start=1):
        assert bias == 3 / 8
        assert items == [[3.0, 0.0], [0.0, 0.0], [2.25, 0.0]]
        assert users == [[share * 0.5, share * 0.5], [share * 1.25, share * -0.5]]
