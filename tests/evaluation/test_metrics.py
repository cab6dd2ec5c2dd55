import math

import numpy as np
import pytest

from ncf_spark.evaluation.metrics import hr, ndcg, rank_histogram

# Four lists, whose items have the ranks 1, 3, 3 and 12.
COUNTS = np.array([0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1])


def test_a_histogram_counts_ranks_and_puts_those_above_max_k_together():
    found = rank_histogram(np.array([3, 12, 1, 3]), max_k=10)
    assert found.tolist() == COUNTS.tolist()
    assert rank_histogram(np.array([10, 11, 12, 99]), max_k=10).tolist() == [0] * 10 + [1, 3]


def test_a_histogram_of_nothing_has_its_full_length():
    assert rank_histogram(np.empty(0, np.int64), max_k=2).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("k", "value"), [(1, 0.25), (2, 0.25), (3, 0.75), (10, 0.75)])
def test_hr_is_the_share_of_lists_with_the_item_among_the_first_k(k, value):
    assert hr(COUNTS, k) == value


@pytest.mark.parametrize(("k", "value"), [(1, 0.25), (2, 0.25), (3, 0.5), (10, 0.5)])
def test_ndcg_gives_each_hit_the_inverse_logarithm_of_its_rank(k, value):
    # (1 / log2 2 + 2 / log2 4) / 4
    assert ndcg(COUNTS, k) == pytest.approx(value)


def test_ndcg_of_rank_two_is_one_by_the_logarithm_of_three():
    assert ndcg(np.array([0, 0, 1, 0]), 2) == pytest.approx(0.630930, abs=1e-6)


def test_without_lists_there_is_no_figure():
    assert math.isnan(hr(np.zeros(4), 2))
    assert math.isnan(ndcg(np.zeros(4), 2))
