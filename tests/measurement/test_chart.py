from xml.etree import ElementTree

import pytest

from ncf_spark.measurement.chart import draw_lifts
from ncf_spark.measurement.results import Row
from ncf_spark.measurement.statistics import Lift

TITLE = "spring & more of 2026-11-01 at $5"
ROWS = [
    Row("model", "bought", 400, 60, 0.15, Lift()),
    Row("popular", "bought", 100, 10, 0.1, Lift(0.05, 0.01, 0.09, 0.5, 0.1, 0.9, 0.03)),
    Row("holdout", "bought", 100, 0, 0.0, Lift(0.15, 0.1, 0.2, p_value=0.001)),
    Row("popular", "revenue", 2, 1, 2.0, Lift(0.1, None, None, 0.05)),
    Row("holdout", "revenue", 100, 5, 2.0, Lift(-0.2, -0.5, 0.1, -0.1, -0.25, 0.05)),
]


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(found.itertext()).strip() for found in root.iter() if "text" in found.tag[-5:]]


def test_each_lift_has_a_line_and_what_has_none_is_left_out():
    found = texts(draw_lifts(ROWS, title=TITLE))
    assert [text for text in found if ", over " in text] == [
        "bought, over popular",
        "revenue, over holdout",
    ]
    assert TITLE in found
    assert "lift of the arm model, with 95 % intervals" in found


def test_the_axis_holds_0_and_every_interval():
    # U+2212 is matplotlib's minus in its own labels; ours are made by Python.
    labels = [text for text in texts(draw_lifts(ROWS, title=TITLE)) if text.endswith(" %")]
    ticks = [float(label.removesuffix(" %")) for label in labels]
    assert ticks == sorted(ticks)
    assert ticks[0] <= 0 <= ticks[-1]
    assert ticks[-1] >= 75


@pytest.mark.parametrize("rows", [[], ROWS[:1], [ROWS[2]]])
def test_without_a_lift_the_picture_says_so(rows):
    found = texts(draw_lifts(rows, title=TITLE))
    assert "No lift: the other arms have no outcomes." in found


def test_the_same_rows_give_the_same_file():
    assert draw_lifts(ROWS, title=TITLE) == draw_lifts(ROWS, title=TITLE)
    assert draw_lifts(ROWS, title=TITLE) != draw_lifts(ROWS[:2], title=TITLE)
