"""Arrow batches of Spark as NumPy arrays and back, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from pyspark.sql.types import StructType

from ncf_spark.scoring.device import task_device
from ncf_spark.scoring.scorers import BLOCK_ROWS
from ncf_spark.scoring.topk import Pairs
from ncf_spark.storage import arrays


def over_blocks(
    compute: Callable[[Any], dict[str, np.ndarray]],
) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """A function for `mapInArrow` that computes on at most BLOCK_ROWS rows at a time."""

    def over(batches: Iterable[Any]) -> Iterator[Any]:
        size = BLOCK_ROWS[task_device().type]
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


def pairs(column: Any) -> Pairs:
    """Rows and items of a list column, e.g. [[4, 9], [], [4]] → [0, 0, 2], [4, 9, 4].

    A null list is empty.
    """
    items, offsets = arrays.ragged(column)
    return np.repeat(np.arange(len(column)), np.diff(offsets)), items.astype(np.int64)


def ddl(schema: StructType) -> str:
    """The columns of a table as `mapInArrow` wants them."""
    return ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in schema)
