import pytest
from pyspark.sql import functions as F

from ncf_spark.campaign.arms import arm

NUM_USERS = 100_000


def dealt(spark, campaign_id="autumn", salt="ncf", popular=0.2, holdout=0.1):
    users = spark.range(NUM_USERS).select(F.format_string("user-%d", "id").alias("user_id"))
    own = arm("user_id", campaign_id=campaign_id, salt=salt, popular=popular, holdout=holdout)
    return users.select("user_id", own.alias("arm")).toPandas().set_index("user_id").arm


def test_shares_hold_within_half_a_percent_and_a_rerun_deals_the_same(spark):
    first = dealt(spark)
    shares = first.value_counts(normalize=True)
    wanted = {"model": 0.7, "popular": 0.2, "holdout": 0.1}
    assert shares.to_dict() == pytest.approx(wanted, abs=0.005)
    assert dealt(spark).equals(first)


@pytest.mark.parametrize("change", [{"campaign_id": "winter"}, {"salt": "other"}])
def test_campaigns_are_independent_of_each_other(spark, change):
    one, other = dealt(spark), dealt(spark, **change)
    for name in ("model", "popular", "holdout"):
        # Of 100 thousand pairs without any relation, three in a thousand exceed 3 / sqrt(n).
        assert abs((one == name).corr(other == name)) < 3 / NUM_USERS**0.5


def test_a_share_that_grows_takes_users_from_the_model_alone(spark):
    before, after = dealt(spark), dealt(spark, popular=0.4, holdout=0.3)
    for name in ("popular", "holdout"):
        assert set(after[before == name]) == {name}


def test_without_shares_everyone_is_the_models(spark):
    assert set(dealt(spark, popular=0.0, holdout=0.0)) == {"model"}
    assert set(dealt(spark, popular=0.0, holdout=1.0)) == {"holdout"}
    assert set(dealt(spark, popular=1.0, holdout=0.0)) == {"popular"}
