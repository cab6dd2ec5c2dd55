from collections.abc import Iterable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ncf_spark.training.positives import PositiveSet
from ncf_spark.training.sampler import FixedNegatives, NegativeSampler, Sampler

NUM_ITEMS = 6
EQUAL = [1.0] * NUM_ITEMS


def sampler(
    probabilities: list[float],
    pairs: Iterable[tuple[int, int]] = (),
    *,
    num_negatives: int = 1,
    max_retries: int | None = 20,
    seed: int = 1,
) -> NegativeSampler:
    pairs = list(pairs)
    users, items = (torch.tensor([p[i] for p in pairs], dtype=torch.int32) for i in (0, 1))
    positives = PositiveSet([(users, items)], len(pairs), 4, NUM_ITEMS, users.device)
    generator = torch.Generator().manual_seed(seed)
    weights = torch.tensor(probabilities, dtype=torch.float64)
    rejected = None if max_retries is None else positives
    return NegativeSampler(weights, rejected, num_negatives, max_retries or 0, generator)


def draw(source: Sampler, users: Tensor) -> tuple[Tensor, list[int]]:
    """Negatives (P, N) of positives in the order of `users`, and which are unresolved."""
    return draw_at(source, users, torch.arange(len(users)))


def draw_at(source: Sampler, users: Tensor, positions: Tensor) -> tuple[Tensor, list[int]]:
    """The same of positives at some positions; the unresolved by their flat positions."""
    items, unresolved = source.draw(users, positions)
    if unresolved is None:
        return items.T, []
    assert unresolved.shape == items.shape
    return items.T, unresolved.T.flatten().nonzero().squeeze(1).tolist()


def frequencies(items: Tensor) -> list[float]:
    return (torch.bincount(items.flatten(), minlength=NUM_ITEMS) / items.numel()).tolist()


pair_sets = st.sets(st.tuples(st.integers(0, 3), st.integers(0, NUM_ITEMS - 1)))


@given(pair_sets, st.integers(0, 3), st.integers(0, 2**31))
@settings(max_examples=200)
def test_no_negative_is_a_positive_unless_it_is_reported(pairs, max_retries, seed):
    users = torch.tensor([0, 1, 2, 3, 3])
    found = draw(sampler(EQUAL, pairs, num_negatives=4, max_retries=max_retries, seed=seed), users)
    items, unresolved = found[0].flatten().tolist(), found[1]
    drawn = list(zip(users.repeat_interleave(4).tolist(), items, strict=True))
    assert set(items) <= set(range(NUM_ITEMS))
    assert unresolved == [position for position, pair in enumerate(drawn) if pair in pairs]


def test_items_are_drawn_by_their_probabilities():
    weights = [1.0, 0.0, 4.0, 2.0, 3.0, 0.0]  # of 10, not normalised
    items, unresolved = draw(sampler(weights, num_negatives=5), torch.zeros(20_000).long())
    # Of 100,000 draws, 5 standard deviations are at most 0.008.
    assert frequencies(items) == pytest.approx([0.1, 0.0, 0.4, 0.2, 0.3, 0.0], abs=0.008)
    assert unresolved == []


def test_a_rejected_item_leaves_the_others_in_proportion():
    weights = [1.0, 0.0, 4.0, 2.0, 3.0, 0.0]
    items, _ = draw(sampler(weights, [(0, 2)], num_negatives=5), torch.zeros(20_000).long())
    assert frequencies(items) == pytest.approx([1 / 6, 0, 0, 2 / 6, 3 / 6, 0], abs=0.008)


@pytest.mark.parametrize("weights", [[0, 0, 1, 1, 0, 0], [0, 0, 0, 1e-9, 0, 0]])
def test_an_item_without_probability_is_never_drawn(weights):
    items, _ = draw(sampler(weights, num_negatives=4), torch.zeros(5_000).long())
    assert {i for i, weight in enumerate(weights) if weight} == set(items.flatten().tolist())


def test_a_user_who_has_everything_is_reported():
    has_all = [(1, item) for item in range(NUM_ITEMS)]
    items, unresolved = draw(sampler(EQUAL, has_all, num_negatives=2), torch.tensor([0, 1, 0]))
    assert items.shape == (3, 2)
    assert unresolved == [2, 3]


