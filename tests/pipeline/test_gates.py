"""What each gate says of which figures."""

from dataclasses import replace

import pytest

from ncf_spark.config import Gates, load_config
from ncf_spark.pipeline.gates import Figures, Verdict, judge, lines_of
from tests.jobs.conftest import ROOT

NIGHT = {"events": 1000, "users": 100, "items": 50}
GOOD = Figures(
    volumes=NIGHT,
    volumes_before=[NIGHT] * 4,
    rejected=0.1,
    model=0.3,
    popularity=0.2,
    common=(0.3, 0.31),
    coverage=0.4,
    full_lists=0.99,
    churn=0.5,
)


@pytest.fixture
def gates() -> Gates:
    """The defaults, with a bound on churn."""
    return load_config(str(ROOT / "conf/base.yaml"), ["gates.max_churn=0.6"]).gates


def of(gate: str, verdicts: list[Verdict], name: str | None = None) -> Verdict:
    [found] = [v for v in verdicts if v.gate == gate and (name is None or name in v.figures)]
    return found


def test_a_good_night_passes_every_gate(gates):
    verdicts = judge(gates, GOOD)
    assert [verdict.gate for verdict in verdicts] == [
        *["volume"] * 3,
        *("of_popularity", "of_last_night", "max_rejected"),
        *("min_coverage", "min_full_lists", "max_churn"),
    ]
    assert all(verdict.passed for verdict in verdicts)


@pytest.mark.parametrize(
    ("gate", "change", "sentence"),
    [
        (
            "of_popularity",
            {"model": 0.19},
            "the model's ndcg (full), 0.1900, is below 1 times popularity's, 0.2000",
        ),
        (
            "of_last_night",
            {"common": (0.3, 0.38)},
            "the model's ndcg (full), 0.3000, is below 0.8 times last night's model's, 0.3800",
        ),
        ("max_rejected", {"rejected": 0.21}, "unreadable events, 0.2100, is above 0.2"),
        ("min_coverage", {"coverage": 0.009}, "items that are recommended, 0.0090, is below 0.01"),
        ("min_full_lists", {"full_lists": 0.89}, "a full list, 0.8900, is below 0.9"),
        ("max_churn", {"churn": 0.61}, "changed since last night, 0.6100, is above 0.6"),
    ],
)
def test_each_gate_refuses_alone_and_says_why(gates, gate, change, sentence):
    verdicts = judge(gates, replace(GOOD, **change))
    assert [verdict.gate for verdict in verdicts if verdict.passed is False] == [gate]
    assert sentence in of(gate, verdicts).sentence


@pytest.mark.parametrize(
    ("name", "number", "passed"),
    [
        ("events", 500, True),
        ("events", 499, False),
        ("users", 200, True),
        ("users", 201, False),
        ("items", 24, False),
    ],
)
def test_volumes_are_held_against_the_median_of_the_nights_before(gates, name, number, passed):
    others = [{key: 10 * value for key, value in NIGHT.items()}, NIGHT, NIGHT]
    found = replace(GOOD, volumes={**NIGHT, name: number}, volumes_before=others)
    verdict = of("volume", judge(gates, found), name)
    assert verdict.passed is passed
    assert verdict.figures["median"] == NIGHT[name]
    assert f"{name}: {number} " in verdict.sentence


def test_only_the_last_nights_count(gates):
    old = {key: 100 * value for key, value in NIGHT.items()}
    found = replace(GOOD, volumes_before=[old] * 50 + [NIGHT] * 7)
    assert all(verdict.passed for verdict in judge(gates, found))


@pytest.mark.parametrize(
    ("gate", "change"),
    [
        ("of_popularity", {"popularity": None}),
        ("of_last_night", {"common": None}),
        ("max_churn", {"churn": None}),
        ("min_coverage", {"coverage": None}),
    ],
)
def test_what_is_not_known_is_not_judged_and_said(gates, gate, change):
    verdict = of(gate, judge(gates, replace(GOOD, **change)))
    assert verdict.passed is None
    assert "not known" in verdict.sentence


def test_too_few_nights_are_not_compared_with(gates):
    verdicts = judge(gates, replace(GOOD, volumes_before=[NIGHT] * 2))
    assert [v.passed for v in verdicts if v.gate == "volume"] == [None] * 3
    assert "too few nights before to compare with (2)" in verdicts[0].sentence


def test_gates_that_are_off_ask_nothing(gates):
    off = dict.fromkeys(("volume", "max_rejected", "of_popularity", "of_last_night"))
    more = dict.fromkeys(("min_coverage", "min_full_lists", "max_churn"))
    assert judge(gates.model_copy(update=off | more), GOOD) == []


def test_gates_that_had_nothing_to_compare_with_are_one_line():
    gates = [
        *[Verdict("volume", None, {}, "users: 3; too few nights") for _ in range(2)],
        Verdict("max_churn", None, {}, "the share of lists that changed is not known"),
        Verdict("min_coverage", False, {}, "the share of items is below 0.1"),
    ]
    assert lines_of(gates) == [
        "gates.min_coverage: REFUSED: the share of items is below 0.1",
        "nothing to compare with yet: gates.volume, gates.max_churn",
    ]
    assert lines_of([]) == []
