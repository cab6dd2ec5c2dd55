"""Events, items and recipients out of nothing, for trials and tests: any size, always the same.

Every value is a hash of (row number, seed), so Spark makes the rows in parallel and a rerun makes
the same ones. What is planted:

- popularity with a long tail: within a category the share of an item falls with its rank;
- taste: each user prefers three categories, and within each category one of four styles, so that
  a model that learns users beats a list of best-sellers;
- side features that follow popularity, with noise.
"""

from __future__ import annotations

from datetime import datetime
from itertools import accumulate

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.pipeline.context import Job
from ncf_spark.storage.files import to_uri

EVENT_TYPES = {"view": 0.80, "cart": 0.12, "purchase": 0.08}
_FAVOURITES, _STYLES = 3, 4
_COUNTRIES = ["DE", "FR", "GB", "NL", "US"]


def generate_events(job: Job) -> None:
    """Writes Parquet, in parallel, the same rows for the same settings and run date."""
    settings, seed = job.config.generate, job.config.run.seed
    sizes = {"num_items": settings.num_items, "num_categories": settings.num_categories}
    numbers = job.spark.range(0, settings.num_events, 1, settings.partitions)
    events = build_events(
        numbers,
        **sizes,
        num_users=settings.num_users,
        days=settings.days,
        ends_at=job.ends_at,
        seed=seed,
    )
    if settings.messy_share:
        events = events.transform(with_mess, share=settings.messy_share, seed=seed)
    tables = {
        "events": events,
        "items": build_items(job.spark.range(settings.num_items), **sizes, seed=seed),
        "recipients": build_recipients(job.spark.range(settings.num_users), seed=seed),
    }
    for name, rows in tables.items():
        uri = f"{to_uri(settings.path)}/{name}"
        rows.write.mode("overwrite").parquet(uri)
        count = job.spark.read.parquet(uri).agg(F.count(F.lit(1))).first()
        job.note(f"{name} written", {"rows": count[0] if count else 0, "to": uri})


def build_events(
    numbers: DataFrame,
    *,
    num_users: int,
    num_items: int,
    num_categories: int,
    days: int,
    ends_at: datetime,
    seed: int,
) -> DataFrame:
    """(user_id, item_id, event_at, event_type), one row for each number.

    Args:
        numbers: one column, `id`, as of `spark.range`.
        days: events fall evenly into so many days before `ends_at`.
    """
    uniform = _Uniform("id", seed)
    # u² makes a few users very busy and leaves most with few events.
    user = F.floor(F.pow(uniform("user"), F.lit(2.0)) * num_users).cast("long")
    seconds_ago = F.floor(uniform("time") * days * 86400).cast("long") + 1
    return (
        numbers.withColumn("user", user)
        .withColumn("category", _category(uniform, num_categories, seed))
        .withColumn("item", _item(uniform, num_items, num_categories, seed))
        .select(
            user_id("user").alias("user_id"),
            item_id("item").alias("item_id"),
            F.date_format(
                F.timestamp_seconds(F.lit(int(ends_at.timestamp())) - seconds_ago),
                "yyyy-MM-dd'T'HH:mm:ss'Z'",
            ).alias("event_at"),
            _event_type(uniform("type")).alias("event_type"),
        )
    )


def with_mess(events: DataFrame, *, share: float, seed: int) -> DataFrame:
    """`events` with a share of rows spoilt, evenly in six ways.

    No user, no item, no time, a time that does not parse, an unknown type, and the same event
    twice (which adds rows).
    """
    columns = events.columns
    roll = _hash01(seed, "mess", *columns)
    kind = F.when(roll < share, F.floor(roll / share * 6)).otherwise(-1)
    spoilt = events.withColumn("kind", kind).select(
        F.when(F.col("kind") != 0, F.col("user_id")).alias("user_id"),
        F.when(F.col("kind") != 1, F.col("item_id")).alias("item_id"),
        F.when(F.col("kind") == 3, F.lit("yesterday"))
        .when(F.col("kind") != 2, F.col("event_at"))
        .alias("event_at"),
        F.when(F.col("kind") == 4, F.lit("hover"))
        .otherwise(F.col("event_type"))
        .alias("event_type"),
        F.explode(F.array_repeat(F.lit(0), F.when(F.col("kind") == 5, 2).otherwise(1))).alias("_"),
    )
    return spoilt.select(*columns)


