import re
from dataclasses import replace

import pytest

from ncf_spark.evaluation.choice import Candidate, Choice
from ncf_spark.evaluation.page.render import render_report
from tests.evaluation.page.report_data import (
    DATA,
    HISTORY,
    HOSTILE,
    METRICS,
    POPULARITY,
    metric,
)
from tests.evaluation.page.report_page import parse, section, table


@pytest.fixture(scope="module")
def root():
    return parse(render_report(DATA))


def pictures(root, name):
    """The titles of a section's pictures."""
    return [caption.text for caption in section(root, name).all("figcaption")]


def test_the_page_says_first_which_is_better(root):
    assert root.one("h1").text == "Is tonight's neumf better than the best baseline?"
    assert root.one("p", class_="lead").text == (
        "neumf is better than the best baseline under full (NDCG@10 +0.0766 against als), but "
        "worse than the best baseline under sampled_99 (NDCG@10 -0.0500 against als); under "
        "sampled_99 there are no intervals to tell it from chance."
    )
    header = root.one("header").text
    assert "Evaluation of 2026-11-01.1, night of 2026-11-01" in header
    assert "Split: S." in header
    assert "Chosen." in header


def test_the_models_stand_best_first_with_intervals_and_the_best_marked(root):
    rows = table(root, "Models under full")
    assert list(rows.items()) == [
        ("neumf", {"NDCG@10": "★ 0.2000 0.1900 to 0.2100", "HR@10": "0.3000 0.2900 to 0.3100"}),
        ("als", {"NDCG@10": "0.1234 0.1000 to 0.1400", "HR@10": "★ 0.3100 0.3000 to 0.3200"}),
        # Equal at four decimals.
        (
            "popularity",
            {"NDCG@10": "0.0500 0.0400 to 0.0600", "HR@10": "★ 0.3100 0.3000 to 0.3200"},
        ),
        ("mf", {"NDCG@10": "no value", "HR@10": "0.2000"}),
    ]


def test_the_own_model_and_the_best_baseline_are_named_as_such(root):
    remarks = [small.text for small in section(root, "models").all("small")]
    names = ["the night's own model", "the best baseline"]
    assert remarks == [*names, *reversed(names)]


def test_segments_compare_the_own_model_with_the_best_baseline(root):
    users, categories = [
        t for t in section(root, "segments").all("table") if t.one("caption").text.endswith("full")
    ]
    assert [row.text for row in users.one("tbody").all("tr")] == [
        "few0.1100 0.1000 to 0.1200★ 0.1200 0.1100 to 0.1300-0.0100",
        "many★ 0.3000no valueno value",
    ]
    assert [th.text for th in users.one("thead").all("th")] == [
        "Segment",
        "NDCG@10 of neumf",
        "of als",
        "difference",
    ]
    names = [row.one("th").text for row in categories.one("tbody").all("tr")]
    assert names == [HOSTILE, "Tea", "Cups"]
    assert pictures(root, "segments") == [
        "NDCG@10 by users under full",
        "NDCG@10 by categories under full",
    ]


def test_every_cut_off_and_metric_is_in_the_folded_table(root):
    details = section(root, "cutoffs").one("details")
    assert "open" not in details.attributes
    rows = table(details, "All cut-offs under full")
    assert rows["neumf"] == [
        {"k": "5", "NDCG": "0.1500 0.1400 to 0.1600", "HR": "no value", "Coverage": "no value"},
        {
            "k": "10",
            "NDCG": "0.2000 0.1900 to 0.2100",
            "HR": "0.3000 0.2900 to 0.3100",
            "Coverage": "0.4000",
        },
    ]


def test_what_is_recommended_has_no_best(root):
    assert table(root, "What is recommended, under full") == {
        "neumf": {"Coverage@10": "0.4000"},
        "als": {"Coverage@10": "0.6000"},
        "popularity": {"Coverage@10": "no value"},
        "mf": {"Coverage@10": "no value"},
    }


def test_popularity_is_told_and_drawn_own_model_first(root):
    text = section(root, "popularity").text
    assert (
        "Of what neumf recommends, 18.2 % is from decile 10, the most popular items, which are "
        "10.0 % of the catalogue and have 26.0 % of the interactions."
    ) in text
    assert pictures(root, "popularity") == ["neumf", "als"]
    assert table(root, "Shares by decile of popularity")["10"] == {
        "Catalogue": "10.0 %",
        "Interactions": "26.0 %",
        "neumf": "18.2 %",
        "als": "18.2 %",
    }


def test_the_own_model_is_drawn_first_even_where_it_is_not_the_best():
    root = parse(render_report(replace(DATA, own="mf", histories={"a": HISTORY, "mf": HISTORY})))
    assert pictures(root, "training") == ["mf", "a"]
    root = parse(render_report(replace(DATA, own="als")))
    assert pictures(root, "popularity") == ["als", "neumf"]


