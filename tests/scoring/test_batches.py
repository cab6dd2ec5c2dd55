import numpy as np

from ncf_spark.scoring.batches import over_blocks
from ncf_spark.scoring.scorers import BLOCK_ROWS
from ncf_spark.storage import arrays


def test_every_row_of_a_batch_is_computed_at_most_so_many_at_a_time(monkeypatch):
    monkeypatch.setitem(BLOCK_ROWS, "cpu", 2)
    sizes = []

    def compute(block):
        sizes.append(block.num_rows)
        return {"twice": 2 * block.column("number").to_numpy()}

    batches = [arrays.record_batch({"number": np.arange(n)}) for n in (5, 0, 1)]
    found = [batch.to_pydict() for batch in over_blocks(compute)(batches)]
    assert found == [{"twice": [0, 2, 4, 6, 8]}, {"twice": [0]}]
    assert sizes == [2, 2, 1, 1]
