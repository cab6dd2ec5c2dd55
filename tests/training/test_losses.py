import pytest
import torch
from torch import Tensor

from ncf_spark.training.losses import LOSSES, terms_per_positive
from ncf_spark.training.samples import counted

LN_2, LN_3 = 0.693147, 1.098612

# Two positives with two negatives each, the positive first.
LOGITS = [[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]]
ALL_COUNT: list[int] = []
# The positions among the four negatives: the first of the first positive (its logit is 2), and the
# second of the second.
SOME_OUT = [0, 3]


def loss_of(loss: str, unresolved: list[int], logits: list = LOGITS) -> tuple[float, Tensor]:
    """The loss and its gradients by the logits, a positive with its negatives in each row."""
    marks = torch.zeros(len(logits), len(logits[0]) - 1, dtype=torch.bool)
    marks.view(-1)[unresolved] = True
    given = torch.tensor(logits).T
    losses, gradients = LOSSES[loss](given, counted(marks.T) if unresolved else None)
    assert losses.shape == (len(logits),)
    return losses.sum().item(), gradients.T


@pytest.mark.parametrize(
    ("loss", "unresolved", "expected"),
    [
        # ln(1 + e⁻¹) for the positive, ln(1 + e²) and ln 2 for its negatives; 3 · ln 2
        ("bce", ALL_COUNT, 0.313262 + 2.126928 + LN_2 + 3 * LN_2),
        ("bce", SOME_OUT, 0.313262 + LN_2 + 2 * LN_2),
        # (1 - 1)² + 2² + 0², and (0 - 1)² for the second positive
        ("squared", ALL_COUNT, 4.0 + 1.0),
        ("squared", SOME_OUT, 0.0 + 1.0),
        # -ln(e / (e + e² + 1)) = ln(1 + e + e⁻¹), and -ln(1/3)
        ("softmax", ALL_COUNT, 1.407606 + LN_3),
        # -ln(e / (e + 1)) = ln(1 + e⁻¹), and -ln(1/2)
        ("softmax", SOME_OUT, 0.313262 + LN_2),
    ],
)
def test_a_loss_is_added_up_without_unresolved_negatives(loss, unresolved, expected):
    assert loss_of(loss, unresolved)[0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("loss", "unresolved", "expected"),
    [
        # σ(logit) - label: σ(1) = 0.731059, σ(2) = 0.880797, σ(0) = 1/2
        ("bce", ALL_COUNT, [[-0.268941, 0.880797, 0.5], [-0.5, 0.5, 0.5]]),
        ("bce", SOME_OUT, [[-0.268941, 0.0, 0.5], [-0.5, 0.5, 0.0]]),
        # 2 · (logit - label)
        ("squared", ALL_COUNT, [[0.0, 4.0, 0.0], [-2.0, 0.0, 0.0]]),
        ("squared", SOME_OUT, [[0.0, 0.0, 0.0], [-2.0, 0.0, 0.0]]),
        # The share of e^logit, less 1 for the positive: e, e² and 1 of 11.107338
        (
            "softmax",
            ALL_COUNT,
            [[0.244728 - 1, 0.665241, 0.090031], [1 / 3 - 1, 1 / 3, 1 / 3]],
        ),
        ("softmax", SOME_OUT, [[-0.268941, 0.0, 0.268941], [-0.5, 0.5, 0.0]]),
    ],
)
def test_unresolved_negatives_have_no_gradient(loss, unresolved, expected):
    for found, row in zip(loss_of(loss, unresolved)[1].tolist(), expected, strict=True):
        assert found == pytest.approx(row, abs=1e-5)


@pytest.mark.parametrize(
    ("loss", "expected", "gradient"),
    [
        ("bce", LN_2, [-0.5, 0.0, 0.0]),
        ("squared", 1.0, [-2.0, 0.0, 0.0]),
        # Alone among no negatives the positive has all of the soft-max.
        ("softmax", 0.0, [0.0, 0.0, 0.0]),
    ],
)
def test_a_positive_whose_negatives_are_all_unresolved(loss, expected, gradient):
    found, gradients = loss_of(loss, [0, 1], [[0.0, 5.0, 6.0]])
    assert found == pytest.approx(expected, abs=1e-5)
    assert gradients.tolist() == [gradient]


@pytest.mark.parametrize("loss", ["bce", "squared", "softmax"])
def test_the_gradients_are_those_of_autograd(loss):
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logits.requires_grad_()
    losses, gradients = LOSSES[loss](logits, None)
    losses.sum().backward()
    torch.testing.assert_close(logits.grad, gradients.detach())


@pytest.mark.parametrize("loss", ["bce", "squared", "softmax"])
def test_a_step_without_positives_loses_nothing(loss):
    losses, gradients = LOSSES[loss](torch.zeros(3, 0), None)
    assert losses.sum().item() == 0.0
    assert gradients.shape == (3, 0)


def test_large_logits_stay_finite():
    for loss in ("bce", "softmax"):
        # The first positive is sure and wrong by 2000, the second sure and right.
        found, gradients = loss_of(loss, [], [[-1000.0, 1000.0], [1000.0, -1000.0]])
        assert found == pytest.approx(2000.0)
        assert gradients.isfinite().all()


def test_what_counts_is_every_positive_and_each_resolved_negative():
    found = counted(torch.tensor([[True, False, False], [False, True, False]]))
    assert found.tolist() == [[1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]


@pytest.mark.parametrize(("loss", "terms"), [("bce", 5), ("squared", 5), ("softmax", 1)])
def test_the_terms_that_a_positive_with_four_negatives_brings(loss, terms):
    assert terms_per_positive(loss, 4) == terms
