"""Architectures for tests: what a test does not name is as plain as can be."""

from typing import Any

from ncf_spark.model.recommender import Architecture

KINDS = ["mf", "gmf", "mlp", "neumf"]


def build_architecture(kind: str, num_items: int, **named: Any) -> Architecture:
    """Two factors and a tower of one layer; a dropout of 0 for each layer of whatever tower."""
    tower = named.get("tower", (4, 2))
    values: dict[str, Any] = {
        "factors": 2,
        "gmf_output": "learned",
        "tower": tower,
        "activation": "relu",
        "dropout": (0.0,) * (len(tower) - 1),
        "similarity": "dot",
        "temperature": 1.0,
        "non_negative": False,
        "embedding_init": "normal",
        "output_init": "lecun_uniform",
    }
    return Architecture(kind=kind, num_items=num_items, **{**values, **named})
