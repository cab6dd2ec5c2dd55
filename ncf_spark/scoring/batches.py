"""Arrow batches of Spark as tensors and back, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from pyspark.sql.types import StructType
from torch import Tensor

from ncf_spark.scoring.blocks import Pairs
from ncf_spark.storage import arrays


def over_blocks(
    compute: Callable[[Any], dict[str, np.ndarray]], size: int
) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """A function for `mapInArrow` that computes on at most `size` rows at a time."""

    def over(batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            lows = range(0, batch.num_rows, size)
            parts = [compute(batch.slice(low, size)) for low in lows]
            # Few large batches: each that goes back to Spark costs as much as scoring some users.
            if parts:
                names = parts[0].keys()
                yield arrays.record_batch(
                    {name: np.concatenate([part[name] for part in parts]) for name in names}
                )

    return over


def matrix(column: Any) -> Tensor:
    """(rows, width) from a column of lists of one length."""
    return torch.from_numpy(arrays.matrix(column).copy())


def lists(column: Any) -> tuple[Tensor, Tensor]:
    """(values, offsets) of a column of integer lists; a null list is empty."""
    values, offsets = arrays.ragged(column)
    return integers(values), integers(offsets)


def pairs(column: Any) -> Pairs:
    """Rows and items of a list column, e.g. [[4, 9], [], [4]] → [0, 0, 2], [4, 9, 4]."""
    items, offsets = lists(column)
    return torch.arange(len(column)).repeat_interleave(offsets.diff()), items


def integers(values: np.ndarray) -> Tensor:
    """As int64; a copy, since Arrow's memory must not be written to."""
    return torch.from_numpy(values.astype(np.int64, copy=True))


def ddl(schema: StructType) -> str:
    """The columns of a table as `mapInArrow` wants them."""
    return ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in schema)
