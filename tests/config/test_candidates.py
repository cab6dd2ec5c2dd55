"""model.candidates and model.selection: what can be compared."""

import pytest

from tests.config.conftest import problems

SETTINGS = """
model: {{candidates: [{names}]}}
evaluation: {{baselines: [popularity, als], compared: {{mf_64: {{model.kind: mf}}}}, {more}}}
"""


def text(names: str, more: str = "ks: [5, 10]") -> str:
    return SETTINGS.format(names=names, more=more)


def test_none_are_the_default_and_are_not_checked(load):
    assert load("").model.candidates == []
    assert load("evaluation: {bootstrap_samples: 0, ks: [5]}").model.candidates == []


def test_every_model_of_the_night_may_be_one(load):
    names = ["neumf", "mf_64", "als", "popularity"]
    assert load(text(", ".join(names))).model.candidates == names
    ranks = "als: {ranks: [8, 16]}"
    assert load(text("als_8, als_16", ranks)).model.candidates == ["als_8", "als_16"]


@pytest.mark.parametrize(
    ("names", "more", "expected"),
    [
        (
            "neumf, item_item, als_64",
            "ks: [10]",
            "model.candidates: ['item_item', 'als_64'] are not among the models of the night, "
            "['neumf', 'mf_64', 'popularity', 'als']; add them to evaluation.baselines or "
            "evaluation.compared",
        ),
        (
            "als, als",
            "ks: [10]",
            "model.candidates: ['als', 'als'] has a name twice; remove one",
        ),
        (
            "als",
            "bootstrap_samples: 0",
            "model.candidates are compared by their 95 % intervals, but "
            "evaluation.bootstrap_samples is 0; set it to 50 or more",
        ),
        (
            "als",
            "ks: [5, 20]",
            "model.selection.k is 10, but evaluation.ks is [5, 20]; choose one of these, or add "
            "it there",
        ),
    ],
)
def test_what_cannot_be_compared_is_told(load, names, more, expected):
    assert problems(load, text(names, more)) == [expected]


def test_the_protocol_is_one_that_is_judged_by(load):
    sampled = "model.selection.protocol=sampled_50"
    with_50 = text("als", "num_negatives: 50")
    assert load(with_50, sampled).model.selection.protocol == "sampled_50"
    assert problems(load, text("als"), sampled) == [
        "model.selection.protocol is sampled_50, but models are judged by full and sampled_99; "
        "choose one of these, or change evaluation.num_negatives"
    ]
