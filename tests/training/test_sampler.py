import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ncf_spark.training.sampler import NegativeSampler

NUM_ITEMS = 6


def sampler(probabilities: list[float], pairs=(), max_retries: int = 20, seed: int = 1):
    users, items = (torch.tensor([p[i] for p in pairs], dtype=torch.int64) for i in (0, 1))
    generator = torch.Generator().manual_seed(seed)
    weights = torch.tensor(probabilities, dtype=torch.float64)
    return NegativeSampler(weights, users, items, max_retries, generator)


def frequencies(items: Tensor) -> list[float]:
    return (torch.bincount(items.flatten(), minlength=NUM_ITEMS) / items.numel()).tolist()


pair_sets = st.sets(st.tuples(st.integers(0, 3), st.integers(0, NUM_ITEMS - 1)))


@given(pair_sets, st.integers(0, 3), st.integers(0, 2**31))
@settings(max_examples=200)
def test_no_negative_is_a_positive_unless_it_is_reported(pairs, max_retries, seed):
    users = torch.tensor([0, 1, 2, 3, 3])
    found = sampler([1.0] * NUM_ITEMS, pairs, max_retries, seed).draw(users, 4)
    items, unresolved = found[0].flatten().tolist(), found[1].tolist()
    drawn = list(zip(users.repeat_interleave(4).tolist(), items, strict=True))
    assert set(items) <= set(range(NUM_ITEMS))
    assert unresolved == [position for position, pair in enumerate(drawn) if pair in pairs]


@given(pair_sets)
def test_is_positive_knows_exactly_the_positives(pairs):
    every = [(user, item) for user in range(4) for item in range(NUM_ITEMS)]
    users, items = torch.tensor(every).T
    found = sampler([1.0] * NUM_ITEMS, pairs).is_positive(users, items)
    assert found.tolist() == [pair in pairs for pair in every]


def test_items_are_drawn_by_their_probabilities():
    weights = [1.0, 0.0, 4.0, 2.0, 3.0, 0.0]  # of 10, not normalised
    items, unresolved = sampler(weights).draw(torch.zeros(20_000, dtype=torch.int64), 5)
    # Of 100,000 draws, 5 standard deviations are at most 0.008.
    assert frequencies(items) == pytest.approx([0.1, 0.0, 0.4, 0.2, 0.3, 0.0], abs=0.008)
    assert not len(unresolved)


def test_a_rejected_item_leaves_the_others_in_proportion():
    weights = [1.0, 0.0, 4.0, 2.0, 3.0, 0.0]
    items, _ = sampler(weights, [(0, 2)]).draw(torch.zeros(20_000, dtype=torch.int64), 5)
    assert frequencies(items) == pytest.approx([1 / 6, 0, 0, 2 / 6, 3 / 6, 0], abs=0.008)


@pytest.mark.parametrize("weights", [[0, 0, 1, 1, 0, 0], [0, 0, 0, 1e-9, 0, 0]])
def test_an_item_without_probability_is_never_drawn(weights):
    items, _ = sampler(weights).draw(torch.zeros(5_000, dtype=torch.int64), 4)
    assert {i for i, weight in enumerate(weights) if weight} == set(items.flatten().tolist())


@pytest.mark.parametrize(("uniform", "item"), [(0.0, 1), (0.49, 1), (0.5, 3), (1 - 2**-53, 3)])
def test_the_ends_of_the_range_fall_on_items_with_probability(uniform, item, monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda n, **_: torch.full((n,), uniform, dtype=torch.double))
    items, _ = sampler([0.0, 1.0, 0.0, 1.0, 0.0, 0.0]).draw(torch.tensor([0]), 1)
    assert items.tolist() == [[item]]


def test_a_draw_above_the_rounded_sum_is_the_last_item_with_probability(monkeypatch):
    # Five times 0.3 over their sum add up to 1 - 2⁻⁵³.
    monkeypatch.setattr(
        torch, "rand", lambda n, **_: torch.full((n,), 1 - 2**-53, dtype=torch.double)
    )
    items, _ = sampler([0.3] * 5 + [0.0]).draw(torch.tensor([0]), 1)
    assert items.tolist() == [[4]]


def test_a_user_who_has_everything_is_reported():
    has_all = [(1, item) for item in range(NUM_ITEMS)]
    items, unresolved = sampler([1.0] * NUM_ITEMS, has_all).draw(torch.tensor([0, 1, 0]), 2)
    assert items.shape == (3, 2)
    assert sorted(unresolved.tolist()) == [2, 3]


def test_an_empty_step_draws_nothing():
    items, unresolved = sampler([1.0] * NUM_ITEMS, [(0, 1)]).draw(torch.empty(0).long(), 3)
    assert items.shape == (0, 3)
    assert unresolved.tolist() == []


def test_the_same_seed_draws_the_same_and_another_step_draws_anew():
    users = torch.arange(4).repeat(50)
    first, again = sampler([1.0] * NUM_ITEMS, seed=5), sampler([1.0] * NUM_ITEMS, seed=5)
    drawn = first.draw(users, 3)[0]
    assert torch.equal(drawn, again.draw(users, 3)[0])
    assert not torch.equal(drawn, first.draw(users, 3)[0])
    assert not torch.equal(drawn, sampler([1.0] * NUM_ITEMS, seed=6).draw(users, 3)[0])


def test_no_item_to_draw_is_an_error():
    with pytest.raises(ValueError, match="no item has a probability above 0"):
        sampler([0.0] * NUM_ITEMS)
