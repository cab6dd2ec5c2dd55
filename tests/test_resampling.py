import numpy as np
import pandas as pd
import pytest

from ncf_spark.resampling import sum_replicates, user_weights


def test_copies_of_users_are_poisson_and_independent():
    weights = user_weights(np.arange(3000, dtype=np.int32), samples=100, seed=4)
    assert weights.shape == (3000, 101)
    assert np.all(weights[:, 0] == 1)
    drawn = weights[:, 1:]
    shares = np.bincount(drawn.astype(int).ravel(), minlength=5)[:5] / drawn.size
    # e^-1 / n!
    assert shares == pytest.approx([0.36788, 0.36788, 0.18394, 0.06131, 0.01533], abs=0.003)
    between_users = np.corrcoef(drawn[:50])[np.triu_indices(50, 1)]
    between_replicates = np.corrcoef(drawn.T)[np.triu_indices(100, 1)]
    assert abs(between_users.mean()) < 0.01
    assert abs(between_replicates).max() < 0.1


def test_copies_depend_on_the_user_alone():
    users = np.array([5, 2, 9], np.int32)
    weights = user_weights(users, samples=20, seed=4)
    assert np.array_equal(user_weights(users[::-1], samples=20, seed=4), weights[::-1])
    assert np.array_equal(user_weights(users, samples=9, seed=4), weights[:, :10])
    assert not np.array_equal(user_weights(users, samples=20, seed=-4), weights)


def test_users_of_several_blocks_are_all_drawn():
    rows = pd.DataFrame({"group": "g", "user": np.arange(2500) % 2400, "value": 0.5})
    columns = {"group": ["group"], "user": "user", "columns": ["value"]}
    [found] = sum_replicates([rows], **columns, samples=3, seed=4)
    weights = user_weights(rows["user"].to_numpy(), samples=3, seed=4)
    assert found["group"].tolist() == ["g"]
    assert found["sums"][0].tolist() == (weights.sum(axis=0) / 2).tolist()
