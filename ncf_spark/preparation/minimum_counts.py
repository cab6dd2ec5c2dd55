"""Users and items with too few interactions, left out in turns."""

from __future__ import annotations

import itertools
from functools import reduce

from pyspark.sql import DataFrame

from ncf_spark.pipeline.context import Job
from ncf_spark.preparation.interactions import build_rare_ids, filter_out_ids


def filter_rare_ids(job: Job, pairs: DataFrame) -> DataFrame:
    """`pairs` without users and items below input.min_user_items and input.min_item_users.

    Dropping one side may leave the other below its minimum, so both are looked at in turns until a
    turn finds none. Each turn stages the ids to drop, of which there are few.
    """
    settings = job.config.input
    least = {"user_id": settings.min_user_items, "item_id": settings.min_item_users}
    sides = [name for name in least if least[name] > 1]
    if not sides:
        return pairs
    if len(sides) == 1:
        rare = build_rare_ids(pairs, sides[0], at_least=least[sides[0]])
        return filter_out_ids(pairs, rare)
    left, gone = pairs, dict[str, DataFrame]()
    for turn in itertools.count():
        name = sides[turn % len(sides)]
        rare = build_rare_ids(left, name, at_least=least[name])
        rare = job.stage(rare, f"{name}/turn={turn}")
        gone[name] = gone[name].union(rare) if name in gone else rare
        left = reduce(filter_out_ids, gone.values(), pairs)
        # What the other side counted in its last turn still holds then.
        if turn > 0 and rare.isEmpty():
            return left
    raise AssertionError("unreachable")
