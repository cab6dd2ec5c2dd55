"""NeuMF of RecBole on the positives of an .npz file; runs in the peers' own environment.

For each line `epoch` it trains one epoch by RecBole's own trainer, for `judge` it ranks the test
items against the file's negatives.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.interaction import Interaction
from recbole.model.general_recommender import NeuMF
from recbole.trainer import Trainer


def main(data: str, samples_per_batch: int) -> None:
    arrays = np.load(data)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_atomic_files(Path(folder) / "bench", arrays)
        os.chdir(folder)  # RecBole writes its logs where it is started
        config = Config(
            model="NeuMF",
            dataset="bench",
            config_dict={
                "data_path": folder,
                "checkpoint_dir": folder,
                "benchmark_filename": ["train", "valid", "test"],
                "load_col": {"inter": ["user_id", "item_id"]},
                "mf_embedding_size": 8,
                "mlp_embedding_size": 32,
                "mlp_hidden_size": [32, 16, 8],
                "dropout_prob": 0.0,
                "learning_rate": 0.001,
                "train_neg_sample_args": {"distribution": "uniform", "sample_num": 4},
                "train_batch_size": samples_per_batch,
                "use_gpu": False,
                "show_progress": False,
                "state": "ERROR",
                "worker": 0,
            },
        )
        dataset = create_dataset(config)
        train, _, _ = data_preparation(config, dataset)
        model = NeuMF(config, train.dataset)
        trainer = Trainer(config, model)
        samples = 5 * len(arrays["users"])
        for number, request in enumerate(sys.stdin):
            started = time.perf_counter()
            if request.strip() == "epoch":
                trainer._train_epoch(train, number, show_progress=False)
                answer = {"samples_per_second": samples / (time.perf_counter() - started)}
            else:
                answer = {"hr@10": hit_ratio(model, dataset, arrays)}
            print(json.dumps(answer), flush=True)


def write_atomic_files(folder: Path, arrays) -> None:
    folder.mkdir()
    of_test = arrays["test_users"], arrays["test_items"]
    parts = {"train": (arrays["users"], arrays["items"]), "valid": of_test, "test": of_test}
    for part, (users, items) in parts.items():
        pairs = np.column_stack([users, items])
        header = "user_id:token\titem_id:token"
        path = folder / f"{folder.name}.{part}.inter"
        np.savetxt(path, pairs, "%d", delimiter="\t", header=header, comments="")


@torch.no_grad()
def hit_ratio(model, dataset, arrays) -> float:
    model.eval()
    candidates = np.column_stack([arrays["test_items"], arrays["test_negatives"]])
    users = dataset.token2id("user_id", arrays["test_users"].astype(str))
    # An item that nobody has in train or test is unknown to RecBole, and ranks last.
    known = dict(dataset.field2token_id["item_id"])
    ids = np.vectorize(lambda item: known.get(str(item), 0))(candidates)
    scores = model.predict(
        Interaction(
            {
                "user_id": torch.as_tensor(np.repeat(users, candidates.shape[1])),
                "item_id": torch.as_tensor(ids.ravel()),
            }
        )
    ).view(ids.shape)
    scores[torch.as_tensor(ids == 0)] = -torch.inf
    ranks = 1 + (scores[:, 1:] >= scores[:, :1]).sum(dim=1)
    return float((ranks <= 10).double().mean())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
