from dataclasses import replace

import pytest

from ncf_spark.config import ConfigError
from ncf_spark.training.preflight import modes_of_workers, positives_of_workers, worker_bytes
from tests.model.architectures import build_architecture
from tests.training.tasks import on_workers
from tests.training.trainers import build_settings

PARAMETERS, POSITIVES = "parameters, gradients and optimiser", "positives"


@pytest.fixture
def small(task):
    """5 users and 3 items, GMF of 2 factors; of two workers, the larger has 3 users."""
    return replace(
        task,
        num_users=5,
        num_shards=2,
        architecture=build_architecture("gmf", num_items=3),
        loop=build_settings(num_negatives=4),
    )


def test_the_largest_worker_is_told_what_it_will_hold(small):
    assert worker_bytes(small, num_workers=2, num_positives=6) == {
        # (output 2 + bias 1 + items 6 + users 6) · 4 bytes · 5 copies: the parameters, their
        # gradients, Adam's two moments and the best epoch
        PARAMETERS: 300,
        # 6 positives of 3 numbers of 4 bytes, and a mark for each of 3 · 3 pairs, 8 a byte
        POSITIVES: 72 + 2,
    }


@pytest.mark.parametrize(
    ("resident_bytes", "held"), [(72, 72), (1_000, 72), (71, 71), (12, 12), (None, 72)]
)
def test_positives_that_do_not_fit_take_what_they_may(small, resident_bytes, held):
    small = replace(small, resident_bytes=resident_bytes)
    needed = worker_bytes(small, num_workers=2, num_positives=6)
    # The marks stay whole.
    assert needed[POSITIVES] == held + 2


def test_where_there_are_more_pairs_than_marks_keys_are_held_too(small):
    sparse = replace(small, num_users=2_000)
    # 1,000 · 3 pairs are more than 2⁹ marks of 6 positives; then there are 7 keys of 8 bytes.
    assert worker_bytes(sparse, num_workers=2, num_positives=6)[POSITIVES] == 72 + 64 + 56


def test_positives_that_are_not_rejected_need_no_keys(small):
    small = replace(small, max_retries=None)
    assert worker_bytes(small, num_workers=2, num_positives=6)[POSITIVES] == 72


def test_the_biases_of_mf_take_room(small):
    small = replace(small, architecture=build_architecture("mf", num_items=3))
    # (bias 1 + items 3 · 3 + users 3 · 3) · 4 bytes · 5 copies
    assert worker_bytes(small, num_workers=2, num_positives=6)[PARAMETERS] == 380


def test_negatives_that_are_kept_take_room(small):
    small = replace(small, redraw=False)
    # 6 positives · (12 bytes + 4 negatives · (8 + 1)), and the marks
    assert worker_bytes(small, num_workers=2, num_positives=6)[POSITIVES] == 288 + 2


def test_pretraining_holds_both_halves_beside_the_model_they_are_joined_to(small):
    neumf = build_architecture("neumf", num_items=3, tower=(2, 1))
    plain = replace(small, architecture=neumf)
    # Users and items 6 · (2 + 1), GMF output 2, first layer 2 + 1, MLP output 1, bias 1
    assert worker_bytes(plain, num_workers=2, num_positives=6)[PARAMETERS] == 25 * 4 * 5
    pretrained = replace(plain, pretraining={"gmf": build_settings(), "mlp": build_settings()})
    assert worker_bytes(pretrained, num_workers=2, num_positives=6)[PARAMETERS] == 25 * 4 * 6


def test_a_model_of_nobody_has_no_positives(small):
    small = replace(small, num_users=0)
    assert worker_bytes(small, num_workers=2, num_positives=0)[POSITIVES] == 0


# --- where the positives will be ----------------------------------------------------------------


@pytest.mark.parametrize(
    # Users 0, 4 and 8 are of shard 0, users 1 and 5 of shard 1 (user 9 has none), and so on.
    ("num_workers", "expected"),
    [(1, [18]), (2, [10, 8]), (3, [10, 4, 4]), (4, [6, 4, 4, 4])],
)
def test_the_positives_of_each_worker_are_counted(task, num_workers, expected):
    found = positives_of_workers(task, num_workers)
    assert found == expected
    assert [
        worker["positives"]["num_positives"] for worker in on_workers(task, num_workers)
    ] == found


@pytest.mark.parametrize(
    ("resident_bytes", "expected"),
    [(None, (2, 0)), (120, (2, 0)), (119, (1, 1)), (95, (0, 2))],
)
def test_the_driver_knows_what_the_workers_will_do(task, resident_bytes, expected):
    task = replace(task, resident_bytes=resident_bytes)
    found = modes_of_workers(task, positives_of_workers(task, 2))
    assert found == {"resident": expected[0], "streaming": expected[1]}
    modes = [worker["positives"]["mode"] for worker in on_workers(task, 2)]
    assert {mode: modes.count(mode) for mode in found} == found


def test_negatives_cannot_be_kept_for_positives_that_are_streamed(task):
    kept = replace(task, redraw=False, resident_bytes=119)
    with pytest.raises(
        ConfigError,
        match=r"sampling.redraw is false, .* training.resident_bytes is 119, and a worker has 10 "
        r"positives of 12 bytes. Set .*redraw: true, or training.resident_bytes: 120 or more",
    ):
        modes_of_workers(kept, [10, 8])
    fitting = replace(kept, resident_bytes=120)
    assert modes_of_workers(fitting, [10, 8]) == {"resident": 2, "streaming": 0}
