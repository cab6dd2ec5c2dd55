"""Samples a second of NeuMF beside RecBole's, on MovieLens 1M, one thread each.

python -m tests.benchmarks.training_speed   # NCF_DATA names the folder of the data

8 factors, tower 64-32-16-8, 4 uniform negatives with rejection of the user's own positives, Adam;
drawing, rejection and optimiser count. The two take turns, an epoch each.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from tests.benchmarks.duel import PEERS, ROOT, Contender, median_of, record, take_turns

EPOCHS = 5
# Samples of a step: positives and negatives together, as RecBole counts them.
BATCHES = (2_048, 65_536)
SETTINGS = (
    *("model.kind=neumf", "model.factors=8", "model.tower=[64, 32, 16, 8]", "model.dropout=[0]"),
    *("sampling.num_negatives=4", "training.l2=0", "training.learning_rate=0.001"),
)


def main() -> None:
    if not PEERS.exists():
        sys.exit(f"{PEERS} is missing: run make bench-peers")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "ml1m.npz"
        write_arrays(data_folder(), data)
        for batch in BATCHES:
            compare(data, batch)


def data_folder() -> Path:
    """The folder of the real data."""
    return Path(os.environ.get("NCF_DATA", ROOT.parent / "shared" / "data"))


def write_arrays(source: Path, path: Path) -> None:
    """The published split as arrays that both sides read."""
    train = pd.read_parquet(source / "ml-1m" / "ncf_train.parquet")
    test = pd.read_parquet(source / "ml-1m" / "ncf_test_negatives.parquet")
    np.savez(
        path,
        users=train.user_id,
        items=train.item_id,
        test_users=test.user_id,
        test_items=test.item_id,
        test_negatives=np.stack(test.negatives),
        num_users=train.user_id.max() + 1,
        num_items=1 + max(train.item_id.max(), test.item_id.max(), np.stack(test.negatives).max()),
    )


def compare(data: Path, batch: int) -> None:
    """Trains both for the same number of epochs; speed is the median of an epoch's."""
    here = Path(__file__).parent / "contenders"
    ours = ["-m", "tests.benchmarks.contenders.ncf_neumf", str(data), *SETTINGS]
    contenders = {
        "ours": Contender([sys.executable, *ours, f"training.batch_size={batch // 5}"]),
        "peer": Contender([str(PEERS), str(here / "recbole_neumf.py"), str(data), str(batch)]),
    }
    answers = take_turns(contenders, "epoch", EPOCHS)
    speed = {name: median_of(rounds, "samples_per_second") for name, rounds in answers.items()}
    ratio = speed["ours"] / speed["peer"]
    title = f"training, samples/s at {batch:,} a step, RecBole NeuMF"
    record(title, ours=speed["ours"], peer=speed["peer"], ratio=ratio, bar="≥ 4")
    hits = {name: contender.ask("judge")["hr@10"] for name, contender in contenders.items()}
    record(
        f"training, HR@10 after {EPOCHS} epochs at {batch:,} a step, RecBole NeuMF",
        ours=hits["ours"],
        peer=hits["peer"],
        ratio=hits["ours"] / hits["peer"],
        bar="± 0.005 of HR@10",
    )
    for contender in contenders.values():
        contender.close()


if __name__ == "__main__":
    main()
