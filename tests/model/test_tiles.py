import pytest
import torch

from ncf_spark.model.tiles import add_tower, tiles


def cells(num_rows: int, num_columns: int, pairs: int) -> list[tuple[int, int, int, int]]:
    """(first row, last row, first column, last column) of each tile."""
    slices = tiles(num_rows, num_columns, pairs)
    return [(r.start, min(r.stop, num_rows), c.start, c.stop) for r, c in slices]


def test_a_tile_is_whole_rows_or_a_part_of_one():
    assert cells(3, 4, 8) == [(0, 2, 0, 4), (2, 3, 0, 4)]
    assert cells(2, 5, 3) == [(0, 1, 0, 3), (0, 1, 3, 6), (1, 2, 0, 3), (1, 2, 3, 6)]
    assert [c[2:] for c in cells(1, 70, 40)] == [(0, 32), (32, 64), (64, 96)]
    assert cells(2, 1, 1) == [(0, 1, 0, 1), (1, 2, 0, 1)]
    assert cells(0, 4, 8) == cells(2, 0, 8) == []


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
