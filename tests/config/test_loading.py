"""base.yaml + the file + --set -> settings, or one error with every problem."""

import re
from datetime import date

import pytest

from ncf_spark.config import load_config
from ncf_spark.errors import ConfigError
from tests.config.conftest import BASE, problems

# --- layers -------------------------------------------------------------------------------------


def test_the_file_overrides_base_and_set_overrides_both(load):
    config = load("model: {factors: 16, kind: gmf}", "model.kind=mlp")
    assert (config.model.factors, config.model.kind, config.model.dropout) == (16, "mlp", [0.0])


def test_an_empty_file_changes_nothing(load):
    assert load("") == load_config(str(BASE))


def test_a_file_elsewhere_uses_the_working_directorys_conf(tmp_path, monkeypatch):
    (tmp_path / "shop.yaml").write_text("run: {seed: 7}")
    monkeypatch.chdir(BASE.parents[1])
    assert load_config(str(tmp_path / "shop.yaml")).run.seed == 7


@pytest.mark.parametrize(
    ("section", "key", "default", "given"),
    [
        ("input", "options", {"header": "true", "sep": ";"}, {"sep": "::"}),
        ("input", "event_weights", {"view": 1.0, "buy": 4.0}, {"play": 2.0}),
        ("activity", "features", {"followers": 1.0}, {"posts": 3.0}),
        ("evaluation", "compared", {"mf": {"model.kind": "mf"}}, {"gmf": {"model.kind": "gmf"}}),
    ],
)
def test_tables_of_the_users_own_names_are_replaced_whole(
    load, tmp_path, section, key, default, given
):
    (tmp_path / "base.yaml").write_text(
        BASE.read_text(encoding="utf-8").replace(f"  {key}: {{}}", f"  {key}: {default}")
    )
    needed = "catalogue: {path: items}\ninput: {columns: {type: kind}}\n"
    assert getattr(getattr(load(needed), section), key) == default
    replaced = load(needed, f"{section}.{key}={given}")
    assert getattr(getattr(replaced, section), key) == given
    emptied = load(needed, f"{section}.{key}=")
    assert getattr(getattr(emptied, section), key) == {}


# --- --set --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "place", "value"),
    [
        ("run.date=2026-11-23", "run.date", date(2026, 11, 23)),
        ("run.date=", "run.date", None),
        ("input.where=quantity = 0", "input.where", "quantity = 0"),
        ("input.columns.time=ts", "input.columns.time", "ts"),
        ("evaluation.ks=[5, 10]", "evaluation.ks", [5, 10]),
        ("training.learning_rate=1e-4", "training.learning_rate", 0.0001),
        ("sampling.uniform=1", "sampling.uniform", 1.0),
    ],
)
def test_set_reads_the_value_as_yaml(load, override, place, value):
    found = load("", override)
    for name in place.split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize("override", ["run.seed", "=3", "run.=3", ".seed=3"])
def test_set_without_key_or_value_is_refused(load, override):
    with pytest.raises(ConfigError, match=rf"--set {re.escape(override)}: expected section.key="):
        load("", override)


def test_set_with_broken_yaml_is_refused(load):
    with pytest.raises(ConfigError, match=r"--set evaluation\.ks=\[1: the value is not valid YAML"):
        load("", "evaluation.ks=[1")


# --- environment --------------------------------------------------------------------------------


def test_environment_variables_are_filled_in_at_any_depth(load, monkeypatch):
    monkeypatch.setenv("SHOP_BUCKET", "s3a://shop")
    text = "storage: {warehouse: '${SHOP_BUCKET}/ncf'}\ninput: {options: {k: '${SHOP_BUCKET}'}}"
    config = load(text)
    assert config.storage.warehouse == "s3a://shop/ncf"
    assert config.input.options == {"k": "s3a://shop"}


