"""Which items should serve as negatives? The same model and budget under each distribution.

python -m tests.benchmarks.ablation            # NCF_DATA names the folder of the data

MovieLens 1M in the published split, three seeds, both protocols, with coverage and the popularity
percentile of what is recommended. The side features are those that MovieLens allows: of the ratings
whose times are known, each item's ratings in the last 90 days and its five-star ratings, without
those of the test pairs. Prints a table in Markdown, means of the seeds and their spread.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd

from tests.benchmarks.nights import compare, markdown, read_configuration, value

PARTS = ("low_activity", "low_activity_by_counts", "uniform", "popularity")
MIXTURES = {
    "uniform": {"uniform": 1.0},
    "popularity": {"popularity": 1.0},
    "low activity, side features": {"low_activity": 1.0},
    "low activity, counts": {"low_activity_by_counts": 1.0},
    "half low activity, half uniform": {"low_activity": 0.5, "uniform": 0.5},
    "0.2 low activity, 0.8 uniform": {"low_activity": 0.2, "uniform": 0.8},
    "0.8 uniform, 0.2 popularity": {"uniform": 0.8, "popularity": 0.2},
}
# The same for all: what a night on two cores can afford twenty times.
BUDGET = {
    "model": {"kind": "mf", "factors": 32},
    "sampling": {"num_negatives": 4},
    "training": {
        **{"num_workers": 1, "threads_per_worker": 1, "num_shards": 8},
        **{"batch_size": 1024, "epochs": 12},
        **{"learning_rate": 0.002, "decay": "linear", "l2": 0.003},
    },
}
COLUMNS = [
    *[("sampled_99", "hr"), ("sampled_99", "ndcg"), ("full", "hr"), ("full", "ndcg")],
    *[("full", "coverage"), ("full", "popularity_percentile")],
]


def write_side_features(data: Path, target: Path) -> None:
    """Items with `recent_ratings` and `five_stars`, counted without the test pairs."""
    items = pd.read_csv(data / "items.csv")
    ratings = pd.read_csv(
        data / "ratings_timed_users.dat.gz",
        sep="::",
        engine="python",
        names=["user", "movie_id", "stars", "rated_at"],
    ).merge(items[["movie_id", "item_id"]], on="movie_id")
    # The paper numbers MovieLens's users from 0.
    test = pd.read_parquet(data / "ncf_test.parquet").assign(is_test=True)
    ratings = ratings.assign(user_id=ratings.user - 1).merge(
        test, on=["user_id", "item_id"], how="left"
    )
    ratings = ratings[ratings.is_test.isna()]
    recent = ratings[ratings.rated_at > ratings.rated_at.max() - 90 * 86400]
    features = items.assign(
        recent_ratings=items.item_id.map(recent.groupby("item_id").size()).fillna(0),
        five_stars=items.item_id.map(ratings[ratings.stars == 5].groupby("item_id").size()).fillna(
            0
        ),
    )
    features.to_csv(target, index=False)


def models(seeds: list[int]) -> dict[str, dict[str, Any]]:
    """One compared model for each mixture and seed."""
    return {
        f"{number}.{seed}": {
            **{f"sampling.{part}": mixture.get(part, 0.0) for part in PARTS},
            "run.seed": seed,
        }
        for number, mixture in enumerate(MIXTURES.values())
        for seed in seeds
    }


def main() -> None:
    """Trains all, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--folder", type=Path, default=Path("warehouse/benchmarks/ablation"))
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    features = arguments.folder.absolute() / "items.csv"
    write_side_features(Path(os.environ.get("NCF_DATA", "../shared/data")) / "ml-1m", features)
    base = read_configuration("ml1m")
    base["catalogue"]["path"] = str(features)
    base["activity"] = {"features": {"recent_ratings": 1.0, "five_stars": 1.0}}
    base["evaluation"] = {"baselines": ["popularity"]}
    base |= BUDGET
    rows = compare(base, models(arguments.seeds), arguments.folder, arguments.cores)
    lines = []
    for number, name in enumerate(MIXTURES):
        line = [name]
        for protocol, metric in COLUMNS:
            found = [value(rows, f"{number}.{s}", protocol, metric) for s in arguments.seeds]
            line.append(f"{mean(found):.4f} ± {(max(found) - min(found)) / 2:.4f}")
        lines.append(line)
    header = ["negatives", *[f"{metric}@10, {protocol}" for protocol, metric in COLUMNS]]
    print(markdown(header, lines))


if __name__ == "__main__":
    main()
