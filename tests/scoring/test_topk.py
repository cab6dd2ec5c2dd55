import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ncf_spark.scoring.topk import GROUP, positions_in_row, top_k

NAN, MINUS = float("nan"), -float("inf")


def listed(scores, k: int, hidden=()) -> list[tuple[int, int, float]]:
    """(row, item, score) of `top_k`."""
    rows, items = (np.array([pair[i] for pair in hidden], np.int64) for i in (0, 1))
    found = top_k(torch.tensor(scores), k, (rows, items))
    return list(zip(*(column.tolist() for column in found), strict=True))


def best(scores, k: int, hidden) -> list[tuple[int, int, float]]:
    """The same by sorting everything."""
    return [
        (row, item, -negated)
        for row, line in enumerate(scores)
        for negated, item in sorted(
            (-score, item)
            for item, score in enumerate(line)
            if (row, item) not in hidden and score > MINUS
        )[:k]
    ]


@st.composite
def tables(draw) -> list[list[float]]:
    """Scores of up to 6 rows, most of which tie; with and without groups of items."""
    num_items = draw(st.integers(1, 12) | st.integers(4 * GROUP, 10 * GROUP))
    values = st.sampled_from([-1.0, 0.0, 0.5, 2.0, NAN, MINUS])
    line = st.lists(values, min_size=num_items, max_size=num_items)
    return draw(st.lists(line, min_size=1, max_size=6))


@given(tables(), st.integers(1, 14), st.sets(st.tuples(st.integers(0, 5), st.integers(0, 11))))
@settings(max_examples=300)
def test_the_best_k_come_in_order_whatever_ties_and_is_hidden(scores, k, hidden):
    hidden = {(r, i) for r, i in hidden if r < len(scores) and i < len(scores[0])}
    assert listed(scores, k, sorted(hidden)) == best(scores, k, hidden)


def test_of_equal_scores_the_lower_item_comes_first():
    scores = [[1.0, 3.0, 1.0, 3.0, 1.0], [0.0, 0.0, 0.0, 0.0, 9.0]]
    assert listed(scores, 3) == [
        (0, 1, 3.0),
        (0, 3, 3.0),
        (0, 0, 1.0),
        (1, 4, 9.0),
        (1, 0, 0.0),
        (1, 1, 0.0),
    ]


def test_hidden_items_and_nan_are_left_out_and_a_row_may_have_fewer_than_k():
    assert listed([[1.0, 3.0, 2.0]], 2, [(0, 1)]) == [(0, 2, 2.0), (0, 0, 1.0)]
    assert listed([[1.0, 3.0], [NAN, NAN], [NAN, 2.0]], 5, [(0, 0)]) == [(0, 1, 3.0), (2, 1, 2.0)]
    assert listed([[1.0, 2.0]], 5, [(0, 0), (0, 1)]) == []


def test_positions_count_within_each_run():
    assert positions_in_row(np.array([0, 0, 2, 2, 2, 7])).tolist() == [1, 2, 1, 2, 3, 1]
    assert positions_in_row(np.empty(0, np.int64)).tolist() == []
