"""Who gets the model's recommendations, who best-sellers, and who nothing."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

MODEL, POPULAR, HOLDOUT = "model", "popular", "holdout"


def arm(user_id: str, *, campaign_id: str, salt: str, popular: float, holdout: float) -> Column:
    """The arm of a user: the same every night, and of another campaign independent of this one.

    A share that grows later takes users from the model's arm alone.

    Args:
        user_id: the column.
        salt: of all campaigns.
        popular, holdout: shares of the users.
    """
    hashed = F.xxhash64(F.lit(salt), F.lit(campaign_id), F.col(user_id))
    uniform = F.shiftrightunsigned(hashed, 11) / F.lit(float(2**53))
    return (
        F.when(uniform < F.lit(holdout), F.lit(HOLDOUT))
        .when(uniform >= F.lit(1.0 - popular), F.lit(POPULAR))
        .otherwise(F.lit(MODEL))
    )
