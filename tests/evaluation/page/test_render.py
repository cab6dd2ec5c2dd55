import base64
import math
import random
import re
import warnings
from dataclasses import replace
from importlib import resources
from xml.etree import ElementTree

import matplotlib
import pytest

from ncf_spark.evaluation.choice import Candidate, Choice
from ncf_spark.evaluation.page.charts import draw_models
from ncf_spark.evaluation.page.figures import Estimate
from ncf_spark.evaluation.page.render import ReportData, render_report
from tests.evaluation.page.report_data import (
    DATA,
    EMPTY,
    HISTORY,
    HOSTILE,
    METRICS,
    POPULARITY,
    epoch,
    metric,
)
from tests.evaluation.page.report_page import parse, section, table


@pytest.fixture(scope="module")
def page():
    return render_report(DATA)


@pytest.fixture(scope="module")
def root(page):
    return parse(page)


def charts(root):
    """The titles of all charts."""
    return [caption.text for caption in root.all("figcaption")]


def test_the_page_says_first_which_is_better(root):
    assert root.one("h1").text == "Is tonight's neumf better than the best baseline?"
    assert root.one("p", class_="lead").text == (
        "neumf is better than the best baseline under full (NDCG@10 +0.0766 against als), but "
        "worse than the best baseline under sampled_99 (NDCG@10 -0.0500 against als). Under "
        "sampled_99 the difference may be chance."
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
    assert names == [HOSTILE, "Tea", "Cups"]  # by the difference


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


def test_popularity_is_told_and_every_model_is_in_the_table(root):
    assert (
        "18.2 % of what neumf recommends is from decile 10, the most popular items. They are "
        "10.0 % of the catalogue and have 26.0 % of the interactions."
    ) in section(root, "popularity").text
    assert table(root, "Shares by decile of popularity")["10"] == {
        "Catalogue": "10.0 %",
        "Interactions": "26.0 %",
        "neumf": "18.2 %",
        "als": "18.2 %",
    }
    few = [row for row in POPULARITY if row["decile"] in (1, 5)]
    text = section(parse(render_report(replace(DATA, popularity=few))), "popularity").text
    assert "9.1 % of what neumf recommends is from decile 5, the most popular items" in text


def test_the_own_model_is_drawn_even_where_it_is_not_the_best():
    page = replace(DATA, own="mf", histories={"a": HISTORY, "mf": HISTORY})
    assert charts(parse(render_report(page)))[-1] == "Training of mf"
    page = parse(render_report(replace(DATA, own="als")))
    assert charts(page)[1] == "Recommendations of als by popularity"


def test_the_epochs_are_in_a_table_with_the_chosen_one(root):
    (found,) = [t for t in root.all("table") if t.one("caption").text == "Epochs of neumf"]
    assert [[c.text for c in (*r.all("th"), *r.all("td"))] for r in found.all("tr")[1:]] == [
        ["1", "gmf", "0.6000", "no value", "no value", "0.1000", "12.3", "1,234,567"],
        ["2", "gmf", "0.5000", *["no value"] * 3, "12.3", "1,234,567"],
        ["1 chosen", "neumf", "0.4000", "0.2000", "0.5000", "0.3000", "12.3", "1,234,567"],
        ["2", "neumf", "0.3000", "no value", "no value", "0.2500", "12.3", "1,234,567"],
    ]
    assert [th.text for th in found.one("thead").all("th")][3:6] == ["NDCG@5", "HR@10", "NDCG@10"]


def test_facts_and_notes(root):
    facts = section(root, "facts")
    assert [dd.text for dd in facts.all("dd")] == ["1,234,567", "61.3", "2.13.0", "0.01"]
    assert section(root, "notes").one("li").text == "17 items have no category."
    assert "Notes (1)" in root.one("nav").text


def test_three_charts_with_a_text_each(root):
    images = {image.attributes["alt"]: image.attributes["src"] for image in root.all("img")}
    assert list(images) == [
        "NDCG@10 under full: neumf 0.2000; als 0.1234; popularity 0.0500.",
        "18.2\xa0% of what neumf recommends is from decile 10, the most popular items. They are "
        "10.0\xa0% of the catalogue and have 26.0\xa0% of the interactions.",
        "neumf, 4 epochs: the loss is 0.6000 at first and 0.3000 at last. The dashed line marks "
        "the chosen epoch, number 3.",
    ]
    assert charts(root) == [
        "NDCG@10 under full",
        "Recommendations of neumf by popularity",
        "Training of neumf",
    ]
    drawn = [drawn_text(uri) for uri in images.values()]
    assert {"neumf", "als", "popularity", "mf"} <= drawn[0]
    assert {"recommendations", "catalogue", "interactions", "10"} <= drawn[1]
    assert {"Loss", "NDCG@10", "epoch"} <= drawn[2]


def drawn_text(uri: str) -> set[str]:
    svg = base64.b64decode(uri.removeprefix("data:image/svg+xml;base64,"))
    elements = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return {"".join(element.itertext()) for element in elements}


def test_a_name_in_a_chart_is_text_whatever_it_holds():
    names = ["a$b_2$ c", '<i>"x" & y</i>', "a\x00b", "お茶とコーヒー", "b" * 30]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        uri = draw_models({name: Estimate(0.3, 0.2, 0.4) for name in names}, names[0], None)
    expected = {"a$b_2$ c", '<i>"x" & y</i>', "a\ufffdb", "お茶とコーヒー", "b" * 23 + "…"}
    assert expected <= drawn_text(uri)


def test_every_table_has_heads_and_every_link_its_section(root):
    for found in root.all("table"):
        assert {th.attributes["scope"] for th in found.all("th")} == {"col", "row"}
        assert found.one("caption").text
    ids = [heading.attributes["id"] for heading in root.all("h2")]
    assert ids == [link.attributes["href"][1:] for link in root.one("nav").all("a")]
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
        assert "on the users it knows" in page
        assert "for last_night" not in page
        assert "last_night is better" not in page


def test_whatever_is_given_stays_text():
    hostile = [row | {"model": HOSTILE} for row in METRICS if row["model"] == "mf"]
    page = render_report(
        ReportData(
            run_name=HOSTILE,
            run_date=HOSTILE,
            split=HOSTILE,
            selection=HOSTILE,
            own=HOSTILE,
            metrics=[*METRICS, *hostile],
            histories={HOSTILE: [epoch(1, 0.5, HOSTILE), epoch(2, 0.4, "b" + HOSTILE)]},
            popularity=[row | {"model": HOSTILE} for row in POPULARITY],
            facts=[(HOSTILE, HOSTILE)],
            notes=[HOSTILE, "\x00\x1b"],
        )
    )
    root = parse(page)
    assert root.all("script") == []
    assert "{{ 7 * 7 }}" in page
    assert section(root, "notes").all("li")[0].text == HOSTILE
    assert section(root, "notes").all("li")[1].text == "\ufffd\ufffd"


def test_nothing_is_loaded(page, root):
    without_images = re.sub(r'src="data:[^"]*"', "", page)
    assert not re.search(r"https?:|//|@import|url\(", without_images)
    assert root.all("script") == root.all("iframe") == []
    sources = [image.attributes["src"] for image in root.all("img")]
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    (link,) = root.all("link")
    assert link.attributes["href"] == "data:,"
    policy = root.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    assert policy.startswith("default-src 'none'")


def test_the_same_data_gives_the_same_bytes_in_any_order_and_with_any_settings(page):
    shuffled = list(METRICS)
    random.Random(1).shuffle(shuffled)
    histories = dict(reversed(DATA.histories.items()))
    again = replace(DATA, metrics=shuffled, histories=histories, popularity=POPULARITY[::-1])
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path"}):
        assert render_report(again) == page


def test_empty_pieces_leave_a_sentence():
    root = parse(render_report(EMPTY))
    assert root.all("figure") == root.all("table") == root.all("details") == []
    sentences = {
        "models": "There are no figures of any model.",
        "segments": "There are no figures of segments.",
        "popularity": "There are no shares by decile of popularity.",
        "training": "No model has a history of epochs.",
        "cutoffs": "There are no figures.",
        "facts": "There are none.",
        "notes": "There are none.",
    }
    for name, sentence in sentences.items():
        assert sentence in section(root, name).text
    assert root.one("p", class_="lead").text.startswith("There are no figures of neumf and")


def test_values_that_are_none_are_neither_drawn_nor_written():
    nothing = replace(
        DATA,
        metrics=[row | {"value": math.nan, "low": math.nan, "high": None} for row in METRICS],
        histories={"neumf": [epoch(1, math.nan, **{"ndcg@10": math.inf})], "mf": []},
        popularity=[row | {"share_of_recommendations": math.nan} for row in POPULARITY],
    )
    page = render_report(nothing)
    assert parse(page).all("figure") == []
    assert not re.search(r"\b(nan|inf|None)\b", page)
    assert "No intervals were computed." in section(parse(page), "models").text


def test_one_model_alone_is_no_best():
    alone = [row for row in METRICS if row["model"] == "neumf" and row["protocol"] == "full"]
    root = parse(render_report(replace(EMPTY, metrics=alone)))
    assert "★" not in table(root, "Models under full")["neumf"]["NDCG@10"]
    assert "better" not in root.one("h1").text
    heads = [th.text for th in section(root, "segments").all("th", scope="col")]
    assert "difference" not in heads


def test_thirty_models_with_long_names_fit():
    names = ["neumf"] + [f"model_{'with_a_long_name_' * 4}{number}" for number in range(29)]
    rows = [
        metric(name, "full", kind, k, 0.3 + number / 100, 0.29, 0.5)
        for number, name in enumerate(names)
        for kind in ("ndcg", "hr", "recall", "mrr", "map")
        for k in (5, 10, 20)
    ]
    page = render_report(replace(EMPTY, metrics=rows))
    assert len(page.encode()) < 1_000_000
    assert len(table(parse(page), "Models under full")) == 30


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_contrasts_with_the_page_in_light_and_dark(page):
    themes = re.findall(r"--ink: #\w{6};[^}]*", page)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): (#\w{6})", theme))
        paper = luminance(colours["paper"])
        for name in ("ink", "muted", "own"):
            lighter, darker = sorted((luminance(colours[name]), paper), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, name


def test_the_template_is_shipped_with_the_package():
    setup = (resources.files("ncf_spark").joinpath("..") / "setup.py").read_text()
    assert 'package_data={"ncf_spark.evaluation.page": ["page.html.j2"]}' in setup
