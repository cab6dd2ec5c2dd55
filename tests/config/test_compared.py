"""evaluation.compared: further models of a run, each with what is different."""

import pytest

from tests.config.conftest import problems

CANNOT_DIFFER = (
    "cannot differ between models; a compared model may set model, sampling, training and run.seed"
)
UNKNOWN = "unknown setting. conf/base.yaml lists all settings."


def compared(settings: str) -> str:
    return f"evaluation: {{compared: {{{settings}}}}}"


def test_without_compared_models_there_is_the_nights_own(load):
    config = load("model: {kind: gmf}")
    assert config.models == {"gmf": config}


def test_each_model_has_the_settings_of_the_run_and_its_own(load):
    text = """
    model: {factors: 16}
    evaluation:
      compared:
        mf_64: {model.kind: mf, model.factors: 64, sampling.uniform: 1, run.seed: 3}
        pretrained: {training.pretraining.gmf.epochs: 5, training.pretraining.mlp.epochs: 4}
        the-same.0: {}
    """
    config = load(text)
    assert [*config.models] == ["neumf", "mf_64", "pretrained", "the-same.0"]
    own, mf, pretrained, same = config.models.values()
    assert own == config
    assert (mf.model.kind, mf.model.factors, mf.run.seed) == ("mf", 64, 3)
    assert mf.sampling.uniform == 1.0
    assert mf.training == config.training
    assert {k: h.epochs for k, h in pretrained.training.pretraining.halves.items()} == {
        "gmf": 5,
        "mlp": 4,
    }
    assert pretrained.training.optimiser == "adam"
    assert (pretrained.model, pretrained.run) == (config.model, config.run)
    for model in (mf, pretrained, same):
        assert model.evaluation.compared == {}
        assert [*model.models] == [model.model.kind]
        assert (model.input, model.split, model.scoring) == (
            config.input,
            config.split,
            config.scoring,
        )
    # The run's own settings are as they were.
    assert (config.model.kind, config.model.factors, config.run.seed) == ("neumf", 16, 20)


def test_a_compared_model_follows_a_set_override(load):
    config = load(compared("mf: {model.kind: mf}"), "model.factors=32")
    assert config.models["mf"].model.factors == 32


@pytest.mark.parametrize("name", ["popularity", "als", "als_8", "last_night"])
def test_the_name_of_a_baseline_is_taken(load, name):
    assert problems(load, compared(f"{name}: {{}}"), "evaluation.als.ranks=[8, 16]") == [
        f"evaluation: compared: ['{name}'] are names of baselines or of last night's model; "
        "choose other names"
    ]


def test_als_is_one_model_for_each_rank(load):
    one = load("").evaluation.als.models
    assert {name: settings["rank"] for name, settings in one.items()} == {"als": 64}
    several = load("", "evaluation.als.ranks=[8, 16]").evaluation.als.models
    assert {name: settings["rank"] for name, settings in several.items()} == {
        "als_8": 8,
        "als_16": 16,
    }
    assert {*several["als_8"]} == {"rank", "reg_param", "alpha", "iterations"}


def test_the_name_of_the_model_itself_is_taken(load):
    assert problems(load, compared("gmf: {model.factors: 4}"), "model.kind=gmf") == [
        "evaluation.compared: gmf is the name of the night's own model; choose another name"
    ]
    assert [*load(compared("gmf: {}"), "model.kind=mlp").models] == ["mlp", "gmf"]


@pytest.mark.parametrize("name", ["a/b", "a b", "..", "a" * 101, ".hidden", "_hidden", "''"])
def test_a_name_that_is_no_folder_is_refused(load, name):
    [found] = problems(load, compared(f"{name}: {{}}"))
    assert found.startswith(f"evaluation: compared: [{name.strip(chr(39))!r}] cannot be names of")