def test_a_missing_variable_falls_back_to_its_default(load, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    config = load(
        "storage: {warehouse: '${NOT_SET:-./here}'}\ntraining: {device: '${NOT_SET:-cpu}'}"
    )
    assert (config.storage.warehouse, config.training.device) == ("./here", "cpu")


def test_a_missing_variable_without_default_is_an_error(load, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(
        ConfigError, match=r"\$\{NOT_SET\}: the environment variable NOT_SET is not"
    ):
        load("storage: {warehouse: '${NOT_SET}/ncf'}")


# --- what is wrong, all at once -----------------------------------------------------------------


def test_unknown_keys_wrong_types_and_ranges_are_reported_together_with_their_places(load):
    text = """
    inptu: {path: events}
    run: {seed: -1}
    input: {columns: {uesr: id}, options: {header: [1]}}
    model: {factors: eight, kind: svd}
    training: {num_workers: true}
    """
    assert problems(load, text, "split.holdout_days=0") == [
        "inptu: unknown setting. conf/base.yaml lists all settings.",
        "input.columns.uesr: unknown setting. conf/base.yaml lists all settings.",
        "input.options.header is [1]; it should be a valid string",
        "model.factors is 'eight'; it should be a valid integer",
        "model.kind is 'svd'; it should be 'mf', 'gmf', 'mlp' or 'neumf'",
        "run.seed is -1; it should be greater than or equal to 0",
        "split.holdout_days is 0; it should be greater than or equal to 1",
        "training.num_workers is true; it should be a valid integer",
    ]


def test_options_become_the_texts_that_spark_takes(load):
    config = load("input: {options: {header: true, maxColumns: 9, sep: ';'}}")
    assert config.input.options == {"header": "true", "maxColumns": "9", "sep": ";"}


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("training.num_workers=65", "training: num_workers is 65 but num_shards is 64; raise num"),
        ("campaign.k=21", "campaign.k is 21 but scoring.k is 20; raise scoring.k"),
        ("campaign.min_items=11", "campaign: min_items is 11 but k is only 10"),
        ("model.tower=[7, 4]", "model: tower starts with 7, which must be even"),
        ("model.tower=[8]", "model.tower is [8]; it"),
        ("model.dropout=[1.0]", "model.dropout.0 is 1.0; it should be less than 1"),
        ("model.dropout=0.5", "model.dropout is 0.5; it should be a valid list"),
        ("model.dropout=[]", "model.dropout is []; it should have at least 1 item"),
        ("model.dropout=[0.1, 0.2]", "model: dropout has 2 shares, but tower has 3 layers after"),
        ("model.dropout=[0, 0, 0, 0]", "model: dropout has 4 shares, but tower has 3 layers after"),
        ("model.temperature=0", "model.temperature is 0; it should be greater than 0"),
        (
            "model={kind: neumf, non_negative: true}",
            "model: non_negative needs kind mf or gmf, not",
        ),
        ("model={kind: mlp, non_negative: true}", "model: non_negative needs kind mf or gmf, not"),
        (
            "model={kind: gmf, similarity: cosine}",
            "model: similarity cosine needs kind mf, not gmf",
        ),
        (
            "model.activation=tanh",
            "model.activation is 'tanh'; it should be 'relu' or 'leaky_relu'",
        ),
        (
            "model.output_init=he",
            "model.output_init is 'he'; it should be 'normal' or 'lecun_unifor",
        ),
        ("training.loss=hinge", "training.loss is 'hinge'; it should be 'bce', 'squared' or 'soft"),
        (
            "training.optimiser=lion",
            "training.optimiser is 'lion'; it should be 'adam', 'lazy_adam",
        ),
        (
            "training.decay=step",
            "training.decay is 'step'; it should be 'none', 'linear' or 'cosine'",
        ),
        ("training.warmup_epochs=-1", "training.warmup_epochs is -1; it should be greater than or"),
        (
            "training.l2_output=-1",
            "training.l2_output is -1; it should be greater than or equal to 0",
        ),
        ("training.patience=0", "training.patience is 0; it should be greater than or equal to 1"),
        ("training.evaluate_every=0", "training.evaluate_every is 0; it should be greater than or"),
        ("training.pretraining.alpha=1.1", "training.pretraining.alpha is 1.1; it should be less"),
        (
            "training.pretraining.gmf.epochs=-1",
            "training.pretraining.gmf.epochs is -1; it should be greate",
        ),
        ("sampling.redraw=1", "sampling.redraw is 1; it should be a valid boolean"),
        ("evaluation.segment_bounds=[10]", "evaluation.segment_bounds is [10]; it should have at"),
        (
            "evaluation.segment_bounds=[1, 2, 3]",
            "evaluation.segment_bounds is [1, 2, 3]; it should",
        ),
        (
            "evaluation.segment_bounds=[5, 5]",
            "evaluation: segment_bounds is [5, 5]; the first must",
        ),
        (
            "evaluation.baselines=[svd]",
            "evaluation.baselines.0 is 'svd'; it should be 'popularity'",
        ),
        (
            "sampling={uniform: 0, popularity: 0}",
            "sampling: low_activity, low_activity_by_counts, uniform and popularity are all 0",
        ),
        ("input={path: a, table: b}", "input: has both path and table; keep one of them"),
        ("input.min_value=4", "input: min_value needs columns.value, which is null"),
        ("input.min_value=.nan", "input.min_value is nan; it should be a finite number"),
        ("input.event_weights={view: 1}", "input: event_weights needs columns.type, which is null"),
        ("input.event_weights={view: -1}", "input.event_weights.view is -1; it should be greater"),
        ("input.max_bad_time_share=1.5", "input.max_bad_time_share is 1.5; it should be less than"),
        ("input.columns.time=", "split.method is leave_one_out; set input.columns.time"),
        ("split.method=provided", "split.method is provided; set split.holdout.path"),
        ("activity.features={posts: 1}", "activity.features needs the item features; set catal"),
        ("campaign.id=a/b", "campaign.id is 'a/b'; it"),
        ("generate.num_items=19", "generate: num_items is 19 but num_categories is 20; each cat"),
        ("training.checkpoint_every=5", "training.checkpoint_every is 5; it should be a section "),
        (
            "training.resident_bytes=1e9",
            "training.resident_bytes is 1000000000.0; it should be a "
            "valid integer: write 1000000000",
        ),
        ("storage.warehouse=''", "storage.warehouse is ''; it"),
        ("input=", "input is null; it should be a section with keys"),
    ],
)
def test_a_value_that_cannot_be_is_named(load, override, line):
    (found,) = problems(load, "", override)
    assert found.startswith(line)


