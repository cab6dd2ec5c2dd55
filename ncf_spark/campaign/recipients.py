"""Decides which users get email: one row a user, with the reason why not, or null."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from ncf_spark.campaign.reasons import RECIPIENTS

# Columns of the users that serve only to compare them.
COMPARISON_COLUMNS = ("user", "address", "spellings")
_DETAILS = ("email", "address", "locale", "country", "segment")


def build_users(recipients: DataFrame) -> DataFrame:
    """One row a user: user_id, user, email, …, last_sent_at, consent, refuses, spellings.

    Every row of a user must give consent: a refusal in any row counts, also in a row whose id is
    equal only in the form in which ids are compared (`user`). `refuses` is true where a row says
    no, and false where rows only say nothing. The details are those of the row that sorts last, so
    that they belong together. `spellings` are those of the addresses of all rows. Rows without a
    user id are left out.

    Args:
        recipients: `schemas.RECIPIENTS`.
    """
    agreed = F.min(F.coalesce("consent", F.lit(False)))
    refuses = F.coalesce(F.bool_or(~F.col("consent")), F.lit(False))
    of_user = Window.partitionBy("user")
    return (
        recipients.where(F.col("user_id").isNotNull())
        .repartition("user")  # for the grouping and the window
        .groupBy("user", "user_id")
        .agg(
            agreed.alias("consent"),
            refuses.alias("refuses"),
            F.max(F.struct(*_DETAILS)).alias("row"),
            F.max("last_sent_at").alias("last_sent_at"),
            F.array_distinct(F.flatten(F.collect_list("spellings"))).alias("spellings"),
        )
        .withColumn("refuses", F.max("refuses").over(of_user))
        .withColumn("consent", F.col("consent") & ~F.col("refuses"))
        .select("user_id", "user", "row.*", "last_sent_at", "consent", "refuses", "spellings")
    )


def build_suppressed(suppressions: Mapping[str, DataFrame]) -> DataFrame:
    """(user, email_sha256, lists): who is on the lists, by id or by hash (the other is null).

    Args:
        suppressions: `schemas.SUPPRESSIONS` by the name of the list.
    """
    null = F.lit(None).cast("string")
    own = F.coalesce(F.transform("spellings", lambda one: F.sha2(one, 256)), F.array())
    hashes = F.transform(
        F.concat(own, F.array("email_sha256")),
        lambda one: F.struct(null.alias("user"), one.alias("email_sha256")),
    )
    users = F.array(F.struct(F.col("user").alias("user"), null.alias("email_sha256")))
    parts = [
        rows.select(F.explode(F.concat(users, hashes)).alias("one"), F.lit(name).alias("list"))
        for name, rows in suppressions.items()
    ]
    named = reduce(DataFrame.unionByName, parts).select("one.*", "list")
    known = named.where("user is not null or email_sha256 is not null")
    return known.groupBy("user", "email_sha256").agg(F.collect_set("list").alias("lists"))


def build_num_sends(send_log: DataFrame, *, days: int, ends_at: datetime) -> DataFrame:
    """(user_id, num_sends): different emails within the days before `ends_at`.

    Args:
        send_log: (user_id, campaign_id, sent_at), one row an email, or one row an item in it.
    """
    recent = send_log.where(is_within(F.col("sent_at"), days=days, ends_at=ends_at))
    email = F.struct(F.coalesce("campaign_id", F.lit("")), F.col("sent_at"))
    return recent.groupBy("user_id").agg(F.count_distinct(email).alias("num_sends"))


def is_within(moment: Column, *, days: int, ends_at: datetime) -> Column:
    """Whether a moment is within the days before `ends_at`."""
    return (moment >= F.lit(ends_at - timedelta(days=days))) & (moment < F.lit(ends_at))


def with_reason(
    users: DataFrame,
    *,
    suppressed: DataFrame | None,
    num_sends: DataFrame | None,
    audience: str | None,
    frequency: tuple[int, int] | None,
    ends_at: datetime,
    needs_address: bool = False,
) -> DataFrame:
    """`users` with `reason`, a code of `reasons.RECIPIENTS`; null: the user may get email.

    Without `COMPARISON_COLUMNS`, and with `lists`, the names of the suppression lists that have the
    user or an address of the user.

    Args:
        users: as of `build_users`, with `num_events`, which decides who is the most active user of
            an address.
        suppressed: as of `build_suppressed`.
        num_sends: as of `build_num_sends`.
        audience: SQL over user_id, locale, country, segment.
        frequency: sends and days.
        needs_address: whether users without an address get no email.
    """
    marked = _with_lists(users, suppressed)
    marked = _with_num_sends(marked, num_sends, frequency, ends_at)
    refused = F.col("refuses") | (F.size("lists") > 0)
    same = Window.partitionBy(F.coalesce("address", F.concat(F.lit("\0"), F.col("user_id"))))
    marked = marked.withColumn("is_refused_here", F.max(refused).over(same))
    holds = F.expr(audience) if audience else F.lit(True)
    tests = {
        "no_consent": ~F.col("consent"),
        "no_address": F.lit(needs_address) & ~is_address("email"),
        "suppressed": F.size("lists") > 0,
        "shared_address": F.col("is_refused_here"),
        "not_in_audience": ~F.coalesce(holds, F.lit(False)),
        "too_frequent": F.lit(False)
        if frequency is None
        else F.col("num_sends") >= F.lit(frequency[0]),
    }
    assert list(tests) == list(RECIPIENTS)[: len(tests)]
    whens = [F.when(test, F.lit(reason)) for reason, test in tests.items()]
    marked = marked.withColumn("reason", F.coalesce(*whens))
    most_active = same.orderBy(F.col("reason").isNotNull(), F.desc("num_events"), F.col("user_id"))
    is_other = (F.row_number().over(most_active) > 1) & F.col("address").isNotNull()
    reason = F.coalesce("reason", F.when(is_other, F.lit("same_address")))
    return marked.select(*users.drop(*COMPARISON_COLUMNS).columns, "lists", reason.alias("reason"))


def is_address(name: str) -> Column:
    """Whether a text has one @ with text on both sides, and no white space."""
    matches = F.trim(F.col(name)).rlike(r"^[^@\s]+@[^@\s]+$")
    return F.coalesce(matches, F.lit(False))


def _with_lists(users: DataFrame, suppressed: DataFrame | None) -> DataFrame:
    """`users` with the sorted names of the suppression lists that they are on."""
    none = F.array().cast("array<string>")
    if suppressed is None:
        return users.withColumn("lists", none)
    by_user = suppressed.where("user is not null").select("user", F.col("lists").alias("by_user"))
    hashes = suppressed.where("email_sha256 is not null").select("email_sha256", "lists")
    # Every address of a user counts, also one that would get no email.
    own = users.select("user_id", F.explode("spellings").alias("spelling"))
    listed = own.withColumn("email_sha256", F.sha2("spelling", 256)).join(
        hashes, on="email_sha256", how="inner"
    )
    by_address = listed.groupBy("user_id").agg(F.flatten(F.collect_set("lists")).alias("by_email"))
    both = F.concat(F.coalesce("by_user", none), F.coalesce("by_email", none))
    return (
        users.join(by_user, on="user", how="left")
        .join(by_address, on="user_id", how="left")
        .withColumn("lists", F.array_sort(F.array_distinct(both)))
        .drop("by_user", "by_email")
    )


def _with_num_sends(
    users: DataFrame,
    num_sends: DataFrame | None,
    frequency: tuple[int, int] | None,
    ends_at: datetime,
) -> DataFrame:
    """`users` with `num_sends`, the larger of the log's count and 1 for a recent `last_sent_at`.

    Both may report the same email, so they are not added.
    """
    if frequency is None:
        return users
    last = is_within(F.col("last_sent_at"), days=frequency[1], ends_at=ends_at).cast("long")
    own = F.coalesce(last, F.lit(0))
    if num_sends is None:
        return users.withColumn("num_sends", own)
    joined = users.join(num_sends, on="user_id", how="left")
    return joined.withColumn("num_sends", F.greatest(F.coalesce("num_sends", F.lit(0)), own))
