import math

import pytest
import torch
from torch import nn

from ncf_spark.training.selection import BestEpoch


def build_model() -> nn.Linear:
    model = nn.Linear(2, 1)
    fill(model, 0.0)
    return model


def fill(model: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)


def seen(figures: dict[int, float], patience: int | None = None) -> tuple[nn.Module, BestEpoch]:
    """A model whose parameters are the epoch's number, as each figure is seen."""
    model = build_model()
    best = BestEpoch(model, patience)
    for epoch, figure in figures.items():
        fill(model, float(epoch))
        best.update(epoch, figure)
    return model, best


@pytest.mark.parametrize(
    ("figures", "chosen"),
    [
        ({1: 0.1, 2: 0.3, 3: 0.2}, 2),
        ({1: 0.1, 2: 0.2, 3: 0.3}, 3),
        ({1: 0.3, 2: 0.2, 3: 0.1}, 1),
        ({1: 0.2, 2: 0.3, 3: 0.3}, 2),
        ({2: 0.3, 4: 0.3, 6: 0.1}, 2),
        ({0: 0.5, 1: 0.1}, 0),
        ({1: 0.0, 2: 0.0}, 1),
        ({1: -math.inf, 2: -5.0}, 2),
    ],
)
def test_the_best_epoch_is_kept_and_of_equals_the_first(figures, chosen):
    model, best = seen(figures)
    assert best.epoch == chosen
    fill(model, 99.0)
    best.restore()
    assert {value for p in model.parameters() for value in p.flatten().tolist()} == {float(chosen)}


def test_what_was_not_judged_changes_nothing():
    model = build_model()
    best = BestEpoch(model, patience=1)
    fill(model, 7.0)
    assert (best.epoch, best.is_over) == (None, False)
    best.restore()
    assert model.bias.tolist() == [7.0]


def test_a_restored_model_is_trained_on_in_place():
    model, best = seen({1: 0.5, 2: 0.1})
    parameters = list(model.parameters())
    best.restore()
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    fill(model, 4.0)  # the copy is not the parameter
    best.restore()
    assert model.bias.tolist() == [1.0]


@pytest.mark.parametrize(
    ("patience", "figures", "over"),
    [
        (1, [0.5], [False]),
        (1, [0.5, 0.4], [False, True]),
        (1, [0.5, 0.5], [False, True]),
        (2, [0.5, 0.4, 0.3], [False, False, True]),
        # A better one in between starts the wait anew.
        (2, [0.5, 0.4, 0.6, 0.5, 0.5], [False, False, False, False, True]),
        (None, [0.5, 0.4, 0.3, 0.2, 0.1], [False] * 5),
    ],
)
def test_training_is_over_when_the_figures_have_not_improved_for_long(patience, figures, over):
    best = BestEpoch(build_model(), patience)
    found = []
    for epoch, figure in enumerate(figures, start=1):
        best.update(epoch, figure)
        found.append(best.is_over)
    assert found == over


def test_a_figure_that_is_not_a_number_is_an_error():
    _, best = seen({1: 0.5})
    with pytest.raises(ValueError, match="epoch 2 cannot be evaluated: its metric is NaN"):
        best.update(2, math.nan)
