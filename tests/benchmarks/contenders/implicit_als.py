"""implicit's ALS: `recommend` the 10 best unseen items of all users, for each line `score`.

Runs in .venv-peers. It is a library for one machine: no Spark is started and nothing is written.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

RANK = 64
THREADS = 2


def main(folder: str) -> None:
    """Answers the requests on standard input."""
    arrays = np.load(f"{folder}/pairs.npz")
    repeats, per_repeat = int(arrays["repeats"]), int(arrays["num_users"] // arrays["repeats"])
    users = np.concatenate([arrays["users"] + i * per_repeat for i in range(repeats)])
    items = np.tile(arrays["items"], repeats)
    ones = np.ones(len(users), np.float32)
    pairs = csr_matrix((ones, (users, items)), (arrays["num_users"], arrays["num_items"]))
    model = AlternatingLeastSquares(factors=RANK, iterations=1, num_threads=THREADS, random_state=1)
    model.fit(pairs, show_progress=False)
    everyone = np.arange(pairs.shape[0])
    for _ in sys.stdin:
        started = time.perf_counter()
        model.recommend(everyone, pairs, N=10, filter_already_liked_items=True)
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
