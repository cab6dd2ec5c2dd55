"""Scores all users against all items on Spark, beside Spark ALS's recommendForAllUsers.

python -m tests.benchmarks.scoring_speed   # NCF_DATA names the folder of the data

The users of MovieLens 1M ten times over (60,400 × 3,706 items), NeuMF of 8 factors and tower
64-32-16-8 against ALS of rank 64, two cores each, top 10 written to Parquet. They take turns.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from tests.benchmarks.duel import PEERS, Contender, median_of, record, take_turns
from tests.benchmarks.training_speed import data_folder

ROUNDS = 3
REPEATS = 10


def write_pairs(folder: Path) -> None:
    """`pairs`: (user_index, item_index, keep), every user `REPEATS` times over."""
    train = pd.read_parquet(data_folder() / "ml-1m" / "ncf_train.parquet")
    users, items = train.user_id.to_numpy(), train.item_id.to_numpy()
    num_users, num_items = users.max() + 1, items.max() + 1
    first = ~train.user_id.duplicated().to_numpy() | ~train.item_id.duplicated().to_numpy()
    (folder / "pairs").mkdir()
    for repeat in range(REPEATS):
        part = pd.DataFrame(
            {
                "user_index": (users + repeat * num_users).astype(np.int32),
                "item_index": items.astype(np.int32),
                "keep": first,
            }
        )
        part.to_parquet(folder / "pairs" / f"part-{repeat:02d}.parquet")
    sizes = {"num_users": num_users * REPEATS, "num_items": num_items, "repeats": REPEATS}
    np.savez(folder / "pairs.npz", users=users, items=items, **sizes)


def compare_with_implicit(folder: str, ours: float) -> None:
    """For information, once: a library without Spark, which starts nothing and writes nothing."""
    if not PEERS.exists():
        print(f"{PEERS} is missing (make bench-peers): nothing to show of implicit")
        return
    program = Path(__file__).parent / "contenders" / "implicit_als.py"
    contender = Contender([str(PEERS), str(program), folder])
    [answer] = take_turns({"peer": contender}, "score", 1)["peer"]
    contender.close()
    peer = answer["seconds"]
    record(
        "scoring the same, seconds, implicit ALS of rank 64",
        ours=ours,
        peer=peer,
        ratio=ours / peer,
        bar="–",
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder)
        command = [sys.executable, "-m"]
        contenders = {
            "ours": Contender([*command, "tests.benchmarks.contenders.score_users", name]),
            "peer": Contender([*command, "tests.benchmarks.contenders.als", name]),
        }
        take_turns(contenders, "score", 1)  # the JVMs warm up
        rounds = [
            take_turns(contenders, "score", 1) | {"start": [contenders["ours"].ask("start")]}
            for _ in range(ROUNDS)
        ]
        answers = {side: [r[side][0] for r in rounds] for side in ("ours", "start", "peer")}
        ours, start, peer = (median_of(some, "seconds") for some in answers.values())
        sizes = answers["peer"][0]
        print(f"ALS: {sizes['users']:,} users, {sizes['items']:,} items")
        title = f"scoring {sizes['users']:,} users, seconds, Spark ALS of rank 64"
        record(title, ours=ours, peer=peer, ratio=ours / peer, bar="≤ 0.6")
        title = f"all of that but the pairs, {sizes['users']:,} users, seconds, the same"
        record(title, ours=start, peer=peer, ratio=start / peer, bar="–")
        checked = contenders["ours"].ask("check")
        print(f"{checked['wrong']} of {checked['users']:,} users differ from float64, beyond ties")
        for contender in contenders.values():
            contender.close()
        compare_with_implicit(name, ours)


if __name__ == "__main__":
    main()
