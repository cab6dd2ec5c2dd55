"""The evaluator against published figures: MovieLens 1M in the NCF paper's split.

The data may not be redistributed: name its folder in NCF_DATA, or the test is skipped.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ncf_spark.evaluation.metrics import hr, ndcg, rank_histogram
from ncf_spark.evaluation.ranking import sampled_ranks

FOLDER = Path(os.environ.get("NCF_DATA", Path(__file__).parents[3] / "shared" / "data")) / "ml-1m"


@pytest.mark.skipif(not FOLDER.is_dir(), reason="NCF_DATA names no folder with ml-1m")
def test_popularity_on_ml1m_is_at_the_reference_values():
    """Popularity has many ties: with the positive first among them HR@10 would be higher."""
    counts = np.bincount(pd.read_parquet(FOLDER / "ncf_train.parquet")["item_id"], minlength=3706)
    scores = torch.from_numpy(counts)
    test = pd.read_parquet(FOLDER / "ncf_test_negatives.parquet")
    positives = torch.tensor(test["item_id"].to_numpy(dtype=np.int64))
    rivals = torch.tensor(np.stack(test["negatives"]).astype(np.int64))
    ranks = sampled_ranks(scores[positives], scores[rivals], positives, rivals)
    found = rank_histogram(ranks.numpy(), 10)
    assert len(ranks) == 6040
    assert hr(found, 10) == pytest.approx(0.452, abs=0.0005)
    assert ndcg(found, 10) == pytest.approx(0.253, abs=0.0005)
