"""Whether a finished step would come out the same, so that a rerun may skip it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ncf_spark.config import Config, Source
from ncf_spark.inputs import sources
from ncf_spark.job.context import Job
from ncf_spark.schemas import DataError
from ncf_spark.storage.runs import Run

# Of section campaign, what scoring leaves out.
_OF_SCORING = (
    *("campaign.items", "campaign.pairs.known", "campaign.pairs.bought", "campaign.pairs.wanted"),
    *("campaign.pairs.bought_days", "campaign.pairs.sent_days"),
    *("campaign.pairs.consumable", "campaign.pairs.consumable_days"),
    *("campaign.lists.pin", "campaign.lists.boost", "campaign.files.profiles"),
)
# What each step makes its tables from, beside the tables of the steps before it.
_SETTINGS = {
    "build_interactions": (
        *("run.seed", "input", "catalogue", "activity.features", "split", "training.num_shards"),
        *("evaluation.num_negatives", "training.warm_epochs", "training.full_retrain_every_days"),
        *("campaign.pairs.bought_types", "campaign.pairs.wanted_types"),
    ),
    "score_item_activity": ("activity",),
    "train": (
        *("run.seed", "model", "training", "sampling", "evaluation.baselines"),
        *("evaluation.compared", "evaluation.als", "evaluation.item_item"),
    ),
    "evaluate": ("run.seed", "model", "evaluation"),
    "score_users": (
        *("model", "scoring", "catalogue", "recipients", "send_log"),
        *_OF_SCORING,
    ),
    "similar_items": ("model", "scoring"),
    "export_campaign": ("campaign", "recipients", "suppressions", "send_log"),
}
# Of section model, but not of what is trained.
_OF_THE_CHOICE = ("model.candidates", "model.selection")
# How, not what: another machine may hold the workers otherwise.
_MEANS = {
    *("num_workers", "device", "threads_per_worker", "pin_workers", "worker_memory_bytes"),
    *("start_timeout_s", "network_interfaces", "max_restarts", "checkpoint_every"),
    *("resident_bytes", "block_bytes"),
}


def read_inputs(job: Job, step: str) -> dict[str, dict[str, Any]]:
    """What the customer's files that a step reads look like, by the section that names them.

    Raises:
        DataError: naming every place where there is nothing.
    """
    found, problems = {}, []
    for name, source in _sources(job.config, step).items():
        if not source.configured:
            continue
        try:
            found[name] = sources.fingerprint(job.spark, source, name)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    return found


def changes(job: Job, step: str, record: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """What is otherwise than when a step finished; none: it would come out the same.

    Args:
        record: what the step wrote about itself.
        inputs: as of `read_inputs`, now.
    """
    then, now = record.get("config", {}), job.config.model_dump(mode="json")
    found = [
        f"{key} was {_at(then, key)}, is {_at(now, key)}"
        for prefix in _SETTINGS.get(step, ())
        for key in _differing(prefix, _at(then, prefix), _at(now, prefix))
        if step != "train" or not key.startswith(_OF_THE_CHOICE)
    ]
    before = record.get("inputs", {})
    found += [
        f"the files of {name} have changed"
        for name in sorted({*before, *inputs})
        if before.get(name) != inputs.get(name)
    ]
    if not job.run.is_complete:
        found += [
            f"{_BESIDE[key]} was {record.get(key)}, is {name}"
            for key, name in runs_beside(job, step).items()
            # A step that was copied has the numbers of the run that it was copied from.
            if name != record.get(key) and (name, key) != (record.get("copied_from"), "based_on")
        ]
    return found


_BESIDE = {"based_on": "the run that ids go on from", "night_before": "the night before"}


def runs_beside(job: Job, step: str) -> dict[str, str | None]:
    """The names of the other runs that a step reads, under the keys of its record."""
    found: dict[str, Run | None] = {}
    if step == "build_interactions":
        found["based_on"] = job.warehouse.last_complete_run()
    if step in ("build_interactions", "evaluate", "export_campaign"):
        found["night_before"] = job.warehouse.night_before(job.run)
    return {key: None if run is None else run.name for key, run in found.items()}


def _sources(config: Config, step: str) -> dict[str, Source]:
    if step == "build_interactions":
        known: dict[str, Source] = {"input": config.input, "catalogue": config.catalogue}
        return known | ({"split.holdout": config.split.holdout} if _provided(config) else {})
    if step == "score_users":
        bound = {"recipients": config.recipients} if config.catalogue.columns.countries else {}
        return {"send_log": config.send_log, **bound}
    if step == "export_campaign":
        lists = {f"suppressions.{name}": one for name, one in config.suppressions.items()}
        return {"recipients": config.recipients, "send_log": config.send_log, **lists}
    return {}


def _provided(config: Config) -> bool:
    return config.split.method == "provided"


def _differing(key: str, then: Any, now: Any) -> Iterable[str]:
    """The keys at and below `key` whose values differ."""
    if key.rsplit(".", 1)[-1] in _MEANS:
        return
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in sorted({*then, *now}):
            yield from _differing(f"{key}.{name}", then.get(name), now.get(name))
    elif then != now:
        yield key


def _at(content: Any, key: str) -> Any:
    for part in key.split("."):
        content = content.get(part) if isinstance(content, Mapping) else None
    return content
