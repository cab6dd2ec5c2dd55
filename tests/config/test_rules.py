"""What a configuration may say; `test_loading.py` has how it is read."""

import pytest

from tests.config.conftest import problems


def test_unknown_keys_wrong_types_and_ranges_are_reported_together_with_their_places(load):
    text = """
    inptu: {path: events}
    run: {seed: -1}
    input: {columns: {uesr: id}, options: {header: [1]}}
    model: {factors: eight, kind: svd}
    training: {num_workers: true, checkpoint_every: 5, resident_bytes: 1.0e+9}
    """
    assert problems(load, text, "split.holdout_days=0") == [
        "inptu: unknown setting. conf/base.yaml lists all settings.",
        "input.columns.uesr: unknown setting. conf/base.yaml lists all settings.",
        "input.options.header is [1]; it should be a valid string",
        "model.factors is 'eight'; it should be a valid integer",
        "model.kind is 'svd'; it should be 'mf', 'gmf', 'mlp' or 'neumf'",
        "run.seed is -1; it should be greater than or equal to 0",
        "split.holdout_days is 0; it should be greater than or equal to 1",
        "training.checkpoint_every is 5; it should be a section with keys",
        "training.num_workers is true; it should be a valid integer",
        "training.resident_bytes is 1000000000.0; it should be a valid integer: write 1000000000",
    ]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        # Types that are declared once and used by many settings.
        ("storage.warehouse=''", "storage.warehouse is ''; it should have at least 1 char"),
        ("model.temperature=0", "model.temperature is 0; it should be greater than 0"),
        ("training.l2_output=-1", "training.l2_output is -1; it should be greater than or equal"),
        ("campaign.arms.holdout=1.5", "campaign.arms.holdout is 1.5; it should be less than or"),
        ("input.min_value=.nan", "input.min_value is nan; it should be a finite number"),
        ("input=", "input is null; it should be a section with keys"),
        # Ranges of single settings.
        ("model.tower=[8]", "model.tower is [8]; it should have at least 2 items"),
        ("model.dropout=[]", "model.dropout is []; it should have at least 1 item"),
        ("model.dropout=[1.0]", "model.dropout.0 is 1.0; it should be less than 1"),
        ("model.selection.protocol=sampled", "model.selection.protocol is 'sampled'; it should m"),
        ("evaluation.segment_bounds=[10]", "evaluation.segment_bounds is [10]; it should have at"),
        ("measurement.bootstrap_samples=49", "measurement.bootstrap_samples is 49; it should be"),
        ("campaign.id=a/b", "campaign.id is 'a/b'; it should match pattern"),
        # Rules of one section.
        ("training.num_workers=65", "training: num_workers is 65 but num_shards is 64; raise num"),
        ("model.tower=[7, 4]", "model: tower starts with 7, which must be even"),
        ("model.dropout=[0.1, 0.2]", "model: dropout has 2 shares, but tower has 3 layers after"),
        ("model={kind: mlp, non_negative: true}", "model: non_negative needs kind mf or gmf, not"),
        ("model={kind: gmf, similarity: cosine}", "model: similarity cosine needs kind mf, not g"),
        ("sampling={uniform: 0, popularity: 0}", "sampling: low_activity, low_activity_by_counts"),
        ("training.pretraining.gmf.epochs=1", "training.pretraining: gmf.epochs is 1 and mlp.ep"),
        ("evaluation.segment_bounds=[5, 5]", "evaluation: segment_bounds is [5, 5]; the first mu"),
        ("evaluation.bootstrap_samples=49", "evaluation: bootstrap_samples is 49; set at least 5"),
        ("input={path: a, table: b}", "input: has both path and table; keep one of them"),
        ("input.min_value=4", "input: min_value needs columns.value, which is null"),
        ("input.event_weights={view: 1}", "input: event_weights needs columns.type, which is nul"),
        ("generate.num_items=19", "generate: num_items is 19 but num_categories is 20; each cat"),
        ("campaign.min_items=11", "campaign: min_items is 11 but k is only 10"),
        ("campaign.tiers=[model, model]", "campaign: tiers is ['model', 'model']; list one or"),
        ("campaign.tiers=[]", "campaign: tiers is []; list one or more"),
        ("campaign.lists.min_categories=3", "campaign: lists.min_categories is 3 but min_items is"),
        ("campaign.arms={popular: 0.5, holdout: 0.6}", "campaign.arms: popular is 0.5 and holdou"),
        ("measurement={sent: [], opened: [], clicked: [], bought: []}", "measurement: has no eve"),
        ("gates.volume.low=3", "gates.volume: low is 3.0 but high is 2.0; low must be smaller"),
        ("gates.volume.nights=2", "gates.volume: at_least is 3 but nights is only 2"),
        (
            "recipients.consent_values={yes: [ja], no: [ja]}",
            "recipients.consent_values: yes and no both contain ['ja']; keep each word in one",
        ),
        # Rules across sections.
        ("campaign.k=21", "campaign.k is 21 but scoring.k is 20; raise scoring.k"),
        ("input.columns.time=", "split.method is leave_one_out; set input.columns.time"),
        ("split.method=provided", "split.method is provided; set split.holdout.path"),
        ("activity.features={posts: 1}", "activity.features needs the item features; set catal"),
        ("evaluation.baselines=[]", "gates.of_popularity compares with popularity; add it to eva"),
    ],
)
def test_a_value_that_cannot_be_is_named(load, override, line):
    (found,) = problems(load, "", override)
    assert found.startswith(line)


