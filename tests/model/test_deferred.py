import sys
from types import ModuleType

import pytest
import torch

from ncf_spark.model import deferred
from ncf_spark.model.recommender import Recommender, initialise_shared, initialise_users
from tests.model.architectures import build_architecture

GMF_16 = build_architecture("gmf", num_items=1000, factors=16)
NEUMF = build_architecture(
    "neumf", num_items=6, factors=3, tower=(8, 5, 2), embedding_init="glorot_uniform"
)
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


@pytest.fixture(params=["meta", "torchdistx"])
def backend(request, monkeypatch):
    if request.param == "torchdistx" and not deferred.has_torchdistx():
        pytest.skip("torchdistx is not installed")
    monkeypatch.setattr(deferred, "has_torchdistx", lambda: request.param == "torchdistx")


@pytest.mark.usefixtures("backend")
def test_a_described_module_takes_no_memory():
    # 64 TB, were it allocated.
    described = deferred.describe(lambda: Recommender(GMF_16, 10**12))
    assert described.user_vectors.shape == (10**12, 16)
    # (output 16 + bias 1 + items 1000 · 16 + users 10¹² · 16) · 4 bytes
    assert deferred.parameter_bytes(described) == 64_000_000_064_068


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.usefixtures("backend")
def test_a_materialised_module_has_its_shapes_on_its_device(device):
    described = deferred.describe(lambda: Recommender(NEUMF, 4))
    module = deferred.materialise(described, torch.device(device))
    assert {name: tuple(p.shape) for name, p in module.named_parameters()} == {
        "bias": (),
        "item_vectors": (6, 7),
        "user_vectors": (4, 7),
        "head.gmf.output": (3,),
        "head.mlp.output": (2,),
        "head.mlp.first.weight": (5, 8),
        "head.mlp.first.bias": (5,),
        "head.mlp.layers.0.weight": (2, 5),
        "head.mlp.layers.0.bias": (2,),
    }
    for parameter in module.parameters():
        assert parameter.device.type == device
        assert parameter.requires_grad
        parameter.data.fill_(1.0)


@pytest.mark.usefixtures("backend")
def test_a_deferred_model_is_initialised_to_the_same_values_as_an_allocated_one():
    described = deferred.describe(lambda: Recommender(NEUMF, 4))
    module = deferred.materialise(described, torch.device("cpu"))
    allocated = Recommender(NEUMF, 4)
    for model in (module, allocated):
        initialise_shared(model, NEUMF, seed=8)
        initialise_users(model, NEUMF, [(0, 3), (1, 1)], 4, seed=8)
    assert all(
        torch.equal(a, b) for a, b in zip(module.parameters(), allocated.parameters(), strict=True)
    )


@pytest.mark.usefixtures("backend")
def test_torch_draws_the_same_numbers_afterwards_as_without_a_description():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    deferred.materialise(deferred.describe(lambda: Recommender(NEUMF, 4)), torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)


def test_what_torchdistx_draws_in_its_replay_is_drawn_from_other_numbers(monkeypatch):
    module = ModuleType("torchdistx.deferred_init")
    module.materialize_module = torch.nn.Linear.reset_parameters
    monkeypatch.setitem(sys.modules, "torchdistx.deferred_init", module)
    monkeypatch.setattr(deferred, "has_torchdistx", lambda: True)
    layer = torch.nn.Linear(3, 2)
    first, before = layer.weight.clone(), torch.get_rng_state()
    deferred.materialise(layer, torch.device("cpu"))
    assert not torch.equal(layer.weight, first)
    assert torch.equal(torch.get_rng_state(), before)


def test_parameter_bytes_counts_each_parameter_by_its_type():
    module = torch.nn.Linear(3, 2)  # 6 weights and 2 biases
    assert deferred.parameter_bytes(module) == 32
    assert deferred.parameter_bytes(module.half()) == 16
