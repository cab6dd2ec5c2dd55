import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ncf_spark.training.alias import AliasTable

weight_lists = st.lists(
    st.one_of(st.just(0.0), st.floats(1e-9, 1e6)), min_size=1, max_size=40
).filter(lambda weights: sum(weights) > 0)


def chances(weights: list[float]) -> list[float]:
    """The chance of each item, read off the table: what each column gives to its two items."""
    table = AliasTable(torch.tensor(weights))
    thresholds, aliases = table._thresholds.tolist(), table._aliases.tolist()
    found = [0.0] * len(weights)
    for item, (threshold, alias) in enumerate(zip(thresholds, aliases, strict=True)):
        found[item] += threshold / len(weights)
        found[alias] += (1 - threshold) / len(weights)
    return found


@given(weight_lists)
def test_the_table_holds_the_distribution(weights):
    total = sum(torch.tensor(weights).double().tolist())
    expected = [float(torch.tensor(w)) / total for w in weights]
    assert chances(weights) == pytest.approx(expected, abs=1e-12, rel=1e-9)


@given(weight_lists)
def test_an_item_of_weight_0_has_no_chance_at_all(weights):
    for weight, chance in zip(weights, chances(weights), strict=True):
        assert (chance > 0) == (weight > 0)


@pytest.mark.parametrize("uniform", [0.0, 0.25, 0.5, 0.75, 1 - 2**-53])
def test_every_random_number_falls_on_an_item_with_weight(uniform, monkeypatch):
    table = AliasTable(torch.tensor([0.0, 1.0, 0.0, 2.0, 0.0]))
    monkeypatch.setattr(torch, "rand", lambda n, **_: torch.full((n,), uniform, dtype=torch.double))
    [item] = table.draw(1, torch.Generator()).tolist()
    assert item in (1, 3)


def test_draws_follow_the_weights():
    weights = [1.0, 0.0, 4.0, 2.0, 3.0]
    items = AliasTable(torch.tensor(weights)).draw(100_000, torch.Generator().manual_seed(1))
    # 5 standard deviations are at most 0.008.
    shares = (items.bincount(minlength=5) / 100_000).tolist()
    assert shares == pytest.approx([0.1, 0.0, 0.4, 0.2, 0.3], abs=0.008)


def test_no_draws():
    assert AliasTable(torch.ones(3)).draw(0, torch.Generator()).tolist() == []


@pytest.mark.parametrize("weights", [[], [0.0, 0.0]])
def test_nothing_to_draw_is_an_error(weights):
    with pytest.raises(ValueError, match="no item has a probability above 0"):
        AliasTable(torch.tensor(weights))