@pytest.mark.parametrize(
    "key",
    [
        *[f"training.{name}" for name in ("num_workers", "num_shards", "device", "pin_workers")],
        *[f"training.{name}" for name in ("threads_per_worker", "worker_memory_bytes")],
        *[f"training.{name}" for name in ("start_timeout_s", "max_restarts", "warm_epochs")],
        *("training.network_interfaces", "training.full_retrain_every_days"),
        *("model.candidates", "model.selection.k", "split.method", "evaluation.ks"),
        *("run.date", "model", "modell.kind"),
    ],
)
def test_what_belongs_to_the_run_cannot_differ(load, key):
    assert problems(load, compared(f"a: {{{key}: 1}}")) == [
        f"evaluation.compared.a: {key} {CANNOT_DIFFER}"
    ]


@pytest.mark.parametrize(
    "key",
    [
        *("model.kinds", "model.", "model.kind.n", "model.tower.0", "training.pretraining.epoch"),
        *("sampling.mixture", "run.seed.x"),
    ],
)
def test_an_unknown_setting_is_named(load, key):
    assert problems(load, compared(f"a: {{{key}: 1}}")) == [
        f"evaluation.compared.a: {key}: {UNKNOWN}"
    ]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("model.kind: svd", "model.kind is 'svd'; it should be 'mf', 'gmf', 'mlp' or 'neumf'"),
        (
            "training.pretraining.gmf: {epochs: 0, l2: 0.5}",
            "training.pretraining.gmf.learning_rate: is not set.",
        ),
        (
            "training.pretraining.gmf.epochs: 3",
            "training.pretraining: gmf.epochs is 3 and mlp.epochs is 0; pretrain both, or set both "
            "to 0",
        ),
        ("model.non_negative: true", "model: non_negative needs kind mf or gmf, not neumf"),
    ],
)
def test_a_wrong_value_is_reported_with_its_place(load, settings, expected):
    assert problems(load, compared(f"a: {{{settings}}}")) == [f"evaluation.compared.a: {expected}"]


def test_a_rule_across_sections_holds_for_a_compared_model_too(load):
    text = compared("a: {training.patience: 3}")
    assert load(text).models["a"].training.patience == 3
    assert problems(load, text, "split.validation=false") == [
        "evaluation.compared.a: training.patience needs validation items; set split.validation: "
        "true"
    ]


def test_a_compared_model_without_settings_is_written_as_an_empty_table(load):
    assert problems(load, compared("a: null")) == [
        "evaluation.compared.a is null; it should be a section with keys"
    ]


def test_all_problems_of_all_models_are_reported_at_once(load):
    text = """
    campaign: {k: 30}
    evaluation:
      compared:
        neumf: {model.factors: 4}
        a: {model.factors: 0, model.kinds: mf, split.method: temporal}
        b: {model.tower: [7, 4], model.dropout: [0.1, 0.2]}
    """
    assert problems(load, text) == [
        # Reported once, though it is wrong for every model of the run.
        "campaign.k is 30 but scoring.k is 20; raise scoring.k (a campaign shows scored items "
        "only)",
        "evaluation.compared.a: model.factors is 0; it should be greater than or equal to 1",
        f"evaluation.compared.a: model.kinds: {UNKNOWN}",
        f"evaluation.compared.a: split.method {CANNOT_DIFFER}",
        "evaluation.compared.b: model: dropout has 2 shares, but tower has 1 layers after its "
        "input; give one share for all layers, or one per layer",
        "evaluation.compared.b: model: tower starts with 7, which must be even: it is the width "
        "of a user embedding plus an item embedding",
        "evaluation.compared: neumf is the name of the night's own model; choose another name",
    ]


def test_a_section_in_place_of_settings_is_told_how_to_write_them(load):
    [found] = problems(load, compared("other: {model: {kind: mf}}"))
    assert found == (
        "evaluation.compared.other: model: write each setting with its full name, such as "
        "model.kind: mf"
    )
