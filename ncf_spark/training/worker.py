"""What one worker does from start to end: load, train, evaluate, save its part of the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ncf_spark.evaluation.metrics import metric_values, rank_histogram
from ncf_spark.evaluation.ranking import pad, sampled_ranks
from ncf_spark.model import store
from ncf_spark.model.deferred import describe, materialise
from ncf_spark.model.recommender import (
    Architecture,
    Recommender,
    initialise_shared,
    initialise_users,
)
from ncf_spark.storage import arrays, files
from ncf_spark.training.communicator import Communicator
from ncf_spark.training.loader import read_positives
from ncf_spark.training.loop import LoopSettings, Trainer
from ncf_spark.training.progress import write_history
from ncf_spark.training.sampler import NegativeSampler
from ncf_spark.training.shards import UserShards


@dataclass(frozen=True)
class TrainingTask:
    """What is sent to every worker: places and plain values, no data."""

    train_uri: str
    holdout_uri: str
    activity_uri: str
    model_uri: str
    num_users: int
    num_shards: int
    architecture: Architecture
    loop: LoopSettings
    max_retries: int
    ks: tuple[int, ...]
    evaluate_every: int


def train_worker(
    task: TrainingTask,
    communicator: Communicator,
    device: torch.device,
) -> list[dict[str, Any]]:
    """Trains this worker's part and writes it below `task.model_uri`.

    Returns:
        The record of each epoch, the same on every worker.
    """
    shards = UserShards(
        task.num_users, task.num_shards, communicator.worker_rank, communicator.num_workers
    )
    trainer = _build_trainer(task, shards, communicator, device)
    holdout = Holdout.read(task.holdout_uri, shards, device)
    history: list[dict[str, Any]] = []

    def after_epoch(record: dict[str, Any]) -> None:
        epoch, last = record["epoch"], task.loop.epochs
        if epoch == last or (task.evaluate_every and epoch % task.evaluate_every == 0):
            record |= holdout.evaluate(trainer.model, task.ks, communicator)
        history.append(record)
        if communicator.worker_rank == 0:
            write_history(task.model_uri, history)

    trainer.fit(after_epoch)
    _save(task.model_uri, trainer.model, shards)
    return history


def _build_trainer(
    task: TrainingTask, shards: UserShards, communicator: Communicator, device: torch.device
) -> Trainer:
    users, items = read_positives(task.train_uri, [shard for shard, _ in shards.owned])
    rows = torch.from_numpy(shards.rows_of(users)).to(device)
    columns = torch.from_numpy(items.astype(np.int64)).to(device)
    model = describe(lambda: Recommender(task.architecture, shards.num_rows))
    model = materialise(model, device)
    seed = task.loop.seed
    initialise_shared(model, task.architecture, seed)
    initialise_users(model, task.architecture, shards.owned, task.num_users, seed)
    generator = torch.Generator(device).manual_seed(seed * 1_009 + communicator.worker_rank)
    # Dropout draws from torch's own generator.
    torch.manual_seed(2**40 + seed * 1_009 + communicator.worker_rank)
    probabilities = _probabilities(task).to(device)
    sampler = NegativeSampler(probabilities, rows, columns, task.max_retries, generator)
    return Trainer(model, sampler, rows, columns, task.loop, communicator)


def _probabilities(task: TrainingTask) -> Tensor:
    """(I,) of each item; 0 for those without interactions tonight."""
    columns = arrays.read_columns(task.activity_uri, ["item_index", "negative_probability"])
    probabilities = torch.zeros(task.architecture.num_items, dtype=torch.float64)
    items = torch.tensor(columns["item_index"], dtype=torch.int64)
    probabilities[items] = torch.tensor(columns["negative_probability"])
    return probabilities


@dataclass(frozen=True)
class Holdout:
    """This worker's rows to be judged on.

    Args:
        users: (B,) table rows.
        items: (B,) the held-out items.
        rivals: (B, N) items to rank each against; -1 is padding.
    """

    users: Tensor
    items: Tensor
    rivals: Tensor

    @classmethod
    def read(cls, uri: str, shards: UserShards, device: torch.device) -> Holdout:
        """Reads the shards' rows of `holdout`."""
        parts = [
            part
            for shard, _ in shards.owned
            for part in files.list_files(f"{uri}/shard={shard}", ".parquet")
        ]
        scalars, values, offsets = arrays.read_lists(
            parts, "negatives", ["user_index", "item_index"]
        )
        users = torch.from_numpy(shards.rows_of(scalars["user_index"]))
        items = torch.from_numpy(scalars["item_index"].astype(np.int64))
        rivals = pad(torch.from_numpy(values.astype(np.int64)), torch.from_numpy(offsets))
        return cls(users.to(device), items.to(device), rivals.to(device))

    @torch.no_grad()
    def evaluate(
        self, model: Recommender, ks: tuple[int, ...], communicator: Communicator
    ) -> dict[str, float]:
        """`{"hr@10": …, "ndcg@10": …}` over the rows of all workers, by the sampled protocol."""
        model.eval()
        ranks = [
            _ranks(model, self.users[part], self.items[part], self.rivals[part])
            for part in torch.arange(len(self.users), device=self.users.device).split(1024)
        ]
        found = torch.cat(ranks).cpu().numpy() if ranks else np.empty(0, np.int64)
        counts = torch.from_numpy(rank_histogram(found, max(ks)).astype(np.float64))
        communicator.sum_(counts, "rank_counts")
        return {f"{name}@{k}": value for name, k, value in metric_values(counts.numpy(), ks)}


def _ranks(model: Recommender, users: Tensor, items: Tensor, rivals: Tensor) -> Tensor:
    candidates = torch.cat([items.unsqueeze(1), rivals.clamp(min=0)], dim=1)
    scores = model(users, candidates)
    return sampled_ranks(scores[:, 0], scores[:, 1:], items, rivals)


def _save(uri: str, model: Recommender, shards: UserShards) -> None:
    vectors = model.user_vectors.detach().cpu().numpy()
    start = 0
    for shard, rows in shards.owned:
        store.save_users(uri, shard, shards.users_of(shard), vectors[start : start + rows])
        start += rows
    if shards.worker_rank == 0:
        store.save_shared(uri, model)


def save_manifest(task: TrainingTask, workers: list[dict[str, Any]]) -> None:
    """Completes the model that the workers wrote; without its manifest it is not whole.

    Args:
        workers: what each worker returned, by rank.
    """
    facts = {
        "num_users": task.num_users,
        "num_workers": len(workers),
        "loop": asdict(task.loop),
        "history": workers[0]["history"],
        "bytes_summed": workers[0]["bytes_summed"],
    }
    store.save_manifest(task.model_uri, task.architecture, facts)
