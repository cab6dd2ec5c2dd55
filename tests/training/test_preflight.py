from dataclasses import replace

import pytest

from ncf_spark.training.preflight import worker_bytes
from tests.model.architectures import build_architecture
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
    assert worker_bytes(small, num_workers=2, num_positives=10) == {
        # (output 2 + bias 1 + items 6 + users 6) · 4 bytes · 5 copies: the parameters, their
        # gradients, Adam's two moments and the best epoch
        PARAMETERS: 300,
        # 6 of 10 positives · 3 numbers of 8 bytes, and 64 marks of a byte
        POSITIVES: 144 + 64,
    }


def test_the_biases_of_mf_take_room(small):
    small = replace(small, architecture=build_architecture("mf", num_items=3))
    # (bias 1 + items 3 · 3 + users 3 · 3) · 4 bytes · 5 copies
    assert worker_bytes(small, num_workers=2, num_positives=10)[PARAMETERS] == 380


def test_negatives_that_are_kept_take_room(small):
    small = replace(small, redraw=False)
    # 6 positives · (24 bytes + 4 negatives · (8 + 1)), and 64 marks
    assert worker_bytes(small, num_workers=2, num_positives=10)[POSITIVES] == 360 + 64


def test_pretraining_holds_both_halves_beside_the_model_they_are_joined_to(small):
    neumf = build_architecture("neumf", num_items=3, tower=(2, 1))
    plain = replace(small, architecture=neumf)
    # Users and items 6 · (2 + 1), GMF output 2, first layer 2 + 1, MLP output 1, bias 1
    assert worker_bytes(plain, num_workers=2, num_positives=10)[PARAMETERS] == 25 * 4 * 5
    pretrained = replace(plain, pretraining={"gmf": build_settings(), "mlp": build_settings()})
    assert worker_bytes(pretrained, num_workers=2, num_positives=10)[PARAMETERS] == 25 * 4 * 6


def test_a_model_of_nobody_has_no_positives(small):
    small = replace(small, num_users=0)
    # The smallest table has two marks.
    assert worker_bytes(small, num_workers=2, num_positives=0)[POSITIVES] == 2
