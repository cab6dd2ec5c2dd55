import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncf_spark.training.shards import UserShards


@st.composite
def divisions(draw) -> list[UserShards]:
    """The shards of each worker, by rank."""
    num_workers = draw(st.integers(1, 6))
    num_shards = draw(st.integers(num_workers, 14))
    num_users = draw(st.integers(0, 60))
    return [UserShards(num_users, num_shards, rank, num_workers) for rank in range(num_workers)]


def users_in_order(shards: UserShards) -> np.ndarray:
    """The users of a worker in the order of its table."""
    return np.concatenate([shards.users_of(shard) for shard, _ in shards.owned])


def test_a_worker_owns_every_num_workers_th_shard():
    shards = UserShards(num_users=10, num_shards=4, worker_rank=1, num_workers=2)
    # Shard 1 holds users 1, 5 and 9, shard 3 users 3 and 7.
    assert shards.owned == [(1, 3), (3, 2)]
    assert shards.num_rows == 5
    assert shards.rows_of(np.array([7, 1, 9, 3, 5])).tolist() == [4, 0, 2, 3, 1]
    assert shards.users_of(3).tolist() == [3, 7]


@given(divisions())
def test_every_user_belongs_to_exactly_one_worker(workers):
    users = np.concatenate([users_in_order(shards) for shards in workers])
    assert sorted(users.tolist()) == list(range(workers[0].num_users))
    assert sum(shards.num_rows for shards in workers) == workers[0].num_users


@given(divisions())
def test_rows_are_contiguous_and_in_the_order_of_users_of(workers):
    for shards in workers:
        rows = shards.rows_of(users_in_order(shards))
        assert rows.dtype == np.int64
        assert rows.tolist() == list(range(shards.num_rows))
        for shard, size in shards.owned:
            assert len(shards.users_of(shard)) == size


@given(divisions(), st.data())
def test_a_foreign_user_is_refused(workers, data):
    shards = data.draw(st.sampled_from(workers))
    own = set(users_in_order(shards).tolist())
    foreign = sorted(set(range(shards.num_users)) - own)
    if foreign:
        user = data.draw(st.sampled_from(foreign))
        with pytest.raises(ValueError, match=f"user {user} is not worker {shards.worker_rank}'s"):
            shards.rows_of(np.array([*sorted(own), user]))


def test_no_users_have_no_rows():
    assert UserShards(10, 4, 1, 2).rows_of(np.empty(0, np.int32)).tolist() == []


def test_an_index_that_float32_cannot_hold_keeps_its_row():
    users = np.array([33_554_434], np.int32)  # 2 · (2²⁴ + 1)
    assert UserShards(33_554_435, 2, 0, 1).rows_of(users).tolist() == [16_777_217]
