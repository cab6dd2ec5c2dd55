import math

import pytest

from ncf_spark.evaluation.page.comparison import (
    Estimates,
    compare,
    decimals,
    finite,
    headline,
    leader,
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


def test_the_sentence_gives_both_figures_and_says_that_the_intervals_are_apart():
    assert comparison(NEUMF, BELOW).sentence == (
        "NDCG@10 is 0.2500 for neumf and 0.2000 for als, the best baseline (+0.0500, +25.0\xa0%). "
        "The 95\xa0% intervals, 0.2400 to 0.2600 and 0.1900 to 0.2100, do not overlap: other users "
        "like these would hardly turn the order."
    )


def test_a_model_may_be_clearly_worse():
    worse = comparison(figure("neumf", 0.1, 0.05, 0.15), BELOW)
    assert (worse.outcome, worse.apart) == ("worse", True)
    paired = comparison(NEUMF, BELOW, differences=[figure("als", 0.05, 0.02, 0.08)])
    assert "-0.0800 to -0.0200, is without 0" in paired.sentence


def test_overlapping_intervals_show_no_difference():
    assert comparison(NEUMF, TOUCHING).sentence.endswith(
        "overlap: these figures do not show that the two differ."
    )


def test_without_intervals_chance_is_not_ruled_out():
    assert comparison(figure("neumf", 0.25), BELOW).sentence.endswith(
        "(+0.0500, +25.0\xa0%). Without intervals for both, chance cannot be ruled out."
    )


def test_the_interval_of_the_difference_goes_before_those_of_the_two():
    # The other model less the own, as they are computed.
    apart = comparison(NEUMF, TOUCHING, differences=[figure("als", -0.05, -0.08, -0.02)])
    assert apart.sentence.endswith(
        "The 95\xa0% interval of the difference, +0.0200 to +0.0800, is without 0: other users "
        "like these would hardly turn the order."
    )
    within = comparison(NEUMF, BELOW, differences=[figure("als", -0.05, -0.11, 0.01)])
    assert within.sentence.endswith(
        "The 95\xa0% interval of the difference, -0.0100 to +0.1100, holds 0: these figures do not "
        "show that the two differ."
    )


def test_a_difference_without_an_interval_changes_nothing():
    plain = comparison(NEUMF, BELOW)
    assert comparison(NEUMF, BELOW, differences=[figure("als", -0.05)]) == plain


def test_only_baselines_are_compared_with_where_they_are_named():
    rows = (NEUMF, BELOW, figure("mf", 0.3), figure("popularity", 0.1))
    assert comparison(*rows, baselines=()).rival == "mf"
    assert comparison(*rows, baselines=["popularity", "als", "absent"]).rival == "als"


def test_a_model_that_is_ahead_of_both_is_named():
    rows = (NEUMF, BELOW, figure("mf", 0.3))
    figures = Estimates.of(rows)
    assert leader(figures, comparison(*rows, baselines=["als"])) == (
        "Ahead of both is mf with 0.3000."
    )
    assert leader(figures, comparison(*rows, baselines=())) == ""


@pytest.mark.parametrize(
    ("own", "rival", "outcome"),
    [(0.2, 0.1, "better"), (0.1, 0.2, "worse"), (0.2, 0.20004, "equal"), (0.0, 0.0, "equal")],
)
def test_outcomes_go_by_the_four_decimals_that_are_shown(own, rival, outcome):
    assert comparison(figure("neumf", own), figure("als", rival)).outcome == outcome


def test_a_baseline_of_nothing_has_no_percentage():
    assert "(+0.2000)" in comparison(figure("neumf", 0.2), figure("als", 0.0)).sentence


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
    assert comparison(NEUMF, figure("b", 0.2), figure("a", 0.2)).rival == "a"


def both_protocols(sampled_value, sampled_rival, low=None, high=None):
    full = comparison(NEUMF, BELOW)
    sampled = comparison(
        figure("neumf", sampled_value, low, high, protocol="sampled_99"),
        figure("als", *sampled_rival, protocol="sampled_99"),
        protocol="sampled_99",
    )
    return headline("neumf", [full, sampled])


def test_the_headline_of_a_clear_night():
    assert both_protocols(0.5, (0.4, 0.39, 0.41), 0.49, 0.51) == (
        "neumf is better than the best baseline under full (NDCG@10 +0.0500 against als) and "
        "sampled_99 (NDCG@10 +0.1000 against als); beyond chance, by the 95\xa0% intervals."
    )


def test_the_headline_of_a_mixed_night():
    assert both_protocols(0.35, (0.4, 0.3, 0.5), 0.3, 0.4) == (
        "neumf is better than the best baseline under full (NDCG@10 +0.0500 against als), but "
        "worse than the best baseline under sampled_99 (NDCG@10 -0.0500 against als); under "
        "sampled_99 the difference may be chance, by its 95\xa0% interval."
    )


def test_the_headline_where_an_interval_is_missing():
    assert both_protocols(0.5, (0.4,)).endswith(
        "; under sampled_99 there are no intervals to tell it from chance."
    )


def test_the_headline_of_equal_models_says_nothing_of_intervals():
    equal = comparison(figure("neumf", 0.2), figure("als", 0.2))
    assert headline("neumf", [equal]) == (
        "neumf is equal to the best baseline under full (NDCG@10 +0.0000 against als)."
    )


def test_the_headline_without_a_comparison():
    assert headline("neumf", []) == (
        "There are no figures of neumf beside another model: nothing is compared."
    )


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
        "each held-out item among 1,000 others, drawn or given with it"
    )
    assert "all items" in protocol_words("full")
    assert protocol_words("other") == ""
    assert [measure("ndcg", 10), measure("popularity_percentile", None)] == [
        "NDCG@10",
        "Popularity percentile",
    ]
    assert [finite(v) for v in (None, math.nan, math.inf, 1)] == [None, None, None, 1.0]
    assert [decimals(None), decimals(0.12345), decimals(1234)] == ["", "0.1235", "1,234.0000"]
