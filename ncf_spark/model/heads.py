"""MF, GMF, MLP and NeuMF: how a user's and an item's vector become a logit (He et al. 2017).

Shapes: P positives, N negatives + 1, F factors, E width of an MLP embedding, D width of a vector
(F + 1, F, E or F + E), H width of the first hidden layer.

Each head works in two halves, so that what belongs to a user alone is computed once for the user
and not once for each pair: the first layer splits exactly, W·[u; i] = Wᵤ·u + Wᵢ·i.

| method                        | from → to                                               |
|-------------------------------|---------------------------------------------------------|
| encode_users, encode_items    | vectors → parts of one side                             |
| pairs_and_pull                | parts of both sides → logits (N, P), and the way back   |
| pull_users, pull_items        | gradients of the parts → gradients of the vectors       |

What was encoded of the items may be overwritten by `pairs_and_pull`.

The way back is written out, not left to autograd, which took two to three times as long for a step
of 2,048 samples: most of that was its own bookkeeping.
"""

from __future__ import annotations

from ncf_spark.model.factorisation import GMF, MF
from ncf_spark.model.neural import MLP, NeuMF
from ncf_spark.model.parts import Encoded, PullPairs

Head = MF | GMF | MLP | NeuMF

__all__ = ["GMF", "MF", "MLP", "Encoded", "Head", "NeuMF", "PullPairs"]
