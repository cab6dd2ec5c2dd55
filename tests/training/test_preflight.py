import json
import subprocess
import sys
from dataclasses import replace

import pytest

from ncf_spark.errors import ConfigError
from ncf_spark.training.preflight import (
    check_gpu,
    modes_of_workers,
    positives_of_workers,
    worker_bytes,
)
from tests.model.architectures import build_architecture
from tests.training.tasks import on_workers
from tests.training.trainers import build_settings

ROW_GROUPS = 2**25
MEASURED = (
    "adam",
    "lazy_adam",
    "sgd",
    "pretraining",
    "positives",
    "dense positives",
    "streaming",
    "large steps",
)


@pytest.fixture
def small(task):
    """5 users and 3 items, GMF of 2 factors; of two workers, the larger has 3 users."""
    return replace(
        task,
        num_users=5,
        num_shards=2,
        validation_uri=None,
        architecture=build_architecture("gmf", num_items=3),
        loop=build_settings(num_negatives=4),
    )


def needed(task, positives=6, **named):
    return worker_bytes(task, num_workers=2, num_positives=positives, **named)


def test_the_largest_worker_is_told_what_it_will_hold(small):
    parameters = (2 + 1 + 3 * 2 + 3 * 2) * 4  # output, bias, items, users
    drawn = 6 * 5  # positives and their negatives
    assert needed(small) == {
        "positives": 6 * 12,
        # A mark for each of 3 · 3 pairs, 8 a byte, and of the 3 items thresholds and aliases of 8
        "sampler": 2 + 3 * 16,
        "validation items": 0,
        "row groups": ROW_GROUPS,
        "parameters": parameters,
        "gradients": parameters,
        "optimiser": 2 * parameters,
        "best epoch": 0,
        "pretrained halves": 0,
        # What is drawn; a pair's 2 factors, three times; the 3 items' vectors, four times
        "copies": drawn * 40 + 3 * drawn * 8 + 4 * 3 * 8,
    }


@pytest.mark.parametrize(
    ("resident_bytes", "held"), [(72, 72), (1_000, 72), (71, 71), (12, 12), (None, 72)]
)
def test_positives_that_do_not_fit_take_what_they_may(small, resident_bytes, held):
    assert needed(replace(small, resident_bytes=resident_bytes))["positives"] == held


def test_where_there_are_more_pairs_than_marks_keys_are_held_too(small):
    sparse = replace(small, num_users=2_000)
    # 1,000 · 3 pairs are more than 2⁹ marks of 6 positives; then there are 7 keys of 8 bytes.
    assert needed(sparse)["sampler"] == 64 + 56 + 3 * 16


def test_positives_that_are_not_rejected_need_no_keys(small):
    assert needed(replace(small, max_retries=None))["sampler"] == 48


def test_negatives_that_are_kept_take_room(small):
    # 6 positives · 4 negatives · (8 + 1)
    assert needed(replace(small, redraw=False))["sampler"] == 2 + 48 + 216


@pytest.mark.parametrize(
    ("optimiser", "moments", "gradients"),
    [
        ("adam", 120, 60),
        ("sgd", 0, 60),
        # Those of the users, 24, give way to rows of the 6 positives: index and vector, twice
        ("lazy_adam", 120, 60 - 24 + 2 * 6 * (8 + 8)),
    ],
)
def test_each_optimiser_has_its_moments_and_gradients(small, optimiser, moments, gradients):
    found = needed(replace(small, loop=replace(small.loop, optimiser=optimiser)))
    assert (found["optimiser"], found["gradients"]) == (moments, gradients)


def test_lazy_adam_keeps_the_items_of_a_step_where_there_are_more(small):
    many = replace(small, architecture=build_architecture("gmf", num_items=1_000))
    found = needed(replace(many, loop=replace(many.loop, optimiser="lazy_adam")), on_gpu=True)
    # Without tables output and bias are left; 6 users twice; 30 drawn items, and those of both
    assert found["gradients"] == 12 + 2 * 6 * 16 + 3 * 30 * 16


def test_the_best_epoch_is_kept_where_epochs_are_judged(small, task):
    judged = replace(small, validation_uri=task.validation_uri, num_shards=4, num_users=10)
    found = needed(judged)
    # Worker 0 has users 0 and 4 of the validation items: 4 rivals, 8 bytes each.
    assert found["validation items"] == 8 * 4
    assert found["best epoch"] == found["parameters"] > 0


def test_a_checkpoint_is_put_together_in_memory(small):
    large = replace(small, num_users=100_000, checkpoint_epochs=1)
    # Parameters and two moments of a shard's 50,000 users of 2 factors, twice
    assert needed(large)["copies"] == 2 * 3 * 50_000 * 8
    many_shards = replace(large, num_shards=100)
    assert needed(many_shards)["copies"] == 2 * 3 * 1_000 * 8
    assert needed(replace(many_shards, checkpoint_epochs=None))["copies"] < 5_000


def test_pretraining_holds_one_half_while_it_trains_the_other(small):
    neumf = build_architecture("neumf", num_items=3, tower=(2, 1))
    large = replace(
        small,
        num_users=100_000,
        num_shards=100,
        architecture=neumf,
        loop=replace(small.loop, optimiser="sgd"),
        pretraining={"gmf": build_settings(), "mlp": build_settings()},
    )
    found = needed(large)
    gmf = (2 + 1 + 3 * 2 + 50_000 * 2) * 4
    assert found["pretrained halves"] == 2 * gmf
    joined = needed(replace(large, loop=replace(large.loop, optimiser="adam")))
    assert joined["pretrained halves"] == 0


def test_a_model_of_nobody_has_no_positives(small):
    assert needed(replace(small, num_users=0), positives=0)["positives"] == 0


def test_a_gpu_takes_whole_steps_and_none_of_the_hosts_copies(small):
    deep = replace(small, architecture=build_architecture("mlp", 3, tower=(64, 64, 32)))
    deep = replace(deep, loop=replace(deep.loop, batch_size=100_000), checkpoint_epochs=1)
    host, gpu = needed(deep, 100_000), needed(deep, 100_000, on_gpu=True)
    assert gpu["row groups"] == 0
    # 500,000 pairs at once, and not a slice of 2 MiB by 256 bytes of the widest layer
    pair = (32 + 64 + 32) * 4
    assert gpu["copies"] - host["copies"] == 3 * pair * (500_000 - 2**21 // 256)
    streamed = replace(deep, resident_bytes=1_200)
    assert needed(streamed, 100_000, on_gpu=True)["positives"] == 0


def test_a_gpu_that_is_too_small_is_refused_with_figures(task):
    needs = sum(worker_bytes(task, 2, 10, on_gpu=True).values())
    check_gpu(task, 2, needs)
    expected = (
        rf"needs {needs:,} bytes of its GPU \(positives 120; .*\), which has {needs - 1:,} left"
    )
    with pytest.raises(ConfigError, match=expected + r"\. Raise training\.num_workers, lower"):
        check_gpu(task, 2, needs - 1)


# --- the estimate and what is taken -------------------------------------------------------------


@pytest.fixture(scope="module")
def peaks():
    """The cases of measured_memory, in a process that has allocated nothing else."""
    command = [sys.executable, "-m", "tests.training.measured_memory", *MEASURED]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = map(json.loads, found.stdout.splitlines())
    return {line["name"]: (line["estimated"], line["measured"]) for line in lines}


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURED)
def test_the_estimate_is_what_a_worker_takes(peaks, name):
    estimated, measured = peaks[name]
    assert measured > 150e6  # beside which the noise is small
    assert estimated == pytest.approx(measured, rel=0.2)


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
