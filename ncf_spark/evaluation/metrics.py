"""HR@k and NDCG@k from a histogram of ranks.

With one relevant item in a list, HR@k is the share of lists that show it among the first k, and
NDCG@k adds 1 / log2(rank + 1) for each of these (He et al. 2017, section 4.1).

A histogram `rank_counts` holds at position r the number of lists whose item has rank r; position 0
is unused and the last position counts all greater ranks. It adds up over workers and partitions,
and its size does not depend on the number of users.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def main_cut_off(ks: Sequence[int]) -> int:
    """The cut-off that summaries show: 10, else the nearest to it, the smaller of two as near."""
    return min(ks, key=lambda k: (abs(k - 10), k))


def rank_histogram(ranks: np.ndarray, max_k: int) -> np.ndarray:
    """(max_k + 2,) counts of ranks ≥ 1; ranks above max_k share the last position.

    [1, 3, 12] with max_k 10 → counts[1] = 1, counts[3] = 1, counts[11] = 1.
    """
    return np.bincount(np.minimum(ranks, max_k + 1), minlength=max_k + 2)


def hr(rank_counts: np.ndarray, k: int) -> float:
    """Hit ratio: the share of lists with the item among the first k; nan without lists."""
    total = rank_counts.sum()
    return float(rank_counts[1 : k + 1].sum() / total) if total else float("nan")


def ndcg(rank_counts: np.ndarray, k: int) -> float:
    """Normalised discounted cumulative gain at k; nan without lists."""
    total = rank_counts.sum()
    gains = 1.0 / np.log2(np.arange(1, k + 1) + 1)
    return float((rank_counts[1 : k + 1] * gains).sum() / total) if total else float("nan")


METRICS = {"hr": hr, "ndcg": ndcg}


def metric_values(rank_counts: np.ndarray, ks: Iterable[int]) -> list[tuple[str, int, float]]:
    """(metric, k, value) for each metric and cut-off."""
    return [(name, k, metric(rank_counts, k)) for k in ks for name, metric in METRICS.items()]
