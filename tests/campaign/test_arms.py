import pandas as pd
import pytest
from pyspark.sql import functions as F

from ncf_spark.campaign.arms import assigned_arm

NUM_USERS = 100_000
ARMS = {"campaign_id": "autumn", "salt": "ncf", "popular": 0.2, "holdout": 0.1}
WAYS = {
    "first": {},
    "again": {},
    "of another campaign": {"campaign_id": "winter"},
    "with another salt": {"salt": "other"},
    "with larger shares": {"popular": 0.4, "holdout": 0.3},
    "without shares": {"popular": 0.0, "holdout": 0.0},
    "all held out": {"popular": 0.0, "holdout": 1.0},
    "all popular": {"popular": 1.0, "holdout": 0.0},
}


@pytest.fixture(scope="module")
def users(spark) -> pd.DataFrame:
    """The number of users for each combination of arms, assigned in each way."""
    users = spark.range(NUM_USERS).select(F.format_string("user-%d", "id").alias("user_id"))
    assigned = [
        assigned_arm("user_id", **{**ARMS, **way}).alias(name) for name, way in WAYS.items()
    ]
    return users.select(*assigned).groupBy(*WAYS).count().toPandas()


def share(users: pd.DataFrame, *chosen: pd.Series) -> float:
    """The share of users for whom all of these hold."""
    of_all = pd.concat(chosen, axis=1).all(axis=1)
    return float(users["count"][of_all].sum() / NUM_USERS)


def test_shares_hold_within_half_a_percent_and_a_rerun_assigns_the_same(users):
    shares = {
        name: share(users, users["first"] == name) for name in ("model", "popular", "holdout")
    }
    assert shares == pytest.approx({"model": 0.7, "popular": 0.2, "holdout": 0.1}, abs=0.005)
    assert users.again.equals(users["first"])


@pytest.mark.parametrize("way", ["of another campaign", "with another salt"])
def test_campaigns_are_independent_of_each_other(users, way):
    for name in ("model", "popular", "holdout"):
        one, other = users["first"] == name, users[way] == name
        p, q = share(users, one), share(users, other)
        correlation = (share(users, one, other) - p * q) / (p * (1 - p) * q * (1 - q)) ** 0.5
        # Of 100 thousand pairs without any relation, three in a thousand exceed 3 / sqrt(n).
        assert abs(correlation) < 3 / NUM_USERS**0.5


def test_a_share_that_grows_takes_users_from_the_model_alone(users):
    for name in ("popular", "holdout"):
        assert set(users["with larger shares"][users["first"] == name]) == {name}


def test_without_shares_everyone_is_the_models(users):
    assert set(users["without shares"]) == {"model"}
    assert set(users["all held out"]) == {"holdout"}
    assert set(users["all popular"]) == {"popular"}
