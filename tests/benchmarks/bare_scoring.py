"""Scored pairs a second of a model's scorer, for a machine that has torch and starts no Spark.

python -m tests.benchmarks.bare_scoring                                   # on the GPU, else the CPU
python -m tests.benchmarks.bare_scoring --users 4096 --items 3706 --factors 8 --tower 64 32 16 8
python -m tests.benchmarks.bare_scoring --tf32                            # products rounded to TF32

A NeuMF with spread-out random vectors; the best k items of every user, seen items left out.
Without options it has the size of MovieLens 20M. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch

from ncf_spark.model.recommender import Architecture, Recommender, initialise_shared
from ncf_spark.model.tiles import TILE_BYTES
from ncf_spark.scoring.models import ModelScorer
from ncf_spark.scoring.scorers import BLOCK_ROWS, UserBlock
from ncf_spark.scoring.topk import top_k


def build_model(arguments: argparse.Namespace) -> Recommender:
    """Random weights and item vectors."""
    architecture = Architecture(
        **{"kind": "neumf", "factors": arguments.factors, "gmf_output": "learned"},
        **{"tower": tuple(arguments.tower), "activation": "relu", "non_negative": False},
        **{"dropout": (0.0,) * (len(arguments.tower) - 1), "similarity": "dot"},
        **{"temperature": 1.0, "embedding_init": "normal", "output_init": "lecun_uniform"},
        num_items=arguments.items,
    )
    model = Recommender(architecture, 0).eval()
    initialise_shared(model, architecture, 1)
    with torch.no_grad():
        model.item_vectors.mul_(100)
    return model


def build_blocks(arguments: argparse.Namespace, width: int) -> list[UserBlock]:
    """All users with their seen items."""
    generator, blocks = np.random.default_rng(2), []
    for low in range(0, arguments.users, arguments.rows):
        rows = min(arguments.rows, arguments.users - low)
        seen = generator.integers(arguments.items, size=rows * arguments.seen)
        owners = np.repeat(np.arange(rows), arguments.seen)
        vectors = generator.standard_normal((rows, width), np.float32)
        blocks.append(UserBlock(vectors, (owners, seen)))
    return blocks


def measure(scorer: ModelScorer, blocks: list[UserBlock], k: int) -> float:
    """Seconds for all blocks, after one that is not counted; the lists end on the CPU."""
    top_k(scorer(blocks[0]), k, blocks[0].seen)
    started = time.perf_counter()
    for block in blocks:
        top_k(scorer(block), k, block.seen)
    return time.perf_counter() - started


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
    BLOCK_ROWS[device.type] = arguments.rows = arguments.rows or BLOCK_ROWS[device.type]
    model = build_model(arguments).to(device)
    scorer = ModelScorer(model, arguments.tile_bytes or TILE_BYTES[device.type])
    seconds = measure(scorer, build_blocks(arguments, model.head.width), arguments.k)
    rate = arguments.users * arguments.items / seconds
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    speed = {"pairs_per_second": rate, "seconds": seconds}
    print(json.dumps({"device": name, "tf32": arguments.tf32, **speed}))


if __name__ == "__main__":
    main()