def build_items(numbers: DataFrame, *, num_items: int, num_categories: int, seed: int) -> DataFrame:
    """(item_id, title, category, price, url, followers, posts_last_month, comments_per_post).

    One item in twenty lacks its side features.
    """
    uniform = _Uniform("id", seed)
    rank = F.floor(F.col("id") / num_categories)
    renown = 1.0 / (1.0 + rank) * (0.5 + uniform("renown"))
    known = uniform("known") >= 0.05
    return numbers.select(
        item_id("id").alias("item_id"),
        F.format_string(
            "Article %d of category %d", F.col("id"), F.col("id") % num_categories
        ).alias("title"),
        F.format_string("category-%02d", F.col("id") % num_categories).alias("category"),
        F.round(F.exp(uniform("price") * 4 + 1), 2).alias("price"),
        F.format_string("https://shop.example/items/%d", F.col("id")).alias("url"),
        F.when(known, F.floor(renown * 20000)).alias("followers"),
        F.when(known, F.floor(renown * 60)).alias("posts_last_month"),
        F.when(known, F.round(renown * 12, 2)).alias("comments_per_post"),
    )


def build_recipients(numbers: DataFrame, *, seed: int) -> DataFrame:
    """(user_id, email, country, consent); nine in ten consent."""
    uniform = _Uniform("id", seed)
    countries = F.array(*[F.lit(country) for country in _COUNTRIES])
    place = F.floor(uniform("country") * len(_COUNTRIES)).cast("int") + 1
    return numbers.select(
        user_id("id").alias("user_id"),
        F.format_string("user%d@mail.example", F.col("id")).alias("email"),
        F.element_at(countries, place).alias("country"),
        (uniform("consent") < 0.9).alias("consent"),
    )


def user_id(number: str) -> Column:
    """`u00000042`."""
    return F.format_string("u%08d", F.col(number))


def item_id(number: str) -> Column:
    """`i00000042`."""
    return F.format_string("i%08d", F.col(number))


def _category(uniform: _Uniform, num_categories: int, seed: int) -> Column:
    """One of the user's favourites in three of four events, any category in the fourth."""
    favourite = F.floor(uniform("favourite") * _FAVOURITES)
    own = F.floor(_hash01(seed, "taste", "user", favourite) * num_categories)
    anything = F.floor(uniform("category") * num_categories)
    return F.when(uniform("faithful") < 0.75, own).otherwise(anything).cast("long")


def _item(uniform: _Uniform, num_items: int, num_categories: int, seed: int) -> Column:
    """Items of category c are c, c + num_categories, …, the most popular first.

    Two of three times the item is of the user's style within the category: style s holds every
    fourth item, counted from the s-th.
    """
    in_category = F.floor((F.lit(num_items - 1) - F.col("category")) / num_categories) + 1
    rank = F.floor(F.pow(uniform("rank"), F.lit(3.0)) * in_category)
    style = F.floor(_hash01(seed, "style", "user", "category") * _STYLES)
    styled = F.floor(rank / _STYLES) * _STYLES + style
    follows = (uniform("styled") < 0.67) & (styled < in_category)
    return F.col("category") + num_categories * F.when(follows, styled).otherwise(rank)


def _event_type(uniform: Column) -> Column:
    """The types of EVENT_TYPES in their shares: uniform < 0.80 is a view, and so on."""
    bounds = list(accumulate(EVENT_TYPES.values()))
    whens = [F.when(uniform < b, F.lit(n)) for n, b in zip(EVENT_TYPES, bounds, strict=True)]
    return F.coalesce(*whens, F.lit(next(reversed(EVENT_TYPES))))


class _Uniform:
    """Numbers in [0, 1) by (column, seed, purpose); each purpose has its own."""

    def __init__(self, column: str, seed: int) -> None:
        self._column, self._seed = column, seed

    def __call__(self, purpose: str) -> Column:
        return _hash01(self._seed, purpose, self._column)


def _hash01(seed: int, purpose: str, *columns: str | Column) -> Column:
    hashed = F.xxhash64(F.lit(seed), F.lit(purpose), *columns)
    return F.shiftrightunsigned(hashed, 11) / F.lit(float(2**53))