def test_rules_across_sections_are_reported_together(load):
    text = "split: {method: provided}\nactivity: {features: {posts: 1}}\ncampaign: {k: 30}"
    assert [line.split()[0] for line in problems(load, text)] == [
        "activity.features",
        "campaign.k",
        "split.method",
    ]


def test_every_rule_that_a_section_breaks_is_reported(load):
    broken = "model={kind: neumf, tower: [7, 4], dropout: [0, 0], non_negative: true}"
    found = problems(load, "model: {similarity: cosine}", broken)
    assert [line.split()[1] for line in found] == ["dropout", "non_negative", "similarity", "tower"]
    assert all(line.startswith("model: ") for line in found)


def test_patience_needs_validation_items(load):
    assert load("", "training.patience=3").training.patience == 3
    assert load("", "split.validation=false").training.patience is None
    assert problems(load, "split: {validation: false}", "training.patience=3") == [
        "training.patience needs items to judge epochs by; set split.validation: true"
    ]


def test_a_model_that_goes_on_may_know_a_provided_test_set(load):
    text = "split: {method: provided, holdout: {path: test.csv}}"
    assert load(text).training.warm_epochs is None
    [problem] = problems(load, text, "training.warm_epochs=3")
    assert problem.startswith("training.warm_epochs cannot be used with split.method provided")