def test_every_rule_that_is_broken_is_reported(load):
    broken = "model={kind: neumf, tower: [7, 4], dropout: [0, 0], non_negative: true}"
    found = problems(load, "model: {similarity: cosine}", broken)
    assert [line.split()[1] for line in found] == ["dropout", "non_negative", "similarity", "tower"]
    text = "split: {method: provided}\nactivity: {features: {posts: 1}}\ncampaign: {k: 30}"
    assert [line.split()[0] for line in problems(load, text)] == [
        *("activity.features", "campaign.k", "split.method"),
    ]


@pytest.mark.parametrize(
    ("text", "override"),
    [
        ("", "split.validation=false"),
        ("", "training.patience=3"),
        ("", "evaluation.bootstrap_samples=0"),
        ("model: {kind: mf}", "model.non_negative=true"),
        ("model: {kind: gmf}", "model.non_negative=true"),
        ("split: {method: provided, holdout: {path: test.csv}}", "input.columns.time="),
        ("campaign: {arms: {popular: 0.3}}", "campaign.arms.holdout=0.7"),
        # How often someone had mail may be a column of the recipients.
        (
            "recipients: {path: r, columns: {last_sent_at: l}}",
            "campaign.frequency={sends: 1, days: 7}",
        ),
    ],
)
def test_what_is_allowed(load, text, override):
    assert load(text, override)


@pytest.mark.parametrize(
    ("text", "override", "line"),
    [
        (
            "split: {validation: false}",
            "training.patience=3",
            "training.patience needs validation items; set split.validation: true",
        ),
        (
            "split: {method: provided, holdout: {path: test.csv}}",
            "training.warm_epochs=3",
            "training.warm_epochs cannot be used with split.method provided: a model that starts "
            "from earlier weights may have seen the test pairs; set it to null",
        ),
    ],
)
def test_settings_that_exclude_each_other(load, text, override, line):
    assert problems(load, text, override) == [line]


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


def test_a_suppression_list_is_a_table_as_any_other(load):
    text = "recipients: {path: r}\nsuppressions: {out: {path: a, %s columns: {email: mail}}}"
    given = load(text % "options: {header: true, sep: ';'},").suppressions["out"]
    assert given.options == {"header": "true", "sep": ";"}
    default = load(text % "").suppressions["out"]
    assert (default.format, default.options) == ("csv", {"header": "true"})
    for content, line in [
        ("{path: a.csv, columns: {}}", "suppressions.out.columns: has none of user, email, email"),
        ("{columns: {user: u}}", "suppressions.out: has neither path nor table; set one of them"),
    ]:
        (found,) = problems(load, "recipients: {path: r}", f"suppressions={{out: {content}}}")
        assert found.startswith(line)


# --- what follows from the settings -------------------------------------------------------------


def test_one_dropout_is_for_every_layer_of_the_tower(load):
    tower = "model: {tower: [8, 6, 4, 2]}"
    assert load(tower, "model.dropout=[0.5]").model.layer_dropout == [0.5, 0.5, 0.5]
    assert load(tower, "model.dropout=[0.1, 0.2, 0.3]").model.layer_dropout == [0.1, 0.2, 0.3]


def test_the_mixture_of_the_negatives_adds_up_to_1(load):
    weights = "{low_activity: 1, low_activity_by_counts: 2, uniform: 0, popularity: 5}"
    assert load("", f"sampling={weights}").sampling.mixture == {
        "low_activity": 0.125,
        "low_activity_by_counts": 0.25,
        "uniform": 0.0,
        "popularity": 0.625,
    }


def test_the_settings_of_the_workers(load):
    text = "training: {num_workers: 3, device: cpu, threads_per_worker: 2, start_timeout_s: 9}"
    assert load(text, "training.network_interfaces=[lo]").training.of_workers == {
        **{"num_workers": 3, "device": "cpu", "threads_per_worker": 2, "pin_workers": True},
        **{"start_timeout_s": 9, "network_interfaces": ["lo"], "max_restarts": 2},
    }


def test_each_outcome_has_its_types_and_an_empty_one_is_not_measured(load):
    measured = load("measurement: {sent: [], opened: [open, click], clicked: []}").measurement
    assert measured.types == {"opened": ["open", "click"], "bought": ["bought"]}
