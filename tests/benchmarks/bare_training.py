"""Samples a second of one worker, for a machine that has torch and neither Spark nor Horovod.

python -m tests.benchmarks.bare_training                       # on the GPU if there is one
python -m tests.benchmarks.bare_training --precision bfloat16 --batch 2097152
python -m tests.benchmarks.bare_training --scale 0.01          # a size for a CPU

Generated positives of the shape of MovieLens 20M (138,493 users, 26,744 items, 20 million, of which
none twice), NeuMF of 64 factors, tower 256-256-128-64, 4 uniform negatives, binary cross-entropy,
Adam. Drawing, rejection and the optimiser count. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
from torch import Tensor

from ncf_spark.model.recommender import (
    Architecture,
    Recommender,
    initialise_shared,
    initialise_users,
)
from ncf_spark.training.batches import Resident
from ncf_spark.training.communicator import SingleWorker
from ncf_spark.training.loop import LoopSettings, Trainer
from ncf_spark.training.positives import PositiveSet
from ncf_spark.training.process import keep_freed_memory
from ncf_spark.training.sampler import NegativeSampler

NUM_USERS, NUM_ITEMS, NUM_POSITIVES = 138_493, 26_744, 20_000_000


def generated_positives(num_users: int, num_items: int, count: int) -> tuple[Tensor, Tensor]:
    """About `count` distinct pairs; users and items are as unequal as in a shop."""
    generator = torch.Generator().manual_seed(1)
    users, items = (
        (size * torch.rand(count * 5 // 4, generator=generator, dtype=torch.float64) ** 2).long()
        for size in (num_users, num_items)
    )
    keys = torch.unique(users * num_items + items)
    keys = keys[torch.randperm(len(keys), generator=generator)[:count]]
    return (keys // num_items).int(), (keys % num_items).int()


def build_trainer(arguments: argparse.Namespace, device: torch.device) -> Trainer:
    """A worker alone, with its model and positives on the device."""
    num_users = max(50, int(NUM_USERS * arguments.scale))
    num_items = max(50, int(NUM_ITEMS * arguments.scale))
    count = max(100, int(NUM_POSITIVES * arguments.scale))
    users, items = generated_positives(num_users, num_items, count)
    architecture = Architecture(
        **{"kind": "neumf", "factors": arguments.factors, "gmf_output": "learned"},
        **{"tower": tuple(arguments.tower), "activation": "relu", "non_negative": False},
        **{"dropout": (0.0,) * (len(arguments.tower) - 1), "similarity": "dot"},
        **{"temperature": 1.0, "embedding_init": "normal", "output_init": "lecun_uniform"},
        num_items=num_items,
    )
    model = Recommender(architecture, num_users)
    initialise_shared(model, architecture, 1)
    initialise_users(model, architecture, [(0, num_users)], num_users, 1)
    settings = LoopSettings(
        **{"epochs": 1, "batch_size": arguments.batch // (1 + arguments.negatives)},
        **{"num_negatives": arguments.negatives, "loss": "bce", "optimiser": "adam"},
        **{"learning_rate": 0.001, "warmup_epochs": 0.0, "decay": "none", "l2": 0.0},
        **{"l2_kernels": 0.0, "l2_output": 0.0, "user_balance": 0.0, "seed": 1},
        **{"precision": arguments.precision, "exchange": "float32"},
    )
    positives = Resident(users.to(device), items.to(device))
    rejected = PositiveSet(positives.rows(), len(users), num_users, num_items, device)
    generator = torch.Generator(device).manual_seed(1)
    sampler = NegativeSampler(
        torch.ones(num_items), rejected, arguments.negatives, arguments.retries, generator
    )
    return Trainer(model.to(device), sampler, positives, settings, SingleWorker())


def measure(trainer: Trainer, steps: int, device: torch.device) -> dict[str, float]:
    """Samples a second over some steps, after a few that are not counted."""
    of_epoch = trainer.steps(1)
    for _ in range(min(3, trainer.num_steps // 2)):
        trainer.train_step(*next(of_epoch))
    wait(device)
    started, samples, taken = time.perf_counter(), 0, 0
    for step_samples, global_size in of_epoch:
        trainer.train_step(step_samples, global_size)
        samples, taken = samples + step_samples.items.numel(), taken + 1
        if taken == steps:
            break
    wait(device)
    seconds = time.perf_counter() - started
    return {
        "samples_per_step": samples // taken,
        "samples_per_second": samples / seconds,
        "ms_per_step": 1e3 * seconds / taken,
    }


def wait(device: torch.device) -> None:
    """Until the GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected more than 0, at most 1; found {text}")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--scale", type=_share, default=1.0, help="of users, items and positives")
    parser.add_argument("--batch", type=int, default=1_048_576, help="samples of a step")
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--tower", type=int, nargs="+", default=[256, 256, 128, 64])
    parser.add_argument("--negatives", type=int, default=4)
    parser.add_argument("--retries", type=int, default=8)
    precisions = ("float32", "tf32", "bfloat16")
    parser.add_argument("--precision", default="float32", choices=precisions)
    parser.add_argument("--steps", type=int, default=30, help="that are counted, at most")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    device = torch.device(arguments.device)
    trainer = build_trainer(arguments, device)
    found = measure(trainer, arguments.steps, device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    told = {"device": name, "precision": arguments.precision, **found, "peak_bytes": peak}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
