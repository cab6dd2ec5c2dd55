"""The customer's recipients → one row a user, with the reason why it gets no mail, or none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from ncf_spark.campaign.reasons import RECIPIENTS

# Columns of the users that serve to compare them, and nothing else.
COMPARED = ("user", "address", "spellings")
_DETAILS = ("email", "address", "locale", "country", "segment")


def build_users(recipients: DataFrame) -> DataFrame:
    """One row a user: user_id, user, email, …, last_sent_at, consent, refuses, spellings.

    Of a user's several rows each must give consent: a refusal anywhere counts, also in a row whose
    id is the same only as ids are compared (`user`). `refuses` says that one says no, and does not
    only say nothing. The details are those of the greatest row, so that they belong together.
    `spellings` are those of the addresses of all rows. Rows without a user id are left out.

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
    """(user, email_sha256, lists), one of the first null: what the lists name, and which do.

    Args:
        suppressions: `schemas.SUPPRESSIONS` by the list's name.
    """
    nothing = F.lit(None).cast("string")
    own = F.coalesce(F.transform("spellings", lambda one: F.sha2(one, 256)), F.array())
    hashes = F.transform(
        F.concat(own, F.array("email_sha256")),
        lambda one: F.struct(nothing.alias("user"), one.alias("email_sha256")),
    )
    users = F.array(F.struct(F.col("user").alias("user"), nothing.alias("email_sha256")))
    parts = [
        rows.select(F.explode(F.concat(users, hashes)).alias("one"), F.lit(name).alias("list"))
        for name, rows in suppressions.items()
    ]
    named = reduce(DataFrame.unionByName, parts).select("one.*", "list")
    known = named.where("user is not null or email_sha256 is not null")
    return known.groupBy("user", "email_sha256").agg(F.collect_set("list").alias("lists"))


def build_num_sends(send_log: DataFrame, *, days: int, ends_at: datetime) -> DataFrame:
    """(user_id, num_sends): different mails within the days before `ends_at`.

    Args:
        send_log: (user_id, campaign_id, sent_at), one row a mail or one an item in it.
    """
    recent = send_log.where(within(F.col("sent_at"), days=days, ends_at=ends_at))
    mail = F.struct(F.coalesce("campaign_id", F.lit("")), F.col("sent_at"))
    return recent.groupBy("user_id").agg(F.count_distinct(mail).alias("num_sends"))


def within(moment: Column, *, days: int, ends_at: datetime) -> Column:
    """Whether a moment lies in the days before `ends_at`."""
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
    """`users` with `reason`, a code of `reasons.RECIPIENTS`; null: nothing speaks against a mail.

    Without what was only compared (`COMPARED`), and with `lists`, the suppression lists that name
    the user or an address of the user.

    Args:
        users: as of `build_users`, with `num_events`, by which the most active user of an address
            is known.
        suppressed: as of `build_suppressed`.
        num_sends: as of `build_num_sends`.
        audience: SQL over user_id, locale, country, segment.
        frequency: sends and days.
        needs_address: whether users without an address get no mail.
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
    marked = marked.withColumn("reason", F.coalesce(*_whens(tests)))
    chosen = same.orderBy(F.col("reason").isNotNull(), F.desc("num_events"), F.col("user_id"))
    is_further = (F.row_number().over(chosen) > 1) & F.col("address").isNotNull()
    reason = F.coalesce("reason", F.when(is_further, F.lit("same_address")))
    return marked.select(*users.drop(*COMPARED).columns, "lists", reason.alias("reason"))


def is_address(name: str) -> Column:
    """Whether a text has one @ with something on either side, and no blank within."""
    matches = F.trim(F.col(name)).rlike(r"^[^@\s]+@[^@\s]+$")
    return F.coalesce(matches, F.lit(False))


def _whens(tests: Mapping[str, Column]) -> list[Column]:
    return [F.when(test, F.lit(reason)) for reason, test in tests.items()]


def _with_lists(users: DataFrame, suppressed: DataFrame | None) -> DataFrame:
    """`users` with the names of the suppression lists that they stand on, sorted."""
    none = F.array().cast("array<string>")
    if suppressed is None:
        return users.withColumn("lists", none)
    by_user = suppressed.where("user is not null").select("user", F.col("lists").alias("by_user"))
    hashes = suppressed.where("email_sha256 is not null").select("email_sha256", "lists")
    # Each address of a user counts, also one that the mail would not go to.
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
    """The log and the recipient's own last mail may be of one and the same: the larger counts."""
    if frequency is None:
        return users
    last = within(F.col("last_sent_at"), days=frequency[1], ends_at=ends_at).cast("long")
    own = F.coalesce(last, F.lit(0))
    if num_sends is None:
        return users.withColumn("num_sends", own)
    joined = users.join(num_sends, on="user_id", how="left")
    return joined.withColumn("num_sends", F.greatest(F.coalesce("num_sends", F.lit(0)), own))
