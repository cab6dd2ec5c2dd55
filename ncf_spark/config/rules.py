"""Rules across the sections of a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncf_spark.config.campaign import BY_EMAIL

if TYPE_CHECKING:
    from ncf_spark.config.settings import Config


def find_problems(config: Config) -> list[str]:
    """The rules that a configuration breaks, each as a message with what to do."""
    return [
        *_problems_of_sections(config),
        *_problems_of_candidates(config),
        *_problems_of_campaign(config),
    ]


def _problems_of_sections(config: Config) -> list[str]:
    campaign, scoring, split, training = (
        *(config.campaign, config.scoring, config.split, config.training),
    )
    is_provided = split.method == "provided"
    has_popularity = "popularity" in config.evaluation.baselines
    rules = {
        f"campaign.k is {campaign.k} but scoring.k is {scoring.k}; raise scoring.k (a campaign "
        "shows scored items only)": campaign.k <= scoring.k,
        "training.patience needs validation items; set split.validation: true": (
            training.patience is None or split.validation
        ),
        "training.warm_epochs cannot be used with split.method provided: a model that starts from "
        "earlier weights may have seen the test pairs; set it to null": (
            training.warm_epochs is None or not is_provided
        ),
        "split.method is provided; set split.holdout.path": (
            split.holdout.configured or not is_provided
        ),
        f"split.method is {split.method}; set input.columns.time (or provide a test set: "
        "split.method provided)": is_provided or config.input.columns.time is not None,
        "gates.of_popularity compares with popularity; add it to evaluation.baselines, or set "
        "gates.of_popularity: null": config.gates.of_popularity is None or has_popularity,
        "activity.features needs the item features; set catalogue.path (or activity.features: "
        "null, to score activity by counts)": (
            config.catalogue.configured or not config.activity.features
        ),
    }
    return [message for message, holds in rules.items() if not holds]


def _problems_of_candidates(config: Config) -> list[str]:
    """Empty without candidates."""
    model, evaluation = config.model, config.evaluation
    if not model.candidates:
        return []
    made = [model.kind, *evaluation.compared, *evaluation.baseline_models]
    unknown = [name for name in model.candidates if name not in made]
    protocols = ["full", f"sampled_{evaluation.num_negatives}"]
    rules = {
        f"model.candidates: {unknown} are not among the models of the night, {made}; add them to "
        "evaluation.baselines or evaluation.compared": not unknown,
        f"model.candidates: {model.candidates} has a name twice; remove one": (
            len(set(model.candidates)) == len(model.candidates)
        ),
        f"model.selection.protocol is {model.selection.protocol}, but models are judged by "
        f"{' and '.join(protocols)}; choose one of these, or change evaluation.num_negatives": (
            model.selection.protocol in protocols
        ),
        f"model.selection.k is {model.selection.k}, but evaluation.ks is {evaluation.ks}; choose "
        "one of these, or add it there": model.selection.k in evaluation.ks,
        "model.candidates are compared by their 95 % intervals, but evaluation.bootstrap_samples "
        "is 0; set it to 50 or more": evaluation.bootstrap_samples > 0,
    }
    return [message for message, holds in rules.items() if not holds]


def _problems_of_campaign(config: Config) -> list[str]:
    campaign, columns = config.campaign, config.recipients.columns
    has_last_mail = config.send_log.configured or columns.last_sent_at
    by = campaign.best_sellers.by
    rules = {
        "campaign.pairs.wanted needs campaign.pairs.wanted_types, which is empty": (
            campaign.pairs.wanted_types or not campaign.pairs.wanted
        ),
        "campaign.frequency needs send_log.path, or recipients.columns.last_sent_at; both are "
        "null": has_last_mail or not campaign.frequency,
        f"campaign.best_sellers.by is {by}; set recipients.columns.{by}, or "
        "campaign.best_sellers.by: null": by is None or getattr(columns, by),
    }
    rules |= {
        f"campaign.files.profiles: {profile} identifies people by their address; set "
        "recipients.columns.email": columns.email
        for profile in campaign.files.profiles
        if profile in BY_EMAIL
    }
    needs = [
        f"{setting} needs {needed}, which is null"
        for setting, used, needed in _needs(config)
        if used and not _is_configured(config, needed)
    ]
    return [*needs, *(message for message, holds in rules.items() if not holds)]


def _needs(config: Config) -> list[tuple[str, object, str]]:
    """Each setting of the campaign, whether it is used, and the setting that it needs."""
    campaign = config.campaign
    pairs, lists = campaign.pairs, campaign.lists
    return [
        ("campaign.pairs.sent_days", pairs.sent_days, "send_log.path"),
        ("campaign.pairs.sent_days", pairs.sent_days, "send_log.columns.item"),
        ("campaign.pairs.bought_types", pairs.bought_types, "input.columns.type"),
        ("campaign.pairs.bought_days", pairs.bought_days, "input.columns.time"),
        ("campaign.pairs.consumable", pairs.consumable, "input.columns.time"),
        ("campaign.best_sellers.days", campaign.best_sellers.days, "input.columns.time"),
        ("campaign.audience", campaign.audience, "recipients.path"),
        ("suppressions", config.suppressions, "recipients.path"),
        ("campaign.lists.max_per_category", lists.max_per_category, "catalogue.columns.category"),
        ("campaign.lists.max_per_brand", lists.max_per_brand, "catalogue.columns.brand"),
        *[
            (f"campaign.items.required: {name}", True, f"catalogue.columns.{name}")
            for name in campaign.items.required
        ],
    ]


def _is_configured(config: Config, setting: str) -> bool:
    """Whether a column or a table (by path or catalog name) is configured."""
    section, *names = setting.split(".")
    source = getattr(config, section)
    if names == ["path"]:
        return bool(source.configured)
    return getattr(source.columns, names[-1]) is not None
