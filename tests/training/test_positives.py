from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ncf_spark.training.positives import (
    PositiveSet,
    has_mark_for_every_pair,
    rejection_bytes,
)

NUM_USERS, NUM_ITEMS = 4, 6
CPU = torch.device("cpu")
pair_sets = st.sets(
    st.tuples(st.integers(0, NUM_USERS - 1), st.integers(0, NUM_ITEMS - 1)), max_size=24
)


def positive_set(
    pairs: set[tuple[int, int]], num_users: int = NUM_USERS, num_items: int = NUM_ITEMS
) -> PositiveSet:
    users, items = torch.tensor(sorted(pairs), dtype=torch.int32).reshape(-1, 2).T
    # In two parts, not in the order of the keys.
    half = len(pairs) // 2
    parts = [(users[half:], items[half:]), (users[:half], items[:half])]
    return PositiveSet(parts, len(pairs), num_users, num_items, CPU)


# With ten thousand users there are more pairs than marks.
@given(pair_sets, st.sampled_from([NUM_USERS, 10_000]))
def test_it_contains_exactly_the_positives(pairs, num_users):
    every = list(product(range(NUM_USERS), range(NUM_ITEMS)))
    found = positive_set(pairs, num_users).contains(*torch.tensor(every).T).tolist()
    assert [pair for pair, contained in zip(every, found, strict=True) if contained] == sorted(
        pairs
    )


def test_large_numbers_of_users_and_items():
    generator = torch.Generator().manual_seed(1)
    num_users, num_items = 5_000_000, 1_000_000
    users = torch.randint(num_users, (20_000,), generator=generator)
    items = torch.randint(num_items, (20_000,), generator=generator)
    pairs = set(zip(users.tolist(), items.tolist(), strict=True))
    contains = positive_set(pairs, num_users, num_items).contains
    assert contains(users, items).all()
    others = (items + 1) % num_items
    expected = [pair in pairs for pair in zip(users.tolist(), others.tolist(), strict=True)]
    assert contains(users, others).tolist() == expected


@pytest.mark.parametrize("num_users", [100, 100_000])
def test_every_pair_of_half_a_table(num_users):
    """Dense enough for a mark of each pair with 100 users, not with 100 thousand."""
    pairs = {(user, item) for user in range(100) for item in range(0, 1_000, 2)}
    known = positive_set(pairs, num_users, 1_000)
    users, items = torch.cartesian_prod(torch.arange(100), torch.arange(1_000)).T
    assert torch.equal(known.contains(users, items), items % 2 == 0)


@pytest.mark.parametrize("num_users", [4, 10_000])
def test_nothing_is_contained_in_an_empty_set(num_users):
    found = positive_set(set(), num_users).contains(torch.tensor([0, 3]), torch.tensor([0, 5]))
    assert found.tolist() == [False, False]


@pytest.mark.parametrize("num_users", [100, 100_000])
def test_the_bytes_of_a_set_are_known_before_it_is_made(num_users):
    pairs = {(user, item) for user in range(100) for item in range(0, 1_000, 2)}
    known = positive_set(pairs, num_users, 1_000)
    tensors = [t for t in (known._marks, known._keys) if t is not None]
    held = sum(t.numel() * t.element_size() for t in tensors)
    assert held == rejection_bytes(len(pairs), num_users, 1_000)
    assert (len(tensors) == 1) == has_mark_for_every_pair(len(pairs), num_users, 1_000)
