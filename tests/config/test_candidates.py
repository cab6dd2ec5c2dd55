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
            "model.candidates: ['item_item', 'als_64'] are no models of the night, which has "
            "['neumf', 'mf_64', 'popularity', 'als']; name them in evaluation.baselines or "
            "evaluation.compared too",
        ),
        (
            "last_night",
            "ks: [10]",
            "model.candidates: ['last_night'] are no models of the night, which has "
            "['neumf', 'mf_64', 'popularity', 'als']; name them in evaluation.baselines or "
            "evaluation.compared too",
        ),
        (
            "als, als",
            "ks: [10]",
            "model.candidates: ['als', 'als'] names one twice; keep one of them",
        ),
        (
            "als",
            "bootstrap_samples: 0",
            "model.candidates are compared by their intervals, but evaluation.bootstrap_samples "
            "is 0; set it to 50 or more",
        ),
        (
            "als",
            "ks: [5, 20]",
            "model.selection.k is 10, but evaluation.ks is [5, 20]; take one of them, or add it "
            "there",
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
        "model.selection.protocol is sampled_50, but judged is by full and sampled_99; take one "
        "of them, or change evaluation.num_negatives"
    ]
    [found] = problems(load, "", "model.selection.protocol=sampled")
    assert found.startswith("model.selection.protocol is 'sampled'; it should match pattern")


@pytest.mark.parametrize("key", ["model.candidates: [mf]", "model.selection.k: 5"])
def test_a_compared_model_has_no_candidates_of_its_own(load, key):
    [found] = problems(load, f"evaluation: {{compared: {{a: {{{key}}}}}}}")
    assert f"{key.split(':')[0]} cannot differ between models" in found


def test_last_night_is_no_name_of_a_compared_model(load):
    [found] = problems(load, "evaluation: {compared: {last_night: {}}}")
    assert "['last_night'] are names of baselines, or of last night's model" in found