def test_a_catalogue_of_few_items_has_few_deciles():
    few = [row for row in POPULARITY if row["decile"] in (1, 5)]
    text = section(parse(render_report(replace(DATA, popularity=few))), "popularity").text
    assert "9.1 % is from decile 5, the most popular items" in text


def test_the_epochs_are_in_a_table_with_the_chosen_one(root):
    (found,) = [t for t in root.all("table") if t.one("caption").text == "Epochs of neumf"]
    assert [[c.text for c in (*r.all("th"), *r.all("td"))] for r in found.all("tr")[1:]] == [
        ["1", "gmf", "0.6000", "no value", "no value", "0.1000", "12.3", "1,234,567"],
        ["2", "gmf", "0.5000", *["no value"] * 3, "12.3", "1,234,567"],
        ["1 chosen", "neumf", "0.4000", "0.2000", "0.5000", "0.3000", "12.3", "1,234,567"],
        ["2", "neumf", "0.3000", "no value", "no value", "0.2500", "12.3", "1,234,567"],
    ]
    assert [th.text for th in found.one("thead").all("th")][3:6] == ["NDCG@5", "HR@10", "NDCG@10"]


def curve_lines(figure):
    return [
        path
        for path in figure.one("svg").all("path")
        if re.match("fill: none; stroke: var.--own.; stroke-width: 1.5", path.attributes["style"])
        and "transform" not in path.attributes
    ]


def test_the_curves_say_what_they_show_and_what_their_lines_mean(root):
    neumf, mf = section(root, "training").all("figure")
    assert neumf.one("svg").attributes["aria-label"] == (
        "neumf, epochs: 4. Loss 0.6000 at first, 0.3000 at last. NDCG@10 is highest at epoch 3: "
        "0.3000. Dashed line and star: epoch 3, the chosen one. Dotted: gmf ends after epoch 2. "
        "Epochs are counted through all phases."
    )
    assert mf.one("p", class_="note").text == "No epoch was judged by a metric."
    lines = [len(re.findall("L ", path.attributes["d"])) for path in curve_lines(neumf)]
    assert lines == [1, 1, 0, 1]  # loss and NDCG of each phase
    assert {"Loss by epoch", "NDCG@10 by epoch"} <= set(neumf.one("svg").drawn_text())


def test_facts_and_notes(root):
    facts = section(root, "facts")
    assert [dd.text for dd in facts.all("dd")] == ["1,234,567", "61.3", "2.13.0", "0.01"]
    assert section(root, "notes").one("li").text == "17 items have no category."
    assert "Notes (1)" in root.one("nav").text


def test_every_picture_has_a_message_and_every_table_heads(root):
    labels = [svg.attributes["aria-label"] for f in root.all("figure") for svg in f.all("svg")]
    assert len(labels) == len(root.all("figure")) == 9
    assert all(len(label) > 20 and label.endswith(".") for label in labels)
    for found in root.all("table"):
        assert {th.attributes["scope"] for th in found.all("th")} == {"col", "row"}
        assert found.one("caption").text
    ids = [
        e.attributes["id"]
        for tag in ("h2", "section")
        for e in root.all(tag)
        if "id" in e.attributes
    ]
    assert sorted(ids) == sorted(a.attributes["href"][1:] for a in root.one("nav").all("a"))
    assert root.one("html").attributes["lang"] == "en"


def test_the_choice_and_last_nights_model_are_told_where_there_are_some():
    plain = render_report(DATA)
    assert "Published is" not in plain
    assert "Candidates for publishing" not in plain
    candidates = [Candidate("neumf", 0.2, 0.19, 0.21), Candidate("als", 0.1234, 0.1, 0.14)]
    choice = Choice("ndcg@10 under full", candidates, "neumf", "als", "it is <better>")
    page = render_report(replace(DATA, choice=choice, last_night="Over the 5 users … 0.1."))
    assert "<p>Published is <b>neumf</b>: it is &lt;better&gt;.</p>" in page
    assert "Over the 5 users … 0.1." in page
    text = re.sub(r"<[^>]+>|\s+", " ", page[page.index("Candidates for publishing") :])
    for words in (
        "neumf published ★ 0.2000 0.1900 to 0.2100",
        "als published before 0.1234 0.1000 to 0.1400",
    ):
        assert words in re.sub(" +", " ", text)


def test_last_nights_model_is_no_rival_and_its_line_says_whom_it_is_judged_on():
    last = metric("last_night", "full", "ndcg", 10, 0.9)
    for baselines in (DATA.baselines, []):
        page = render_report(replace(DATA, metrics=[*METRICS, last], baselines=baselines))
        assert "on users it knows" in page
        assert "for last_night" not in page
        assert "ahead of both is last_night" not in page.lower()
