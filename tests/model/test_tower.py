import pytest
import torch
from torch import Tensor, nn

from ncf_spark.model.tower import Tower

PLAIN = {0.0: torch.relu, 0.01: nn.functional.leaky_relu}


def inputs() -> list[Tensor]:
    """Users (3, 1, 4), items (3, 2, 4), output (2,), then weights and biases of two layers."""
    generator = torch.Generator().manual_seed(3)
    shapes = [(3, 1, 4), (3, 2, 4), (2,), (3, 4), (3,), (2, 3), (2,)]
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in shapes
    ]


def tower(slope: float, dropout: list[float], given: list[Tensor]) -> Tensor:
    users, items, output, *layers = given
    logits: Tensor = Tower.apply(users, items, slope, dropout, output, *layers)
    return logits


@pytest.mark.parametrize("slope", [0.0, 0.01])
def test_logits_and_gradients_are_those_of_torchs_layers(slope):
    ours, plain = inputs(), inputs()
    users, items, output, *layers = plain
    hidden = PLAIN[slope](users + items)
    for weight, bias in zip(layers[::2], layers[1::2], strict=True):
        hidden = PLAIN[slope](nn.functional.linear(hidden, weight, bias))
    expected, found = hidden @ output, tower(slope, [0, 0, 0], ours)
    torch.testing.assert_close(found, expected)
    scale = torch.arange(6.0, dtype=torch.float64).view(3, 2) - 2
    (found * scale).sum().backward()
    (expected * scale).sum().backward()
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("slope", [0.0, 0.01])
def test_what_dropout_leaves_out_has_no_gradient_and_the_rest_has(slope):
    def left_out(*given: Tensor) -> Tensor:
        torch.manual_seed(5)  # the same is left out each time
        return tower(slope, [0.3, 0.5, 0.2], list(given))

    assert torch.autograd.gradcheck(left_out, inputs())
    assert not torch.allclose(left_out(*inputs()), tower(slope, [0, 0, 0], inputs()))


def test_all_left_out_leaves_nothing():
    assert tower(0.0, [0, 0, 1], inputs()).tolist() == [[0.0, 0.0]] * 3
