import re
import warnings

import matplotlib
import pytest

from ncf_spark.evaluation.page.charts import WIDTH, Curve, Row, draw_curves, draw_dots, draw_shares
from ncf_spark.evaluation.page.comparison import Estimate
from ncf_spark.evaluation.page.svg import inline_svg
from tests.evaluation.page.report_page import parse

SHARES = [0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.1, 0.15, 0.2, 0.3]
NAME = 'a$b$ <i>"x"</i> & 日本語 \x00'


def dots(*names, value=0.3):
    return draw_dots([Row(name, [("own", Estimate(value, 0.2, 0.4))]) for name in names], label="L")


def curves(values, epochs=(1, 2, 3), chosen=2, ends=(1.5,), title="Loss"):
    return draw_curves([Curve(title, values)], epochs, chosen=chosen, ends=ends, label="L")


def shares(recommended=SHARES):
    return draw_shares(recommended, [0.1] * 10, SHARES, top=0.3, label="L")


@pytest.mark.parametrize("draw", [lambda: dots("m"), lambda: curves([3, 2, 1]), shares])
def test_a_picture_stands_in_a_page_on_its_own(draw):
    picture = draw()
    assert not re.search(r"https?:|xlink|xmlns|url\(| id=|<style|<use|<!--|DejaVu", picture)
    svg = parse(picture).one("svg")
    assert (svg.attributes["role"], svg.attributes["aria-label"]) == ("img", "L")
    assert svg.attributes["viewbox"].split()[2] == svg.attributes["width"] == str(WIDTH)
    assert picture == draw()


@pytest.mark.parametrize("draw", [lambda: dots("m"), lambda: curves([3, 2, 1]), shares])
def test_every_colour_is_the_page_s_and_text_is_16_px(draw):
    picture = draw()
    assert not re.findall(r"#[0-9a-f]{6}", picture)
    assert {"var(--own)", "var(--muted)"} <= set(re.findall(r"var\(--\w+\)", picture))
    sizes = re.findall(r"font-size: ([^;]+); font-family: ([^;]+)", picture)
    assert set(sizes) == {("16px", "var(--font)")}


def test_settings_of_matplotlib_on_the_machine_change_nothing():
    plain = curves([3, 2, 1])
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.fonttype": "path"}):
        assert curves([3, 2, 1]) == plain


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("a$b_2$ c", ["a$b_2$ c"]),
        ('<i>"x" & y</i>', ['<i>"x" & y</i>']),
        ('id="figure_1"', ['id="figure_1"']),
        ("#0b57a4 url(#m) -->", ["#0b57a4 url(#m) -->"]),
        ("a\x00b\x1b", ["a\ufffdb\ufffd"]),
        ("お茶とコーヒーの道具一式", ["お茶とコーヒーの道具", "一式"]),
        ("a\n\tb", ["a b"]),
        ("a" * 15 + " " + "b" * 30, ["a" * 15 + " bbbb", "b" * 19 + "…"]),
        (" ", ["–"]),
    ],
)
def test_a_name_is_text_whatever_it_holds(name, lines):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = parse(dots(name)).one("svg").drawn_text()
    assert text == ["0", "0.15", "0.3", *lines, "0.3000"]


def test_the_label_is_escaped():
    svg = parse(draw_dots([Row("m", [("own", Estimate(0.3))])], label=NAME)).one("svg")
    assert svg.attributes["aria-label"] == NAME.replace("\x00", "\ufffd")


def marks(picture):
    """Where circles are drawn, left to right."""
    places = re.findall(r"translate\(([\d.]+) ([\d.]+)\)", picture)
    return sorted((float(x), float(y)) for x, y in places)


def test_dots_stand_where_their_values_are():
    rows = [Row(name, [("own", Estimate(v))]) for name, v in [("a", 0.4), ("b", 0.2), ("c", 0.0)]]
    (c, b, a) = marks(draw_dots(rows, label="L"))
    assert c[0] == pytest.approx(8)
    assert b[0] - c[0] == pytest.approx(a[0] - b[0])
    assert a[0] - c[0] == pytest.approx((WIDTH - 28) / 1.05)
    assert a[1] < b[1] < c[1]


def test_a_figure_without_a_value_is_not_drawn():
    rows = [Row("a", [("own", Estimate(0.4)), ("rival", Estimate())])]
    assert len(marks(draw_dots(rows, label="L"))) == 1


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-9])
def test_any_value_has_an_axis(value):
    assert "svg" in draw_dots([Row("a", [("own", Estimate(value))])], label="L")


def test_a_curve_is_broken_where_a_phase_ends():
    def lines(ends):
        picture = curves([0.3, 0.2, 0.1], ends=ends, chosen=None)
        return re.findall(r'd="M [^"]*"[^>]*stroke: var\(--own\); stroke-width: 1.5', picture)

    assert [line.count("L ") for line in lines([])] == [2]
    assert [line.count("L ") for line in lines([1.5])] == [0, 1]


def test_the_chosen_epoch_has_a_line_and_a_star():
    dashed = "stroke-dasharray"
    assert curves([3, 2, 1], chosen=2, ends=()).count(dashed) == 1
    assert curves([3, 2, 1], chosen=None, ends=()).count(dashed) == 0
    starred = len(marks(curves([3, 2, 1], chosen=2))) - len(marks(curves([3, None, 1], chosen=2)))
    assert starred == 2  # the point and its star


def test_one_epoch_makes_a_picture():
    assert "svg" in curves([0.5], epochs=(1,), chosen=1, ends=())


def bars(picture):
    """Heights of the bars."""
    drawn = re.findall(r'<path d="([^"]*z) *" style="fill: var\(--own\)"', picture)
    edges = [re.findall(r"[\d.]+ ([\d.]+)", path) for path in drawn]
    return [float(bottom) - float(top) for bottom, _, top, _ in edges]


def test_bars_are_as_high_as_their_shares():
    heights = bars(shares())
    assert heights == pytest.approx([share / 0.3 * heights[-1] for share in SHARES], abs=0.01)


def test_shares_that_are_missing_leave_room():
    assert bars(shares([None] * 9 + [0.3]))[:9] == pytest.approx([0] * 9)


def test_only_known_colours_become_variables():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 20">'
        '<path style="fill: #111111; stroke: #222222"/></svg>'
    )
    assert 'style="fill: var(--ink); stroke: #222222"' in inline_svg(
        svg, label="L", colours={"#111111": "ink"}
    )