def test_an_empty_step_draws_nothing():
    items, unresolved = draw(sampler(EQUAL, [(0, 1)], num_negatives=3), torch.empty(0).long())
    assert items.shape == (0, 3)
    assert unresolved == []


def test_the_same_seed_draws_the_same_and_another_step_draws_anew():
    users = torch.arange(4).repeat(50)
    first, again, other = (sampler(EQUAL, num_negatives=3, seed=seed) for seed in (5, 5, 6))
    drawn = draw(first, users)[0]
    assert torch.equal(drawn, draw(again, users)[0])
    assert not torch.equal(drawn, draw(first, users)[0])
    assert not torch.equal(drawn, draw(other, users)[0])


def test_without_retries_to_make_a_positive_may_be_drawn_and_is_learnt_from():
    has_half = [(0, 0), (0, 1), (0, 2)]
    users = torch.zeros(20_000).long()
    items, unresolved = draw(sampler(EQUAL, has_half, num_negatives=5, max_retries=None), users)
    assert frequencies(items) == pytest.approx([1 / 6] * 6, abs=0.008)
    assert unresolved == []


def test_no_retries_is_not_zero_retries():
    users = torch.zeros(200).long()
    items, unresolved = draw(sampler(EQUAL, [(0, 1)], max_retries=0), users)
    assert unresolved == (items[:, 0] == 1).nonzero()[:, 0].tolist()
    assert unresolved


def test_no_item_to_draw_is_an_error():
    with pytest.raises(
        ValueError, match="no item has a probability above 0 of being drawn as a negative"
    ):
        sampler([0.0] * NUM_ITEMS)


# --- negatives that are drawn once --------------------------------------------------------------


def test_a_positive_meets_the_same_negatives_whatever_the_batch():
    users = torch.arange(4).repeat(25)
    fixed = FixedNegatives(sampler(EQUAL, num_negatives=3), users)
    whole = torch.arange(100)
    drawn, unresolved = draw_at(fixed, users, whole)
    assert drawn.shape == (100, 3)
    assert unresolved == []
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):  # epochs
        for batch in torch.randperm(100, generator=generator).split(7):
            assert torch.equal(draw_at(fixed, users[batch], batch)[0], drawn[batch])


def test_kept_negatives_are_those_that_the_source_draws():
    users = torch.tensor([2, 0, 1])
    expected, _ = draw(sampler(EQUAL, num_negatives=4, seed=3), users)
    fixed = FixedNegatives(sampler(EQUAL, num_negatives=4, seed=3), users)
    assert torch.equal(draw(fixed, users)[0], expected)


def test_two_positives_of_a_user_have_negatives_of_their_own():
    users = torch.zeros(50).long()
    items, _ = draw(FixedNegatives(sampler(EQUAL, num_negatives=8), users), users)
    assert len({tuple(row) for row in items.tolist()}) > 40


def test_a_kept_negative_that_is_a_positive_stays_marked_in_every_batch():
    has_all = [(1, item) for item in range(NUM_ITEMS)]
    users = torch.tensor([0, 1, 0, 1])
    fixed = FixedNegatives(sampler(EQUAL, has_all, num_negatives=2), users)
    # Flat positions within the batch's own (P, 2): its rows of user 1.
    for batch, marked in ([0, 1, 2, 3], [2, 3, 6, 7]), ([3, 0], [0, 1]), ([2], []), ([1], [0, 1]):
        _, unresolved = draw_at(fixed, users[batch], torch.tensor(batch))
        assert unresolved == marked


def test_more_positives_than_are_drawn_at_once_are_kept_in_order():
    # 2¹⁶ are drawn at once; user 0 has all items but 4, user 1 all but 5.
    pairs = [(user, item) for user in (0, 1) for item in range(NUM_ITEMS) if item != 4 + user]
    users = torch.arange(2**16 + 10) % 2
    fixed = FixedNegatives(sampler(EQUAL, pairs, max_retries=200), users)
    items, unresolved = draw(fixed, users)
    assert unresolved == []
    assert torch.equal(items[:, 0], 4 + users)


def test_a_worker_without_positives_keeps_nothing():
    nobody = torch.empty(0).long()
    items, unresolved = draw(FixedNegatives(sampler(EQUAL, num_negatives=3), nobody), nobody)
    assert items.shape == (0, 3)
    assert unresolved == []