@pytest.mark.parametrize(
    ("override", "needed"),
    [
        ("campaign.frequency={sends: 1, days: 7}", "send_log.path"),
        ("campaign.pairs.sent_days=7", "send_log.path"),
        ("campaign.pairs.bought_types=[order]", "input.columns.type"),
        ("campaign.audience=country = 'DE'", "recipients.path"),
        ("suppressions={out: {path: a.csv, columns: {user: u}}}", "recipients.path"),
        ("campaign.lists.max_per_category=2", "catalogue.columns.category"),
        ("campaign.lists.max_per_brand=2", "catalogue.columns.brand"),
        ("campaign.items.required=[url]", "catalogue.columns.url"),
        ("campaign.best_sellers.by=country", "recipients.columns.country"),
        ("campaign.files.profiles=[klaviyo]", "recipients.columns.email"),
        ("campaign.pairs.wanted=true", "campaign.pairs.wanted_types"),
    ],
)
def test_a_rule_of_the_campaign_names_the_table_that_it_needs(load, override, needed):
    assert any(needed in problem for problem in problems(load, "", override))


def test_how_often_someone_had_mail_may_stand_beside_the_recipients(load):
    text = "recipients: {path: r, columns: {last_sent_at: l}}"
    assert load(text, "campaign.frequency={sends: 1, days: 7}").campaign.frequency.sends == 1


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("campaign.tiers=[model, model]", "campaign: tiers is ['model', 'model']; name one or"),
        ("campaign.tiers=[]", "campaign: tiers is []; name one or more"),
        ("campaign.lists.min_categories=3", "campaign: lists.min_categories is 3 but min_items is"),
        ("campaign.arms={popular: 0.6, holdout: 0.6, salt: a}", "campaign.arms: popular is 0.6"),
        ("suppressions={out: {path: a.csv, columns: {}}}", "suppressions.out.columns: names none"),
        ("suppressions={out: {columns: {user: u}}}", "suppressions.out: has neither path nor"),
    ],
)
def test_a_campaign_that_cannot_be_is_named(load, override, line):
    assert any(problem.startswith(line) for problem in problems(load, "", override))


def test_a_suppression_list_is_a_table_as_any_other(load):
    columns = "columns: {email: mail}"
    text = f"suppressions: {{out: {{path: a, options: {{header: true, sep: ';'}}, {columns}}}}}"
    config = load(f"recipients: {{path: r}}\n{text}")
    assert config.suppressions["out"].options == {"header": "true", "sep": ";"}
    config = load(f"recipients: {{path: r}}\nsuppressions: {{out: {{path: a, {columns}}}}}")
    assert (config.suppressions["out"].format, config.suppressions["out"].options) == (
        *("csv", {"header": "true"}),
    )


def test_yes_and_no_are_names_of_settings_and_words_for_consent(load):
    words = load("recipients: {consent_values: {yes: [ja, 1, yes], no: [no]}}").recipients
    assert words.consent_values.yes == ["ja", "1", "true"]
    assert words.consent_values.no == ["false"]
    [problem] = problems(load, "recipients: {consent_values: {yes: [ja], no: [ja]}}")
    assert (
        problem
        == "recipients.consent_values: yes and no both name ['ja']; keep each in one of them"
    )


@pytest.mark.parametrize(
    ("bounds", "line"),
    [
        ("{low: 2, high: 1, nights: 7, at_least: 3}", "low is 2.0 but high is 1.0; low must be"),
        ("{low: 0.5, high: 2, nights: 2, at_least: 3}", "at_least is 3 but nights is only 2"),
    ],
)
def test_bounds_of_volume_that_no_night_can_keep_are_named(load, bounds, line):
    [problem] = problems(load, "", f"gates.volume={bounds}")
    assert problem.startswith(f"gates.volume: {line}")


