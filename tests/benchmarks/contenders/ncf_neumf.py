"""Our NeuMF on the positives of an .npz file, one worker, without Spark and Horovod.

For each line `epoch` it trains one epoch, for `judge` it ranks the test items against the file's
negatives.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import numpy as np
import torch

from ncf_spark.config import load_config
from ncf_spark.model.recommender import (
    Architecture,
    Recommender,
    initialise_shared,
    initialise_users,
)
from ncf_spark.training.batches import Resident
from ncf_spark.training.communicator import Communicator, SingleWorker
from ncf_spark.training.loop import LoopSettings, Trainer
from ncf_spark.training.positives import PositiveSet
from ncf_spark.training.process import keep_freed_memory
from ncf_spark.training.sampler import NegativeSampler
from ncf_spark.training.shards import UserShards
from tests.benchmarks.duel import ROOT


def build_trainer(
    arrays: dict[str, np.ndarray], settings: Sequence[str], communicator: Communicator
) -> Trainer:
    """A trainer on this worker's share of the file's positives, with uniform negatives."""
    config = load_config(ROOT / "conf" / "base.yaml", list(settings))
    num_users, num_items = int(arrays["num_users"]), int(arrays["num_items"])
    num_workers = communicator.num_workers
    shards = UserShards(num_users, num_workers, communicator.worker_rank, num_workers)
    own = arrays["users"] % num_workers == communicator.worker_rank
    users = torch.from_numpy(shards.rows_of(arrays["users"][own])).int()
    positives = Resident(users, torch.from_numpy(arrays["items"][own]).int())
    architecture = Architecture.of(config.model, num_items)
    model = Recommender(architecture, shards.num_rows)
    initialise_shared(model, architecture, config.run.seed)
    initialise_users(model, architecture, shards.owned, num_users, config.run.seed)
    loop = LoopSettings.of(config)
    generator = torch.Generator().manual_seed(config.run.seed + communicator.worker_rank)
    rejected = PositiveSet(positives.rows(), len(users), shards.num_rows, num_items, users.device)
    sampler = NegativeSampler(torch.ones(num_items), rejected, loop.num_negatives, 8, generator)
    return Trainer(model, sampler, positives, loop, communicator)


@torch.no_grad()
def hit_ratio(model: Recommender, arrays: dict[str, np.ndarray]) -> float:
    """HR@10 of the test items against their negatives; a tie is no hit."""
    model.eval()
    users = torch.from_numpy(arrays["test_users"]).long()
    columns = [arrays["test_items"], arrays["test_negatives"]]
    scores = model(users, torch.from_numpy(np.column_stack(columns)).long())
    ranks = 1 + (scores[:, 1:] >= scores[:, :1]).sum(dim=1)
    return (ranks <= 10).double().mean().item()


def main(data: str, settings: Sequence[str]) -> None:
    """Answers the requests on standard input."""
    arrays = dict(np.load(data))
    torch.set_num_threads(1)
    keep_freed_memory()
    trainer = build_trainer(arrays, settings, SingleWorker())
    epoch = 0
    for request in sys.stdin:
        if request.strip() == "epoch":
            epoch += 1
            done = trainer.train_epoch(epoch)
            answer = {"samples_per_second": done["samples"] / done["seconds"]}
        else:
            answer = {"hr@10": hit_ratio(trainer.model, arrays)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
