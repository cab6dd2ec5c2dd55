"""Which epoch's parameters are kept, and when training stops early."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class BestEpoch:
    """Keeps a copy of the parameters of the best epoch so far.

    Every worker gets the same metrics, so all keep and stop at the same epochs.

    Args:
        patience: metrics in a row without improvement before training stops; None: no limit.
    """

    def __init__(self, model: nn.Module, patience: int | None) -> None:
        self._model = model
        self._patience = patience
        self._parameters: list[Tensor] = []
        self._best = -math.inf
        self._waited = 0
        self.epoch: int | None = None

    def update(self, epoch: int, value: float) -> None:
        """Compares an epoch's metric with the best; greater is better, the first of equals is kept.

        Raises:
            ValueError: when the metric is NaN.
        """
        if math.isnan(value):
            raise ValueError(f"epoch {epoch} cannot be evaluated: its metric is NaN")
        if value > self._best:
            self._best, self.epoch, self._waited = value, epoch, 0
            self._parameters = [p.detach().clone() for p in self._model.parameters()]
        else:
            self._waited += 1

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """For a checkpoint: figures, and the kept parameters by name, if there are any."""
        names = [name for name, _ in self._model.named_parameters()]
        figures = {"epoch": self.epoch, "value": self._best, "waited": self._waited}
        kept = dict(zip(names, self._parameters, strict=True)) if self._parameters else {}
        return figures if kept else {}, kept

    def load_state(self, figures: Mapping[str, Any], parameters: Mapping[str, Tensor]) -> None:
        """Restores what `state` returned."""
        if figures:
            self.epoch, self._best = figures["epoch"], figures["value"]
            self._waited = figures["waited"]
            self._parameters = [parameters[name] for name, _ in self._model.named_parameters()]

    @property
    def is_over(self) -> bool:
        """Whether the metric has not improved for `patience` evaluations."""
        return self._patience is not None and self._waited >= self._patience

    @torch.no_grad()
    def restore(self) -> None:
        """Sets the model to the parameters of the best epoch, if an epoch was evaluated."""
        for parameter, kept in zip(self._model.parameters(), self._parameters, strict=False):
            parameter.copy_(kept)
