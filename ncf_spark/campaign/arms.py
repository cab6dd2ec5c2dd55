"""Assigns users to the arms of a campaign: recommendations, best-sellers, or nothing."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

MODEL, POPULAR, HOLDOUT = "model", "popular", "holdout"


def assigned_arm(
    user_id: str, *, campaign_id: str, salt: str, popular: float, holdout: float
) -> Column:
    """The arm of a user: the same every night, and independent of the arms of other campaigns.

    When a share grows, it takes users from the arm `model` only.

    Args:
        user_id: the column.
        salt: shared by all campaigns.
        popular, holdout: shares of the users.
    """
    hashed = F.xxhash64(F.lit(salt), F.lit(campaign_id), F.col(user_id))
    uniform = F.shiftrightunsigned(hashed, 11) / F.lit(float(2**53))
    return (
        F.when(uniform < F.lit(holdout), F.lit(HOLDOUT))
        .when(uniform >= F.lit(1.0 - popular), F.lit(POPULAR))
        .otherwise(F.lit(MODEL))
    )
