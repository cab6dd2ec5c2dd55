import pytest
import torch

from ncf_spark.model.tiles import add_tower


@pytest.mark.parametrize("slope", [0.0, 0.01])
@pytest.mark.parametrize("tile_bytes", [1, 600, 2**20])
def test_the_tower_is_that_of_torchs_own_layers(slope, tile_bytes):
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    users, items, output, before = random(5, 8), random(7, 8), random(3), random(5, 7)
    layers = [(random(6, 8), random(6)), (random(3, 6), random(3))]
    expected = torch.nn.functional.leaky_relu(users.unsqueeze(1) + items, slope)
    for weight, bias in layers:
        linear = torch.nn.functional.linear(expected, weight, bias)
        expected = torch.nn.functional.leaky_relu(linear, slope)
    logits = before.clone()
    add_tower(logits, users, items, layers, output, slope=slope, tile_bytes=tile_bytes)
    torch.testing.assert_close(logits, before + expected @ output, rtol=1e-12, atol=1e-12)
