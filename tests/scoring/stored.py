"""Models and tables on disk, for tests of what reads them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ncf_spark.model import store
from ncf_spark.model.recommender import Recommender
from ncf_spark.storage import arrays
from tests.model.architectures import build_architecture

TYPES = {"similarity": "float64"}


def types(table) -> list[tuple[str, str]]:
    """(column, type) of a DataFrame or a schema."""
    return [(f.name, f.dataType.simpleString()) for f in getattr(table, "schema", table)]


def write_table(folder: Path, columns: dict[str, list]) -> str:
    """One Parquet file of integers, but for the columns of TYPES; returns the folder's URI."""
    folder.mkdir(parents=True)
    made = {name: pa.array(values, TYPES.get(name, "int32")) for name, values in columns.items()}
    pq.write_table(pa.table(made), folder / "part-00000.parquet")
    return f"file://{folder}"


def write_item_vectors(folder: Path, vectors: list[list[float]]) -> str:
    """A folder with item_vectors."""
    indexes = np.arange(len(vectors))
    place = f"file://{folder}/item_vectors/part-00000.parquet"
    arrays.write_vectors(place, "item_index", indexes, np.array(vectors, np.float32))
    return f"file://{folder}"


def save_model(folder: Path, kind: str, item_vectors: list[list[float]], **named) -> str:
    """A GMF or MF that scores by the plain product of the vectors, MF with their biases."""
    architecture = build_architecture(kind, len(item_vectors), **named)
    model = Recommender(architecture, 0)
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.fill_(1.0)
        model.bias.zero_()
        model.item_vectors.copy_(torch.tensor(item_vectors))
    store.save_shared(f"file://{folder}", model)
    store.save_manifest(f"file://{folder}", architecture, {})
    return f"file://{folder}"


def save_gmf(folder: Path, item_vectors: list[list[float]]) -> str:
    """A GMF that scores by the plain product of the vectors."""
    return save_model(folder, "gmf", item_vectors, factors=len(item_vectors[0]))
