import pytest
import torch

from ncf_spark.evaluation.ranking import full_ranks, pad, sampled_ranks

NAN = float("nan")
NOTHING = (torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))


def rank_among(
    positive: float, rivals: list[float], items: list[int], positive_item: int = 9
) -> int:
    ranks = sampled_ranks(
        torch.tensor([positive]),
        torch.tensor([rivals]),
        torch.tensor([positive_item]),
        torch.tensor([items]),
    )
    assert ranks.dtype == torch.int64
    return ranks.item()


def test_a_rank_is_one_more_than_the_rivals_above():
    assert rank_among(2.0, [3.0, 1.0, 5.0, -2.0], [1, 2, 3, 4]) == 3
    assert rank_among(2.0, [1.0, 0.0], [1, 2]) == 1
    assert rank_among(2.0, [3.0, 4.0], [1, 2]) == 3


def test_the_held_out_item_is_last_among_ties():
    assert rank_among(2.0, [2.0, 1.0, 2.0], [1, 2, 3]) == 3


def test_a_rival_that_is_the_held_out_item_ties_whatever_its_score():
    assert rank_among(2.0, [1.999, 1.0], [9, 2]) == 2
    assert rank_among(2.0, [1.999, 1.0], [8, 2]) == 1


def test_padding_does_not_count():
    assert rank_among(2.0, [3.0, 9.0, 2.0], [1, -1, -1]) == 2
    assert rank_among(2.0, [9.0], [-1]) == 1


def test_rows_are_ranked_each_by_themselves():
    ranks = sampled_ranks(
        torch.tensor([1.0, 5.0]),
        torch.tensor([[2.0, 3.0], [2.0, 3.0]]),
        torch.tensor([0, 0]),
        torch.tensor([[1, 2], [1, 2]]),
    )
    assert ranks.tolist() == [3, 1]


@pytest.mark.parametrize(("positive", "rivals"), [(NAN, [1.0, 2.0]), (1.0, [NAN, NAN])])
def test_a_model_that_diverged_does_not_rank_first(positive, rivals):
    assert rank_among(positive, rivals, [1, 2]) == 3


def full_rank(scores: list[float], positive: int, seen: list[int]) -> int:
    rows = torch.zeros(len(seen), dtype=torch.int64)
    pairs = (rows, torch.tensor(seen, dtype=torch.int64))
    return full_ranks(torch.tensor([scores]), torch.tensor([positive]), pairs).item()


def test_all_items_are_rivals_but_those_seen():
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


def test_what_one_user_has_seen_is_a_rival_for_another():
    seen = (torch.tensor([0]), torch.tensor([0]))
    ranks = full_ranks(torch.tensor([[5.0, 1.0], [5.0, 1.0]]), torch.tensor([1, 1]), seen)
    assert ranks.tolist() == [1, 2]


def test_a_model_that_diverged_does_not_rank_first_among_all():
    assert full_rank([NAN] * 5, 2, []) == 5
    assert full_rank([NAN] * 5, 2, [0, 4]) == 3
    assert full_rank([NAN, 1.0, NAN], 1, []) == 3


def test_no_rows_have_no_ranks():
    no_items = torch.empty(0, dtype=torch.int64)
    assert full_ranks(torch.empty(0, 4), no_items, NOTHING).tolist() == []
    assert (
        sampled_ranks(torch.empty(0), torch.empty(0, 3), no_items, torch.empty(0, 3)).tolist() == []
    )


def test_lists_are_filled_up_with_minus_one():
    padded = pad(torch.tensor([4, 9, 4, 7, 8]), torch.tensor([0, 2, 2, 5]))
    assert padded.tolist() == [[4, 9, -1], [-1, -1, -1], [4, 7, 8]]


def test_no_lists_or_only_empty_ones_have_no_width():
    nothing = torch.empty(0, dtype=torch.int64)
    assert pad(nothing, torch.tensor([0])).shape == (0, 0)
    assert pad(nothing, torch.tensor([0, 0, 0])).shape == (2, 0)
