"""A recommender in one file: events -> each user's ten items, by DuckDB and torch.

Each item is regressed on its nearest by cosine, with a ridge (Ning & Karypis 2011 without its signs
and sparsity); a user's score of an item is the sum of the weights of what they have. Judged on each
user's last item first, among all that the user has not, then fitted on all and written.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import duckdb
import numpy as np
import torch

NUM_NEIGHBOURS, RIDGE, K = 100, 200.0, 10

PAIRS = """
select dense_rank() over (order by user_id) - 1 as u, dense_rank() over (order by item_id) - 1 as i,
    user_id, item_id,
    row_number() over (partition by user_id order by last_at desc, item_id) = 1 as is_last
from (
    select user_id, item_id, max(try_cast(event_at as timestamptz)) as last_at
    from read_parquet('{}/*.parquet')
    where trim(user_id) <> '' and trim(item_id) <> ''
        and try_cast(event_at as timestamptz) is not null
        and event_type in ('view', 'cart', 'purchase')
    group by user_id, item_id
)
"""


def fit(known: torch.Tensor) -> torch.Tensor:
    """(I, I) weights of (U, I) known pairs: row i predicts item i from its nearest."""
    counts = known.T @ known
    norms = counts.diag().sqrt()
    similar = (counts / (norms[:, None] * norms[None] + 10)).fill_diagonal_(0)
    near = similar.topk(NUM_NEIGHBOURS, dim=1).indices
    weights = torch.zeros_like(counts)
    for items in torch.arange(len(counts)).split(256):
        own = near[items]
        system = counts[own[:, :, None], own[:, None, :]] + RIDGE * torch.eye(NUM_NEIGHBOURS)
        right = counts[items[:, None], own][..., None]
        solved = torch.cholesky_solve(right, torch.linalg.cholesky(system))[..., 0]
        weights[items] = torch.zeros(len(items), len(counts)).scatter_(1, own, solved)
    return weights


def score(known: torch.Tensor) -> torch.Tensor:
    """(U, I) scores; what a user has is not to be recommended."""
    return (known @ fit(known).T).masked_fill(known > 0, -torch.inf)


def ndcg(scores: torch.Tensor, held_out: torch.Tensor) -> float:
    """Of one held-out item a user, the last among ties."""
    ranks = (scores >= scores.gather(1, held_out[:, None])).sum(1)
    return float(torch.where(ranks <= K, 1 / torch.log2(ranks + 1.0), 0).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", help="the folder of their files")
    parser.add_argument("lists", type=Path, help="the folder to write")
    arguments = parser.parse_args()
    pairs = duckdb.sql(PAIRS.format(arguments.events)).fetchnumpy()
    known = torch.zeros(int(pairs["u"].max()) + 1, int(pairs["i"].max()) + 1)
    known[pairs["u"], pairs["i"]] = 1
    last = torch.zeros(len(known), dtype=torch.long)
    last[pairs["u"][pairs["is_last"]]] = torch.tensor(pairs["i"][pairs["is_last"]])
    train = known.scatter(1, last[:, None], 0)
    print(f"NDCG@{K} {ndcg(score(train), last):.4f}")
    best = score(known).topk(K, dim=1)
    names = {side: np.empty(n, dtype=object) for side, n in zip("ui", known.shape, strict=True)}
    names["u"][pairs["u"]], names["i"][pairs["i"]] = pairs["user_id"], pairs["item_id"]
    lists = {  # noqa: F841 (DuckDB finds it by its name)
        "user_id": names["u"].repeat(K),
        "item_id": names["i"][best.indices.numpy().ravel()],
        "score": best.values.numpy().ravel(),
        "rank": np.tile(np.arange(1, K + 1), len(known)),
    }
    arguments.lists.mkdir(parents=True, exist_ok=True)
    duckdb.sql("select * from lists").write_parquet(str(arguments.lists / "lists.parquet"))


if __name__ == "__main__":
    main()
