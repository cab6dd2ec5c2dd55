import numpy as np
import pytest
import torch

from ncf_spark.evaluation.ranking import full_ranks, pad, sampled_ranks

NAN = float("nan")


def rank_among(
    positive: float, negatives: list[float], items: list[int], positive_item: int = 9
) -> int:
    """By NumPy and by torch."""
    given = ([positive], [negatives], [positive_item], [items])
    ranks = sampled_ranks(*map(np.array, given))
    of_torch = sampled_ranks(*map(torch.tensor, given))
    assert (ranks.dtype, of_torch.dtype) == (np.int64, torch.int64)
    assert ranks.tolist() == of_torch.tolist()
    return ranks.item()


def test_a_rank_is_one_more_than_the_negatives_above():
    assert rank_among(2.0, [3.0, 1.0, 5.0, -2.0], [1, 2, 3, 4]) == 3
    assert rank_among(2.0, [1.0, 0.0], [1, 2]) == 1
    assert rank_among(2.0, [3.0, 4.0], [1, 2]) == 3


def test_the_held_out_item_is_last_among_ties():
    assert rank_among(2.0, [2.0, 1.0, 2.0], [1, 2, 3]) == 3


def test_a_negative_that_is_the_held_out_item_ties_whatever_its_score():
    assert rank_among(2.0, [1.999, 1.0], [9, 2]) == 2
    assert rank_among(2.0, [1.999, 1.0], [8, 2]) == 1


def test_padding_does_not_count():
    assert rank_among(2.0, [3.0, 9.0, 2.0], [1, -1, -1]) == 2
    assert rank_among(2.0, [9.0], [-1]) == 1


@pytest.mark.parametrize(("positive", "negatives"), [(NAN, [1.0, 2.0]), (1.0, [NAN, NAN])])
def test_a_model_that_diverged_does_not_rank_first(positive, negatives):
    assert rank_among(positive, negatives, [1, 2]) == 3


def full_rank(scores: list[float], positive: int, seen: list[int]) -> int:
    pairs = (np.zeros(len(seen), np.int64), np.array(seen, np.int64))
    return full_ranks(np.array([scores]), np.array([positive]), pairs).item()


def test_all_items_are_negatives_but_those_seen():
    scores = [5.0, 4.0, 3.0, 2.0, 1.0]
    assert full_rank(scores, 3, []) == 4
    assert full_rank(scores, 3, [0, 2, 4]) == 2
    assert full_rank(scores, 3, [0, 1, 2]) == 1
    assert full_rank(scores, 4, []) == 5


def test_the_held_out_item_is_last_among_all_that_tie():
    assert full_rank([1.0] * 5, 2, []) == 5
    assert full_rank([1.0] * 5, 2, [0]) == 4


def test_a_held_out_item_that_is_also_seen_keeps_its_score():
    assert full_rank([5.0, 4.0, 3.0], 1, [1]) == 2


def test_what_one_user_has_seen_is_a_negative_for_another():
    seen = (np.array([0]), np.array([0]))
    ranks = full_ranks(np.array([[5.0, 1.0], [5.0, 1.0]]), np.array([1, 1]), seen)
    assert ranks.tolist() == [1, 2]


def test_a_model_that_diverged_does_not_rank_first_among_all():
    assert full_rank([NAN] * 5, 2, []) == 5
    assert full_rank([NAN] * 5, 2, [0, 4]) == 3
    assert full_rank([NAN, 1.0, NAN], 1, []) == 3


def test_no_rows_have_no_ranks():
    none = np.empty(0, np.int64)
    assert full_ranks(np.empty((0, 4)), none, (none, none)).tolist() == []
    assert sampled_ranks(np.empty(0), np.empty((0, 3)), none, np.empty((0, 3))).tolist() == []


def test_lists_are_filled_up_with_minus_one():
    padded = pad(np.array([4, 9, 4, 7, 8]), np.array([0, 2, 2, 5]))
    assert padded.tolist() == [[4, 9, -1], [-1, -1, -1], [4, 7, 8]]
