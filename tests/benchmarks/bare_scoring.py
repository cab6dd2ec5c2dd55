"""Scored pairs a second of the block scorer, for a machine that has torch and no Spark.

python -m tests.benchmarks.bare_scoring                                   # on the GPU, else the CPU
python -m tests.benchmarks.bare_scoring --users 4096 --items 3706 --factors 8 --tower 64 32 16 8
python -m tests.benchmarks.bare_scoring --tf32                            # products rounded to TF32

A NeuMF with spread-out random vectors; the best k items of every user, seen items left out.
Without options it has the size of MovieLens 20M. The lists are exact either way: what single
precision, or TF32, cannot tell apart is scored again in double precision. TF32's wider bound lets
more through, so it pays only where the candidates of a user, which are printed, stay few.
"""

from __future__ import annotations

import argparse
import json
import time

import torch

from ncf_spark.model.recommender import Architecture, Recommender, initialise_shared
from ncf_spark.model.tiles import tile_bytes_of
from ncf_spark.scoring import best
from ncf_spark.scoring.best import BestItems
from ncf_spark.scoring.blocks import UserBlock


def build_model(arguments: argparse.Namespace) -> Recommender:
    """Random weights and item vectors."""
    architecture = Architecture(
        **{"kind": "neumf", "factors": arguments.factors, "gmf_output": "learned"},
        **{"tower": tuple(arguments.tower), "activation": "relu", "non_negative": False},
        **{"dropout": (0.0,) * (len(arguments.tower) - 1), "similarity": "dot"},
        **{"temperature": 1.0, "embedding_init": "normal", "output_init": "lecun_uniform"},
        num_items=arguments.items,
    )
    model = Recommender(architecture, 0)
    initialise_shared(model, architecture, 1)
    with torch.no_grad():
        model.item_vectors.mul_(100)
    return model


def build_blocks(
    arguments: argparse.Namespace, width: int, device: torch.device
) -> list[UserBlock]:
    """All users with their seen items, on the device."""
    generator = torch.Generator().manual_seed(2)
    blocks = []
    for low in range(0, arguments.users, arguments.rows):
        rows = min(arguments.rows, arguments.users - low)
        vectors = torch.randn(rows, width, generator=generator)
        seen = torch.randint(arguments.items, (rows * arguments.seen,), generator=generator)
        owners = torch.arange(rows).repeat_interleave(arguments.seen)
        blocks.append(UserBlock(vectors.to(device), (owners.to(device), seen.to(device))))
    return blocks


def measure(finder: BestItems, blocks: list[UserBlock], device: torch.device) -> float:
    """Seconds for all blocks, after one that is not counted."""
    finder(blocks[0])
    wait(device)
    started = time.perf_counter()
    for block in blocks:
        finder(block)
    wait(device)
    return time.perf_counter() - started


def wait(device: torch.device) -> None:
    """Until the GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--users", type=int, default=138_493)
    parser.add_argument("--items", type=int, default=26_744)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--tower", type=int, nargs="+", default=[256, 256, 128, 64])
    parser.add_argument("--seen", type=int, default=144, help="items of a user")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--rows", type=int, default=0, help="users of a block; 0: by device")
    parser.add_argument("--tile-bytes", type=int, default=0, help="0: by device")
    parser.add_argument("--tf32", action="store_true")
    arguments = parser.parse_args()
    found = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(found if arguments.device == "auto" else arguments.device)
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = arguments.tf32
    arguments.rows = arguments.rows or best.rows_of(device)
    model = build_model(arguments).to(device)
    finder = BestItems(
        model,
        torch.arange(arguments.items, device=device),
        arguments.k,
        arguments.tile_bytes or tile_bytes_of(device),
        precision=2.0**-11 if arguments.tf32 else 2.0**-24,
    )
    blocks = build_blocks(arguments, model.head.width, device)
    seconds = measure(finder, blocks, device)
    pairs = arguments.users * arguments.items
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    speed = {"pairs_per_second": pairs / seconds, "seconds": seconds}
    shares = {"candidates_per_user": finder.num_candidates / (finder.num_rows or 1)}
    print(json.dumps({"device": name, "tf32": arguments.tf32, **speed, **shares}))


if __name__ == "__main__":
    main()
