import pytest
import torch
from torch import Tensor, nn

from ncf_spark.model.tower import run_tower

PLAIN = {0.0: torch.relu, 0.01: nn.functional.leaky_relu}
NO_DROPOUT = [0.0, 0.0, 0.0]


class Weights(nn.Module):
    """Two further layers and the output over a first one of four units, in double."""

    def __init__(self, widths: tuple[int, int] = (3, 2)) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, widths[0]), nn.Linear(*widths)])
        self.output = nn.Parameter(torch.empty(widths[1]))
        self.double()
        generator = torch.Generator().manual_seed(3)
        for parameter in self.parameters():
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.data.copy_(values)
        self.gradients = {p: torch.zeros_like(p) for p in self.parameters()}

    def run(self, first: Tensor, slope: float, dropout: list[float]):
        """Logits, and the backward pass, which adds to `gradients`."""
        layers = [(layer.weight, layer.bias) for layer in self.layers]
        logits, backward = run_tower(first, layers, self.output, slope=slope, dropout=dropout)
        return logits, lambda grad: backward(grad, self.gradients)


def first_layer() -> Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


OF_LOGITS = torch.arange(6.0, dtype=torch.float64) - 2


# Layers of at most eight units are stored features × pairs.
@pytest.mark.parametrize("widths", [(3, 2), (12, 2), (12, 9), (3, 9)])
@pytest.mark.parametrize("slope", [0.0, 0.01])
def test_logits_and_gradients_are_those_of_torchs_layers(slope, widths):
    ours, plain = Weights(widths), Weights(widths)
    first = first_layer().requires_grad_()
    hidden = PLAIN[slope](first)
    for layer in plain.layers:
        hidden = PLAIN[slope](layer(hidden))
    expected = hidden @ plain.output
    expected.backward(OF_LOGITS)
    with torch.no_grad():
        logits, backward = ours.run(first_layer(), slope, NO_DROPOUT)
        of_first = backward(OF_LOGITS)
    torch.testing.assert_close(logits, expected.detach())
    torch.testing.assert_close(of_first, first.grad)
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.gradients[one], other.grad)
        assert other.grad.abs().max() > 0


@torch.no_grad()
def test_gradients_are_added_to_what_is_there():
    weights, once = Weights(), Weights()
    for each, times in (weights, 2), (once, 1):
        for _ in range(times):
            _, backward = each.run(first_layer(), 0.0, NO_DROPOUT)
            backward(OF_LOGITS)
    for one, two in zip(once.gradients.values(), weights.gradients.values(), strict=True):
        torch.testing.assert_close(two, 2 * one)


@torch.no_grad()
@pytest.mark.parametrize("slope", [0.0, 0.01])
def test_with_dropout_the_gradients_are_the_slopes_of_what_was_left(slope):
    dropout = [0.3, 0.5, 0.2]

    def run(first: Tensor, weights: Weights):
        torch.manual_seed(5)  # the same is left out each time
        return weights.run(first, slope, dropout)

    weights = Weights()
    _, backward = run(first_layer(), weights)
    of_first = backward(OF_LOGITS)
    step = 1e-6
    for tensor, found in [(first_layer(), of_first), *weights.gradients.items()]:
        for index in range(tensor.numel()):
            sums = []
            for sign in (1, -1):
                moved = tensor.clone()
                moved.view(-1)[index] += sign * step
                other = Weights()
                is_first = tensor.shape == (6, 4)
                if not is_first:
                    for mine, its in zip(other.parameters(), weights.parameters(), strict=True):
                        mine.copy_(moved if its is tensor else its)
                logits, _ = run(moved if is_first else first_layer(), other)
                sums.append(logits @ OF_LOGITS)
            slope_found = (sums[0] - sums[1]) / (2 * step)
            torch.testing.assert_close(found.view(-1)[index], slope_found, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(
        run(first_layer(), weights)[0], weights.run(first_layer(), slope, NO_DROPOUT)[0]
    )


@torch.no_grad()
def test_all_left_out_leaves_nothing():
    assert Weights().run(first_layer(), 0.0, [0.0, 0.0, 1.0])[0].tolist() == [0.0] * 6


@torch.no_grad()
def test_computed_in_bfloat16_the_gradients_stay_in_the_weights_own_type():
    exact, rough = Weights(), Weights()
    for weights, dtype in ((exact, torch.float64), (rough, torch.bfloat16)):
        logits, backward = weights.run(first_layer().to(dtype), 0.0, NO_DROPOUT)
        assert logits.dtype == dtype
        backward(OF_LOGITS)
    for one, other in zip(rough.gradients.values(), exact.gradients.values(), strict=True):
        assert one.dtype == torch.float64
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.3)
