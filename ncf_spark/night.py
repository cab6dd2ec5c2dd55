"""The steps of a night in their order: what each reads and writes, and when it must run again."""

from __future__ import annotations

from ncf_spark.config import Config, Source
from ncf_spark.pipeline.step import Step

_SPLIT = ("split.method", "split.holdout_days", "split.validation")
_HISTORY = ("campaign.pairs.bought_types", "campaign.pairs.wanted_types")
# Of section campaign, what decides which items are scored; of profiles some take no long URLs.
_ITEMS = (
    *("campaign.items", "campaign.pairs.consumable", "campaign.lists.pin", "campaign.lists.boost"),
    "campaign.files.profiles",
)
# How, not what: another machine may hold the workers otherwise.
_WORKERS = tuple(
    f"training.{name}"
    for name in (
        *("num_workers", "device", "threads_per_worker", "pin_workers", "worker_memory_bytes"),
        *("start_timeout_s", "network_interfaces", "max_restarts", "checkpoint_every"),
        "resident_bytes",
    )
)


def _events(config: Config) -> dict[str, Source]:
    found: dict[str, Source] = {"input": config.input, "catalogue": config.catalogue}
    if config.split.method == "provided":
        found["split.holdout"] = config.split.holdout
    return found


def _eligibility(config: Config) -> dict[str, Source]:
    found: dict[str, Source] = {"send_log": config.send_log}
    if config.catalogue.columns.countries:
        found["recipients"] = config.recipients
    return found


def _people(config: Config) -> dict[str, Source]:
    lists = {f"suppressions.{name}": one for name, one in config.suppressions.items()}
    return {"recipients": config.recipients, "send_log": config.send_log, **lists}


_STEPS = (
    Step(
        "build_interactions",
        writes=(
            *("history", "interactions", "user_index", "item_index", "catalogue", "split"),
            *("train", "validation", "holdout"),
        ),
        settings=(
            *("run.seed", "input", "catalogue", "activity.features", "split"),
            *("training.num_shards", "evaluation.num_negatives"),
            *("training.warm_epochs", "training.full_retrain_every_days", *_HISTORY),
        ),
        inputs=_events,
        other_runs=("based_on", "night_before"),
    ),
    Step(
        "score_item_activity",
        reads=("catalogue", "split", "item_index"),
        writes=("item_activity",),
        settings=("activity",),
    ),
    Step(
        "train",
        reads=("train", "validation", "user_index", "item_index", "item_activity"),
        # Below model/ and compared/<name>/ stand user_vectors, item_vectors and what belongs to
        # them.
        writes=("model", "compared", "item_popularity", "item_neighbours"),
        settings=(
            *("run.seed", "model", "training", "sampling", "evaluation.baselines"),
            *("evaluation.compared", "evaluation.als", "evaluation.item_item"),
        ),
        except_settings=("model.candidates", "model.selection", *_WORKERS),
        must_match={"build_interactions": (*_SPLIT, "training.num_shards")},
    ),
    Step(
        "evaluate",
        reads=(
            *("item_index", "catalogue", "train", "validation", "holdout"),
            *("model", "compared", "item_popularity", "item_neighbours"),
        ),
        writes=("ranks", "metrics", "champion", "report"),
        settings=("run.seed", "model", "evaluation"),
        must_match={
            "build_interactions": (*_SPLIT, "input.columns.time", "evaluation.num_negatives"),
            "train": ("model.kind", "evaluation.baselines", "evaluation.compared"),
        },
        other_runs=("night_before",),
    ),
    Step(
        "score_users",
        reads=(
            *("history", "user_index", "item_index", "catalogue", "split", "item_activity"),
            *("model", "compared", "item_popularity", "item_neighbours", "champion"),
        ),
        writes=("campaign_items", "eligible_items", "user_topk"),
        settings=(
            *("model", "scoring", "catalogue", "recipients", "send_log"),
            *("campaign.pairs.known", "campaign.pairs.bought", "campaign.pairs.wanted"),
            *("campaign.pairs.bought_days", "campaign.pairs.sent_days"),
            *("campaign.pairs.consumable_days", *_ITEMS),
        ),
        except_settings=("scoring.block_bytes",),
        inputs=_eligibility,
        must_match={"build_interactions": _HISTORY},
    ),
    Step(
        "similar_items",
        reads=(
            *("history", "user_index", "item_index", "item_activity", "model", "compared"),
            *("champion", "eligible_items"),
        ),
        writes=("item_topk",),
        settings=("model", "scoring"),
        except_settings=("scoring.block_bytes",),
    ),
    Step(
        "export_campaign",
        reads=(
            *("history", "user_index", "campaign_items", "user_topk", "item_topk"),
            # By the gates, which follow it.
            *("train", "ranks", "metrics", "champion"),
        ),
        writes=(
            *("campaign", "campaign_long", "campaign_recipients", "campaign_report"),
            *("campaign_state", "campaign_files"),
        ),
        settings=("campaign", "recipients", "suppressions", "send_log"),
        inputs=_people,
        must_match={"build_interactions": _HISTORY, "score_users": ("scoring.k", *_ITEMS)},
        other_runs=("night_before",),
    ),
)
STEPS = {step.name: step for step in _STEPS}
FIRST_STEP, LAST_STEP = _STEPS[0].name, _STEPS[-1].name


def writer_of(table: str) -> str:
    """The step that writes a table."""
    return next(step.name for step in _STEPS if table.split("/")[0] in step.writes)
