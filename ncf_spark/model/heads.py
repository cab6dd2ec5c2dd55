"""MF, GMF, MLP and NeuMF: how a user's and an item's vector become a logit (He et al. 2017).

Shapes: P positives, N negatives + 1, B users and I items of a block, F factors, E width of an MLP
embedding, D width of a vector (F + 1, F, E or F + E), H width of the first hidden layer.

Each head has two stages. First users and items are encoded, each once and not once a pair: the
first layer splits exactly, W·[u; i] = Wᵤ·u + Wᵢ·i. Then pairs are computed from the encoded parts.

| method                         | input → output                                                  |
|--------------------------------|-----------------------------------------------------------------|
| encode_users, encode_items     | vectors → encoded parts of one side                             |
| pairs                          | encoded parts of both sides → logits (N, P), and their backward |
| users_backward, items_backward | gradients of encoded parts → gradients of the vectors           |
| block                          | encoded parts of B users and I items → logits (B, I)            |

`pairs` may overwrite the encoded items. Gradients are computed by hand, because autograd takes
longer (docs/experiments/training_step.md); `training.step_loss` hands them to autograd.
"""

from __future__ import annotations

from ncf_spark.model.factorisation import GMF, MF
from ncf_spark.model.gradients import Encoded, Gradients
from ncf_spark.model.neural import MLP, NeuMF

Head = MF | GMF | MLP | NeuMF

__all__ = ["GMF", "MF", "MLP", "Encoded", "Gradients", "Head", "NeuMF"]
