"""The distribution that negatives are drawn from, as Spark computed it."""

from __future__ import annotations

import torch
from torch import Tensor

from ncf_spark.storage import arrays
from ncf_spark.training.failures import reading
from ncf_spark.training.task import TrainingTask


def item_probabilities(task: TrainingTask) -> Tensor:
    """(I,) of each item: the mixture; 0 for those without interactions tonight."""
    with reading(task.activity_uri):
        columns = arrays.read_columns(task.activity_uri, ["item_index", *task.mixture])
    probabilities = torch.zeros(task.architecture.num_items, dtype=torch.float64)
    items = torch.tensor(columns["item_index"], dtype=torch.int64)
    for name, weight in task.mixture.items():
        probabilities[items] += weight * torch.tensor(columns[name])
    return probabilities
