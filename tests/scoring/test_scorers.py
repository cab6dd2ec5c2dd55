import numpy as np
import pytest
import torch

from ncf_spark.scoring.scorers import DotScorer, ItemItemScorer, PopularityScorer, UserBlock

NO_VECTORS = np.empty((4, 0))


def of(vectors, seen=()) -> UserBlock:
    """Users with these vectors, who have seen (row, item) pairs."""
    rows, items = (np.array([pair[i] for pair in seen], np.int64) for i in (0, 1))
    return UserBlock(np.asarray(vectors, np.float32), (rows, items))


def test_popularity_scores_every_user_the_same_on_rows_of_their_own():
    scorer = PopularityScorer(torch.tensor([3.0, 0.0, 7.0]))
    scores = scorer(of(np.zeros((2, 5))))
    assert scores.tolist() == [[3.0, 0.0, 7.0]] * 2
    scores[0] = -torch.inf
    assert scores[1].tolist() == [3.0, 0.0, 7.0]
    assert scorer(of(np.zeros((1, 5)))).tolist() == [[3.0, 0.0, 7.0]]


def test_vectors_alone_score_by_their_product():
    scorer = DotScorer(torch.tensor([[1.0, 2.0], [0.0, -1.0], [0.0, 0.0]]))
    scores = scorer(of([[3.0, 1.0], [0.0, 2.0]]))
    assert scores.tolist() == [[5.0, -1.0, 0.0], [4.0, -2.0, 0.0]]


# (item, neighbour, similarity)
NEIGHBOURS = [(0, 1, 0.5), (0, 2, 0.25), (1, 0, 0.5), (2, 3, 0.75), (3, 0, 1.0), (3, 2, 0.125)]


def item_item(neighbours, num_items: int) -> ItemItemScorer:
    return ItemItemScorer(*map(np.array, zip(*neighbours, strict=True)), num_items)


def test_an_item_scores_by_those_of_its_own_neighbours_that_were_seen():
    users = of(NO_VECTORS, [(0, 1), (0, 2), (2, 0), (3, 4)])
    assert item_item(NEIGHBOURS, 5)(users).tolist() == [
        [0.75, 0.0, 0.0, 0.125, 0.0],  # 0.5 + 0.25 for item 0; nobody keeps item 1 but item 0
        [0.0] * 5,  # has seen nothing
        [0.0, 0.5, 0.0, 1.0, 0.0],
        [0.0] * 5,  # nobody is a neighbour of item 4
    ]


def test_item_item_is_a_product_of_matrices_and_gives_the_same_bits_in_any_order():
    choose = np.random.default_rng(6)
    dense = choose.random((23, 23)) * (choose.random((23, 23)) < 0.3)
    items, others = dense.nonzero()
    neighbours = list(zip(items, others, dense[items, others], strict=True))
    seen = [(row, int(item)) for row in range(4) for item in choose.permutation(23)[: 4 * row]]
    history = np.zeros((4, 23))
    history[tuple(np.array(seen).T)] = 1
    scores = item_item(neighbours, 23)(of(NO_VECTORS, seen))
    assert scores.numpy() == pytest.approx(history @ dense.T, abs=1e-12)
    assert (item_item(neighbours[::-1], 23)(of(NO_VECTORS, seen[::-1])) == scores).all()
