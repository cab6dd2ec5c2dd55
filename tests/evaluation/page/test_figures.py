import math

import pytest

from ncf_spark.evaluation.page.figures import (
    Estimates,
    better_model,
    compare,
    decimals,
    finite,
    headline,
    measure,
    protocol_words,
)


def figure(model, value, low=None, high=None, *, protocol="full", metric="ndcg", k=10):
    return {
        "model": model,
        "protocol": protocol,
        "metric": metric,
        "k": k,
        "segment": "all",
        "value": value,
        "low": low,
        "high": high,
    }


def comparison(*rows, protocol="full", baselines=("als", "a", "b"), differences=()):
    figures = Estimates.of(rows)
    return compare(figures, protocol, "neumf", baselines, Estimates.of(differences))


NEUMF = figure("neumf", 0.25, 0.24, 0.26)
BELOW = figure("als", 0.2, 0.19, 0.21)
TOUCHING = figure("als", 0.2, 0.19, 0.245)


def test_the_sentence_gives_both_figures_and_says_whether_the_difference_may_be_chance():
    assert comparison(NEUMF, BELOW).sentence == (
        "NDCG@10 is 0.2500 for neumf and 0.2000 for als, the best baseline (+0.0500, +25.0\xa0%). "
        "The difference is more than chance explains (95\xa0% intervals: 0.2400 to 0.2600; 0.1900 "
        "to 0.2100)."
    )
    assert "The difference may be chance (95" in comparison(NEUMF, TOUCHING).sentence
    without = comparison(figure("neumf", 0.25), BELOW).sentence
    assert without.endswith("There are no intervals, so the difference may be chance.")
    assert "(+0.2000). " in comparison(figure("neumf", 0.2), figure("als", 0.0)).sentence


def test_the_interval_of_the_difference_goes_before_those_of_the_two():
    # The other model less the own, as they are computed.
    apart = comparison(NEUMF, TOUCHING, differences=[figure("als", -0.05, -0.08, -0.02)])
    assert apart.sentence.endswith(
        "The difference is more than chance explains (95\xa0% interval of the difference: +0.0200 "
        "to +0.0800)."
    )
    within = comparison(NEUMF, BELOW, differences=[figure("als", -0.05, -0.11, 0.01)])
    assert within.sentence.endswith(
        "The difference may be chance (95\xa0% interval of the difference: -0.0100 to +0.1100)."
    )
    worse = comparison(NEUMF, BELOW, differences=[figure("als", 0.05, 0.02, 0.08)])
    assert worse.beyond_chance
    plain = comparison(NEUMF, BELOW)
    assert comparison(NEUMF, BELOW, differences=[figure("als", -0.05)]) == plain


def test_only_baselines_are_compared_with_where_they_are_named():
    rows = (NEUMF, BELOW, figure("mf", 0.3), figure("popularity", 0.1))
    assert comparison(*rows, baselines=()).other == "mf"
    assert comparison(*rows, baselines=["popularity", "als", "absent"]).other == "als"


def test_a_model_that_is_better_than_both_is_named():
    rows = (NEUMF, BELOW, figure("mf", 0.3), figure("last_night", 0.9))
    figures = Estimates.of(rows)
    assert better_model(figures, comparison(*rows, baselines=["als"])) == (
        "mf is better than both: 0.3000."
    )
    assert better_model(figures, comparison(*rows, baselines=())) == ""


@pytest.mark.parametrize(
    ("own", "other", "outcome"),
    [(0.2, 0.1, "better than"), (0.1, 0.2, "worse than"), (0.2, 0.20004, "equal to")],
)
def test_outcomes_go_by_the_four_decimals_that_are_shown(own, other, outcome):
    assert comparison(figure("neumf", own), figure("als", other)).outcome == outcome


@pytest.mark.parametrize(
    "rows",
    [
        [NEUMF],
        [BELOW],
        [NEUMF, figure("als", math.nan)],
        [figure("neumf", None), BELOW],
        [NEUMF, figure("als", 0.2, k=5)],
        [NEUMF, figure("als", 0.2, protocol="sampled_99")],
    ],
)
def test_without_both_sides_there_is_no_comparison(rows):
    assert comparison(*rows) is None


def test_without_baselines_no_other_model_is_called_one():
    alone = comparison(NEUMF, BELOW, baselines=())
    assert "for als, the best other model (" in alone.sentence
    assert headline("neumf", [alone]).startswith("neumf is better than the best other model under")


def test_equal_baselines_are_taken_by_name():
    assert comparison(NEUMF, figure("b", 0.2), figure("a", 0.2)).other == "a"


@pytest.mark.parametrize(
    ("sampled", "rest"),
    [
        (
            [("neumf", 0.5, 0.49, 0.51), ("als", 0.4, 0.39, 0.41)],
            " and sampled_99 (NDCG@10 +0.1000 against als). The difference is more than chance "
            "explains.",
        ),
        (
            [("neumf", 0.35, 0.3, 0.4), ("als", 0.4, 0.3, 0.5)],
            ", but worse than the best baseline under sampled_99 (NDCG@10 -0.0500 against als). "
            "Under sampled_99 the difference may be chance.",
        ),
        (
            [("neumf", 0.5, 0.49, 0.51), ("als", 0.4)],
            " and sampled_99 (NDCG@10 +0.1000 against als). Under sampled_99 the difference may be "
            "chance.",
        ),
        (
            [("neumf", 0.4), ("als", 0.4)],
            ", but equal to the best baseline under sampled_99 (NDCG@10 +0.0000 against als). The "
            "difference is more than chance explains.",
        ),
    ],
)
def test_the_headline_of_two_protocols(sampled, rest):
    rows = [figure(*given, protocol="sampled_99") for given in sampled]
    both = [comparison(NEUMF, BELOW), comparison(*rows, protocol="sampled_99")]
    assert headline("neumf", both) == (
        f"neumf is better than the best baseline under full (NDCG@10 +0.0500 against als){rest}"
    )


def test_the_headline_of_equal_models_and_without_a_comparison():
    equal = comparison(figure("neumf", 0.2), figure("als", 0.2))
    assert headline("neumf", [equal]) == (
        "neumf is equal to the best baseline under full (NDCG@10 +0.0000 against als)."
    )
    assert headline("neumf", []) == "There are no figures of neumf and another model to compare."


@pytest.mark.parametrize(
    ("ks", "main"), [([5, 10, 20], 10), ([1, 5, 20], 5), ([20, 50], 20), ([8, 12], 8), ([], None)]
)
def test_the_main_cut_off_is_10_or_the_nearest(ks, main):
    assert Estimates.of([figure("neumf", 0.1, k=k) for k in ks]).main_k == main


def test_models_are_ordered_by_the_first_metric_of_accuracy():
    rows = [figure(m, v, metric="hr") for m, v in [("c", 0.1), ("b", 0.3), ("a", None), ("d", 0.1)]]
    figures = Estimates.of(rows)
    assert (figures.main_metric, figures.models("full")) == ("hr", ["b", "c", "d", "a"])


def test_words():
    assert protocol_words("sampled_1000") == (
        "each held-out item is ranked among 1,000 other items"
    )
    assert "all items" in protocol_words("full")
    assert protocol_words("other") == ""
    assert [measure("ndcg", 10), measure("popularity_percentile", None)] == [
        "NDCG@10",
        "Popularity percentile",
    ]
    assert [finite(v) for v in (None, math.nan, math.inf, 1)] == [None, None, None, 1.0]
    assert [decimals(None), decimals(0.12345), decimals(1234)] == ["", "0.1235", "1,234.0000"]