# --- what follows from the settings -------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("[0.5]", [0.5, 0.5, 0.5]),
        ("[0.1, 0.2, 0.3]", [0.1, 0.2, 0.3]),
    ],
)
def test_one_dropout_is_for_every_layer_of_the_tower(load, given, expected):
    assert load("model: {tower: [8, 6, 4, 2]}", f"model.dropout={given}").model.layer_dropout == (
        expected
    )


@pytest.mark.parametrize("kind", ["mf", "gmf"])
def test_factors_of_mf_and_gmf_may_be_kept_at_0_or_above(load, kind):
    assert load("", f"model.kind={kind}", "model.non_negative=true").model.non_negative


def test_the_mixture_of_the_negatives_adds_up_to_1(load):
    weights = "{low_activity: 1, low_activity_by_counts: 2, uniform: 0, popularity: 5}"
    assert load("", f"sampling={weights}").sampling.mixture == {
        "low_activity": 0.125,
        "low_activity_by_counts": 0.25,
        "uniform": 0.0,
        "popularity": 0.625,
    }


def test_the_workers_of_every_model_are_started_alike(load):
    text = "training: {num_workers: 3, device: cpu, threads_per_worker: 2, start_timeout_s: 9}"
    assert load(text, "training.network_interfaces=[lo]").training.of_workers == {
        "num_workers": 3,
        "device": "cpu",
        "threads_per_worker": 2,
        "pin_workers": True,
        "start_timeout_s": 9,
        "network_interfaces": ["lo"],
        "max_restarts": 2,
    }


def test_a_setting_that_base_lacks_is_reported(load, tmp_path):
    text = BASE.read_text(encoding="utf-8")
    (tmp_path / "base.yaml").write_text(re.sub(r"  seed: 20.*\n", "", text))
    assert problems(load, "") == ["run.seed: is not set."]


# --- files --------------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE.read_text(encoding="utf-8"))
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read \(No such file"):
        load_config(str(tmp_path / "none.yaml"))


def test_a_missing_base_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"base\.yaml: not found. Put base.yaml beside shop.yaml"):
        load_config(str(tmp_path / "shop.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: [1", "is not valid YAML"),
        ("- model", "expected sections with keys, found list"),
        ("model: {factors: 8}\nmodel: {kind: gmf}", "model is given twice"),
        ("model:\n  factors: 8\n  factors: 16", "factors is given twice"),
    ],
)
def test_a_file_that_is_not_sections_with_keys_is_refused(load, text, message):
    with pytest.raises(ConfigError, match=rf"shop\.yaml: .*{message}"):
        load(text)


def test_a_file_that_is_not_utf8_is_refused(load, tmp_path):
    load()
    (tmp_path / "shop.yaml").write_bytes(b"campaign: {id: \xff\xfe}")
    with pytest.raises(ConfigError, match=r"shop\.yaml: is not valid YAML: .*utf-8"):
        load_config(str(tmp_path / "shop.yaml"))


def test_settings_cannot_be_changed_after_loading(load):
    with pytest.raises(Exception, match="frozen"):
        load().run.seed = 3


def test_a_date_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(
        ConfigError, match=r"--set run\.date=2026-13-01: .*month must be in 1\.\.12"
    ):
        load_config("conf/base.yaml", ["run.date=2026-13-01"])
    path = tmp_path / "shop.yaml"
    path.write_text("run: {date: 2026-02-30}")
    with pytest.raises(ConfigError, match=r"shop\.yaml: .*day is out of range"):
        load_config(str(path))


def test_too_few_draws_give_no_interval():
    with pytest.raises(ConfigError, match=r"bootstrap_samples is 49; set at least 50"):
        load_config("conf/base.yaml", ["evaluation.bootstrap_samples=49"])
    assert load_config("conf/base.yaml", ["evaluation.bootstrap_samples=0"])
