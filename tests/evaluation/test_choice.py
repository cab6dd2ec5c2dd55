import pytest

from ncf_spark.evaluation.choice import Candidate, choose

NEUMF = Candidate("neumf", 0.20, 0.19, 0.21)
ALS = Candidate("als", 0.22, 0.205, 0.23)
ITEM_ITEM = Candidate("item_item", 0.26, 0.25, 0.27)
BEST = Candidate("best", 0.28, 0.26, 0.3)
WIDE = Candidate("mf", 0.30, 0.20, 0.40)
BARE = Candidate("gmf", None)


@pytest.mark.parametrize(
    ("candidates", "incumbent", "expected", "reason"),
    [
        # The first night: the best by value, whatever the intervals say.
        ([NEUMF, ALS], None, "als", "highest ndcg@10, 0.2200 .*; nothing was published before"),
        ([NEUMF, ALS, WIDE], None, "mf", "nothing was published before"),
        # Overlapping intervals: the incumbent stays.
        ([NEUMF, ALS], "neumf", "neumf", "neumf stays, .*the interval of als.* does not lie above"),
        ([NEUMF, WIDE], "neumf", "neumf", "neumf stays"),
        # Beyond doubt: it is replaced, even by one whose value is not the highest.
        ([NEUMF, ITEM_ITEM], "neumf", "item_item", r"the interval of item_item, .* \(0.2500 to"),
        ([NEUMF, WIDE, ITEM_ITEM], "neumf", "item_item", "above that of neumf"),
        ([ITEM_ITEM, NEUMF], "item_item", "item_item", "and was published before"),
        ([NEUMF, ITEM_ITEM, BEST], "neumf", "best", "of best, .* lies above that of neumf"),
        # An incumbent that is judged no more.
        ([NEUMF, ALS], "mf_64", "als", "mf_64, published before, is no candidate"),
        # No figure is never better than one, nor is it beaten without intervals.
        ([BARE, NEUMF], None, "neumf", "nothing was published before"),
        ([BARE, NEUMF], "gmf", "gmf", "gmf stays, no value"),
        ([BARE, NEUMF], "neumf", "neumf", "and was published before"),
    ],
)
def test_the_champion(candidates, incumbent, expected, reason):
    choice = choose("ndcg@10", candidates, incumbent)
    assert (choice.champion, choice.incumbent) == (expected, incumbent)
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(choice.reason)


def test_intervals_that_touch_change_nothing():
    low = Candidate("a", 0.1, 0.05, 0.15)
    touching = Candidate("b", 0.2, 0.15, 0.25)
    above = Candidate("b", 0.2, 0.1500001, 0.25)
    assert choose("hr@5", [low, touching], "a").champion == "a"
    assert choose("hr@5", [low, above], "a").champion == "b"


@pytest.mark.parametrize("incumbent", [None, "gone"])
def test_of_equal_ones_the_first_is_chosen(incumbent):
    twins = [Candidate("b", 0.2, 0.1, 0.3), Candidate("a", 0.2, 0.1, 0.3)]
    assert choose("hr@5", twins, incumbent).champion == "b"
    assert choose("hr@5", twins[::-1], incumbent).champion == "a"
