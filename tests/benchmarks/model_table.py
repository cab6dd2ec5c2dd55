"""Every kind of model at 8 to 64 factors on one split, beside the baselines and the paper.

python -m tests.benchmarks.model_table ml1m            # NCF_DATA names the folder of the data
python -m tests.benchmarks.model_table online_retail   # temporal split, full ranking

Prints a table in Markdown. All models are trained by one run of the jobs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tests.benchmarks.nights import compare, markdown, read_configuration, value

# He et al. 2017: table 2 (NeuMF with and without pretraining), tables 3 and 4 (MLP with three
# hidden layers). HR@10 and NDCG@10 on MovieLens 1M. For GMF the paper has a plot only.
PAPER = {
    ("mlp", 8): (0.671, 0.399),
    ("mlp", 16): (0.684, 0.410),
    ("mlp", 32): (0.692, 0.425),
    ("mlp", 64): (0.702, 0.426),
    ("neumf", 8): (0.688, 0.410),
    ("neumf", 16): (0.696, 0.420),
    ("neumf", 32): (0.701, 0.425),
    ("neumf", 64): (0.705, 0.426),
    ("neumf_pretrained", 8): (0.684, 0.403),
    ("neumf_pretrained", 16): (0.707, 0.426),
    ("neumf_pretrained", 32): (0.726, 0.445),
    ("neumf_pretrained", 64): (0.730, 0.447),
}
KINDS = ("mf", "gmf", "mlp", "neumf", "neumf_pretrained")
BASELINES = ("popularity", "item_item")
# Alike for all, so that the kinds are compared and not the tuning: what two cores can afford twenty
# times. The L2 is what validation items chose for MF and MLP of 192 factors.
OF_ALL = {
    "model.dropout": [0.2],
    "sampling.num_negatives": 4,
    "sampling.uniform": 0.8,  # as the ablation found
    "sampling.popularity": 0.2,
    "training.optimiser": "adam",
    "training.learning_rate": 0.003,
    "training.decay": "linear",
    "training.l2": 0.003,
}
PRETRAINED = {
    **{
        f"training.pretraining.{half}.{name}": value
        for half in ("gmf", "mlp")
        for name, value in {"learning_rate": 0.003, "l2": 0.003}.items()
    },
    "training.pretraining.alpha": 0.7,
    "training.optimiser": "sgd",
    "training.learning_rate": 0.01,
    "training.epochs": 1,
}
# A night has a model of its own beside the compared ones; this one is not in the table.
OWN = {
    "model": {"kind": "mf"},
    "training": {
        **{"num_workers": 1, "threads_per_worker": 1, "num_shards": 8},
        **{"batch_size": 2048, "epochs": 1},
    },
}
TEMPORAL = {"split": {"method": "temporal", "holdout_days": 30}}


def model(kind: str, factors: int, epochs: int) -> dict[str, Any]:
    """The settings of one model; its tower halves down to the factors, as the paper's does."""
    settings = {
        "model.kind": kind.removesuffix("_pretrained"),
        "model.factors": factors,
        # GMF as the paper has it; inside NeuMF as plain matrix factorisation.
        "model.gmf_output": "learned" if kind == "gmf" else "ones",
        "model.tower": [4 * factors, 2 * factors, factors],
        **OF_ALL,
        "training.epochs": epochs,
    }
    if kind == "gmf":
        # At 0.003 it learns little: the embeddings shrink before the output layer has grown.
        settings["training.l2"] = 0.001
    if kind == "neumf_pretrained":
        halves = {f"training.pretraining.{half}.epochs": epochs for half in ("gmf", "mlp")}
        settings |= PRETRAINED | halves
    return settings


def main() -> None:
    """Trains all, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=["ml1m", "online_retail"])
    parser.add_argument("--factors", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--epochs", type=int, default=10, help="of each model or half")
    parser.add_argument("--folder", type=Path, default=Path("warehouse/benchmarks/model_table"))
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    base = read_configuration(arguments.data) | OWN
    if arguments.data == "online_retail":
        # A quarter of MovieLens's pairs: smaller batches, as many steps an epoch.
        base |= TEMPORAL | {"training": {**OWN["training"], "batch_size": 512}}
    models = {
        f"{kind}_{n}": model(kind, n, arguments.epochs) for n in arguments.factors for kind in KINDS
    }
    als = ["als"] if len(arguments.factors) == 1 else [f"als_{n}" for n in arguments.factors]
    base["evaluation"] = {
        "baselines": [*BASELINES, "als"],
        "als": {"ranks": arguments.factors},
    }
    rows = compare(base, models, arguments.folder / arguments.data, arguments.cores)
    protocol = "sampled_99" if arguments.data == "ml1m" else "full"
    lines = []
    for name in (*BASELINES, *als, *models):
        kind, _, factors = name.rpartition("_")
        figures = [f"{value(rows, name, protocol, m):.4f}" for m in ("hr", "ndcg")]
        paper = PAPER.get((kind, int(factors))) if factors.isdigit() else None
        known = [f"{p:.3f}" for p in paper] if paper and protocol == "sampled_99" else ["", ""]
        lines.append([name, *figures, *known])
    print(markdown(["model", "HR@10", "NDCG@10", "paper HR@10", "paper NDCG@10"], lines))


if __name__ == "__main__":
    main()
