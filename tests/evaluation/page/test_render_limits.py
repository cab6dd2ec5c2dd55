import math
import random
import re
import subprocess
import sys
from dataclasses import replace
from importlib import resources

import pytest

from ncf_spark.evaluation.page.render import ReportData, render_report
from tests.evaluation.page.report_data import (
    DATA,
    EMPTY,
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
    assert not re.search(r"https?:|//|@import|url\(", page)
    assert root.all("script") == root.all("img") == root.all("iframe") == []
    (link,) = root.all("link")
    assert link.attributes["href"] == "data:,"
    policy = root.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    assert policy.startswith("default-src 'none'")


def test_the_same_data_gives_the_same_bytes_in_any_order(page):
    shuffled = list(METRICS)
    random.Random(1).shuffle(shuffled)
    histories = dict(reversed(DATA.histories.items()))
    again = replace(DATA, metrics=shuffled, histories=histories, popularity=POPULARITY[::-1])
    assert render_report(again) == page


def test_empty_pieces_leave_a_sentence():
    root = parse(render_report(EMPTY))
    assert root.all("figure") == root.all("table") == root.all("details") == []
    sentences = {
        "models": "There are no figures of any model.",
        "segments": "Users by their number of train items: no figures.",
        "popularity": "There are no shares by decile of popularity.",
        "training": "No model has a history of epochs.",
        "cutoffs": "There are no figures.",
        "facts": "None were handed over.",
        "notes": "Nothing odd was noted.",
    }
    for name, sentence in sentences.items():
        assert sentence in section(root, name).text
    assert root.one("p", class_="lead").text.startswith("There are no figures of neumf beside")


def test_values_that_are_none_leave_a_sentence():
    nothing = replace(
        DATA,
        metrics=[row | {"value": math.nan, "low": math.nan, "high": None} for row in METRICS],
        histories={"neumf": [epoch(1, math.nan, **{"ndcg@10": math.inf})], "mf": []},
        popularity=[row | {"share_of_recommendations": math.nan} for row in POPULARITY],
    )
    page = render_report(nothing)
    root = parse(page)
    assert root.all("figure") == []
    assert not re.search(r"\b(nan|inf|None)\b", page)
    assert "No picture: no model has a value of NDCG or HR here." in section(root, "models").text
    assert "No picture: no segment has a value." in section(root, "segments").text
    assert "There are no intervals: none were computed." in section(root, "models").text
    assert "neumf: no epoch has a loss or a metric to draw." in section(root, "training").text
    assert "There are no shares by decile" in section(root, "popularity").text


def test_one_model_alone_is_no_best():
    alone = [row for row in METRICS if row["model"] == "neumf" and row["protocol"] == "full"]
    root = parse(render_report(replace(EMPTY, metrics=alone)))
    assert "★" not in table(root, "Models under full")["neumf"]["NDCG@10"]
    assert "No other model to compare with." in section(root, "segments").text
    assert "best" not in root.one("h1").text
    assert "best baseline" not in section(root, "models").text
    heads = [th.text for th in section(root, "segments").all("th", scope="col")]
    assert "difference" not in heads


def test_models_that_are_not_drawn_are_named(root):
    assert "Not drawn, for want of a value: mf." in section(root, "models").text


def test_of_many_categories_both_ends_are_drawn():
    names = [f"c{number:02d}" for number in range(40)]
    rows = [
        metric(model, "full", "ndcg", 10, value, segment=f"category={name}")
        for number, name in enumerate(names)
        for model, value in (("neumf", 0.9 - number / 100), ("als", 0.2))
    ]
    root = parse(render_report(replace(DATA, metrics=[*METRICS[:8], *rows])))
    (figure,) = section(root, "segments").all("figure")
    assert [t for t in figure.one("svg").drawn_text() if t[0] == "c"] == names[:8] + names[-8:]
    assert "the first and the last 8 of the 40 segments" in figure.text
    assert list(table(root, "Segments under full")) == names


def test_thirty_models_with_long_names_fit():
    names = ["neumf"] + [f"model_{'with_a_long_name_' * 4}{number}" for number in range(29)]
    rows = [
        metric(name, protocol, kind, k, 0.3 + place / 100, 0.29, 0.5)
        for place, name in enumerate(names)
        for protocol in ("full", "sampled_99")
        for kind in ("ndcg", "hr", "recall", "mrr", "map")
        for k in (5, 10, 20)
    ]
    many = replace(
        EMPTY,
        metrics=rows,
        histories={
            name: [epoch(e, 1 / e, **{"ndcg@10": e / 20}) for e in range(1, 13)] for name in names
        },
        popularity=[row | {"model": name} for row in POPULARITY[:10] for name in names],
    )
    page = render_report(many)
    assert len(page.encode()) < 2_000_000
    root = parse(page)
    assert len(table(root, "Models under full")) == 30
    for name in ("popularity", "training"):
        folded = section(root, name).all("details")[0]
        assert (folded.one("summary").text, len(folded.all("figure"))) == ("24 more models", 24)


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
        for name in ("ink", "muted", "own", "rival"):
            lighter, darker = sorted((luminance(colours[name]), paper), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, name


def test_the_template_is_shipped_with_the_package():
    setup = (resources.files("ncf_spark").joinpath("..") / "setup.py").read_text()
    assert 'package_data={"ncf_spark.evaluation.page": ["page.html.j2"]}' in setup


def test_what_runs_on_executors_brings_no_matplotlib():
    code = (
        "import sys, ncf_spark.evaluation.ranks, ncf_spark.evaluation.bootstrap, "
        "ncf_spark.evaluation.judging, ncf_spark.training.worker; "
        "print('matplotlib' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
