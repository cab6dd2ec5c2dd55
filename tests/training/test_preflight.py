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


ROW_GROUPS = 2**25


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


def test_the_parts_of_the_largest_worker_are_counted(small):
    parameters = (2 + 1 + 3 * 2 + 3 * 2) * 4  # output, bias, items, users
    parts = {
        "parameters": parameters,
        "optimiser": 3 * parameters,  # gradients and two moments
        "checkpoint": 0,
        "positives": 6 * 12 + ROW_GROUPS,
        # A mark for each of 3 · 3 pairs, 8 a byte, and the alias table of the 3 items
        "sampler": 2 + 3 * 146,
        "validation items": 0,
        # 6 positives with 4 negatives each, of 3 items with vectors of 8 bytes
        "step": 6 * 5 * 40 + 2 * 8 * 3,
    }
    assert needed(small) == {**parts, "reserve": round(0.25 * sum(parts.values()))}


@pytest.mark.parametrize(("resident_bytes", "held"), [(72, 72), (71, 71), (None, 72)])
def test_positives_that_do_not_fit_take_what_they_may(small, resident_bytes, held):
    limited = replace(small, resident_bytes=resident_bytes)
    assert needed(limited)["positives"] == held + ROW_GROUPS
    assert needed(limited, on_gpu=True)["positives"] == (held if held == 72 else 0)


@pytest.mark.parametrize(
    ("different", "sampler"),
    [
        # 1,000 · 3 pairs are more than 2⁹ marks of 6 positives; then there are 7 keys of 8 bytes.
        ({"num_users": 2_000}, 64 + 56 + 438),
        ({"max_retries": None}, 438),
        # 6 positives · 4 negatives · (8 + 1 + 8)
        ({"redraw": False}, 2 + 438 + 408),
    ],
)
def test_rejection_and_kept_negatives_are_counted(small, different, sampler):
    assert needed(replace(small, **different))["sampler"] == sampler


def test_each_optimiser_has_its_moments_and_validation_a_copy_of_the_best_epoch(small, task):
    sgd = replace(small, loop=replace(small.loop, optimiser="sgd"))
    assert needed(sgd)["optimiser"] == needed(sgd)["parameters"]
    pretrained = replace(sgd, pretraining={"gmf": build_settings()})
    assert needed(pretrained)["optimiser"] == 3 * needed(sgd)["parameters"]
    judged = needed(replace(sgd, validation_uri=task.validation_uri, num_shards=4, num_users=10))
    assert judged["optimiser"] == 2 * judged["parameters"]
    # Worker 0 has users 0 and 4 of the validation items: 4 negatives to rank.
    assert judged["validation items"] == 36 * 4


def test_lazy_adam_has_gradients_of_the_batchs_users_only(small):
    adam, lazy = (
        needed(replace(small, num_users=200, loop=replace(small.loop, optimiser=kind)))
        for kind in ("adam", "lazy_adam")
    )
    assert adam["optimiser"] - lazy["optimiser"] == 100 * 8


def test_a_checkpoint_is_put_together_in_memory(small):
    large = replace(small, num_users=100_000, checkpoint_epochs=1)
    # Parameters and two moments of a shard's 50,000 users of 2 factors, twice
    assert needed(large)["checkpoint"] == 2 * 3 * 50_000 * 8
    assert needed(large, on_gpu=True)["checkpoint"] == 0


def test_a_gpu_holds_all_layers_of_a_whole_step(small):
    deep = replace(small, architecture=build_architecture("mlp", 3, tower=(64, 64, 32)))
    deep = replace(deep, loop=replace(deep.loop, batch_size=100_000))
    host, gpu = needed(deep, 100_000), needed(deep, 100_000, on_gpu=True)
    assert gpu["step"] - host["step"] == 500_000 * 3 * (32 + 64 + 32) * 4


def test_a_gpu_that_is_too_small_is_refused_with_figures(task):
    needs = sum(worker_bytes(task, 2, 10, on_gpu=True).values())
    check_gpu(task, 2, needs)
    expected = rf"needs {needs:,} bytes of its GPU \(parameters .*\), which has {needs - 1:,} left"
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
def test_a_worker_takes_no_more_than_the_estimate_and_no_less_than_half(peaks, name):
    estimated, measured = peaks[name]
    assert measured > 150e6  # beside which the noise is small
    assert estimated / 2 < measured < estimated


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
