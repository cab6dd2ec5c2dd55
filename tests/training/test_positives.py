import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ncf_spark.training.positives import PositiveSet, mark_bits

NUM_USERS, NUM_ITEMS = 4, 6
pair_sets = st.sets(
    st.tuples(st.integers(0, NUM_USERS - 1), st.integers(0, NUM_ITEMS - 1)), max_size=24
)


def positive_set(pairs: set[tuple[int, int]], num_items: int = NUM_ITEMS) -> PositiveSet:
    users, items = torch.tensor(sorted(pairs), dtype=torch.int32).reshape(-1, 2).T
    # In two parts, not in the order of the keys.
    half = len(pairs) // 2
    parts = [(users[half:], items[half:]), (users[:half], items[:half])]
    return PositiveSet(parts, len(pairs), num_items, users.device)


@given(pair_sets)
def test_it_contains_exactly_the_positives(pairs):
    every = [(user, item) for user in range(NUM_USERS) for item in range(NUM_ITEMS)]
    found = positive_set(pairs).among(*torch.tensor(every).T)
    assert [every[position] for position in found.tolist()] == sorted(pairs)


def test_large_numbers_of_users_and_items():
    generator = torch.Generator().manual_seed(1)
    num_users, num_items = 5_000_000, 1_000_000
    users = torch.randint(num_users, (20_000,), generator=generator)
    items = torch.randint(num_items, (20_000,), generator=generator)
    pairs = set(zip(users.tolist(), items.tolist(), strict=True))
    among = positive_set(pairs, num_items).among
    assert among(users, items).tolist() == list(range(20_000))
    others = (items + 1) % num_items
    every = enumerate(zip(users.tolist(), others.tolist(), strict=True))
    assert among(users, others).tolist() == [place for place, pair in every if pair in pairs]


def test_the_marks_clear_most_other_pairs():
    """Whatever the pattern of the ids: here every second item of the first hundred users."""
    pairs = {(user, item) for user in range(100) for item in range(0, 1_000, 2)}
    known = positive_set(pairs, 1_000)
    users, items = torch.cartesian_prod(torch.arange(100), torch.arange(1, 1_000, 2)).T
    marked = known._marks[known._hashed(users * 1_000 + items)].double().mean().item()
    assert marked < 0.15


def test_nothing_is_contained_in_an_empty_set():
    assert positive_set(set()).among(torch.tensor([0, 3]), torch.tensor([0, 5])).tolist() == []


@pytest.mark.parametrize(("positives", "bits"), [(0, 1), (1, 3), (2, 4), (3, 5), (10**6, 23)])
def test_there_are_8_to_16_marks_for_each_positive(positives, bits):
    assert mark_bits(positives) == bits
