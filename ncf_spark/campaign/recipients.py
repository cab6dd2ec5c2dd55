"""The customer's recipients → one row a user, with the reason why it gets no mail, or none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.window import Window

from ncf_spark.campaign.reasons import RECIPIENTS

_DETAILS = ("email", "locale", "country", "segment")


def compared(name: str) -> Column:
    """An address, or an id on a list: trimmed, in small letters; null when it is empty."""
    trimmed = F.lower(F.trim(F.col(name)))
    return F.when(trimmed != "", trimmed)


def build_users(recipients: DataFrame) -> DataFrame:
    """One row a user: user_id, email, …, last_sent_at, consent, refuses, addresses.

    Of a user's several rows each must give consent: a refusal anywhere counts. `refuses` says that
    one says no, and does not only say nothing. The details are those of the greatest row, so that
    they belong together; the address is trimmed. `addresses` are those of all rows, as they are
    compared. Rows without a user id are left out.
    """
    agreed = F.min(F.coalesce("consent", F.lit(False)))
    refuses = F.coalesce(F.bool_or(~F.col("consent")), F.lit(False))
    return (
        recipients.where(F.col("user_id").isNotNull())
        .groupBy("user_id")
        .agg(
            agreed.alias("consent"),
            refuses.alias("refuses"),
            F.max(F.struct(*_DETAILS)).alias("row"),
            F.max("last_sent_at").alias("last_sent_at"),
            F.collect_set(compared("email")).alias("addresses"),
        )
        .select("user_id", "row.*", "last_sent_at", "consent", "refuses", "addresses")
        .withColumn("email", F.trim("email"))
    )


def build_suppressed(suppressions: Mapping[str, DataFrame]) -> DataFrame:
    """(user, email_sha256), one of them null: what the lists name, addresses as their SHA-256.

    `user` is an id as it is compared here: trimmed, in small letters.

    Args:
        suppressions: by name of the list: (user_id, email, email_sha256), any of them null.
    """
    parts = []
    for rows in suppressions.values():
        hashed = F.sha2(compared("email"), 256)
        given, nothing = compared("email_sha256"), F.lit(None).cast("string")
        named = F.array(
            F.struct(compared("user_id").alias("user"), nothing.alias("email_sha256")),
            F.struct(nothing.alias("user"), hashed.alias("email_sha256")),
            F.struct(nothing.alias("user"), given.alias("email_sha256")),
        )
        parts.append(rows.select(F.explode(named).alias("one")).select("one.*"))
    together = parts[0]
    for part in parts[1:]:
        together = together.unionByName(part)
    return together.where("user is not null or email_sha256 is not null").distinct()


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

    Without `addresses`.

    Args:
        users: as of `build_users`, with `num_events`, by which the most active user of an address
            is known.
        suppressed: as of `build_suppressed`.
        num_sends: as of `build_num_sends`.
        audience: SQL over user_id, locale, country, segment.
        frequency: sends and days.
        needs_address: whether users without an address get no mail.
    """
    marked = users.withColumn("address", compared("email"))
    marked = _with_is_suppressed(marked, suppressed)
    marked = _with_num_sends(marked, num_sends, frequency, ends_at)
    refused = F.col("refuses") | F.col("is_suppressed")
    same = Window.partitionBy(F.coalesce("address", F.concat(F.lit("\0"), F.col("user_id"))))
    marked = marked.withColumn("is_refused_here", F.max(refused).over(same))
    holds = F.expr(audience) if audience else F.lit(True)
    tests = {
        "no_consent": ~F.col("consent"),
        "no_address": F.lit(needs_address) & ~is_address("address"),
        "suppressed": F.col("is_suppressed"),
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
    return marked.select(*users.drop("addresses").columns, reason.alias("reason"))


def is_address(name: str) -> Column:
    """Whether a text has one @ with something on either side, and no blank within."""
    matches = F.trim(F.col(name)).rlike(r"^[^@\s]+@[^@\s]+$")
    return F.coalesce(matches, F.lit(False))


def _whens(tests: Mapping[str, Column]) -> list[Column]:
    return [F.when(test, F.lit(reason)) for reason, test in tests.items()]


def _with_is_suppressed(users: DataFrame, suppressed: DataFrame | None) -> DataFrame:
    if suppressed is None:
        return users.withColumn("is_suppressed", F.lit(False))
    by_user = suppressed.where("user is not null").select("user", F.lit(True).alias("by_user"))
    hashes = suppressed.where("email_sha256 is not null").select("email_sha256")
    # Each address of a user counts, also one that the mail would not go to.
    own = users.select("user_id", F.explode("addresses").alias("address"))
    listed = own.withColumn("email_sha256", F.sha2("address", 256)).join(
        hashes, on="email_sha256", how="left_semi"
    )
    by_address = listed.select("user_id", F.lit(True).alias("by_address")).distinct()
    return (
        users.withColumn("user", compared("user_id"))
        .join(by_user, on="user", how="left")
        .join(by_address, on="user_id", how="left")
        .withColumn("is_suppressed", F.coalesce("by_user", "by_address", F.lit(False)))
        .drop("user", "by_user", "by_address")
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
