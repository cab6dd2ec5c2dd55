"""Decides which items a campaign may show: one row an item, with the reason why not, or null."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.campaign.files.cells import clean, is_longer
from ncf_spark.campaign.reasons import ITEMS

_COPIED = ("category", "brand", "price", "url", "image_url", "countries")
_NAMES = ("item_id", "url", "image_url")


def build_campaign_items(
    item_activity: DataFrame,
    catalogue: DataFrame,
    *,
    in_catalogue: bool,
    required: Sequence[str],
    deny: Sequence[str],
    min_price: float | None,
    max_price: float | None,
    where: str | None,
    pin: str | None,
    boost: str | None,
    consumable: str | None,
    max_bytes: int | None,
) -> DataFrame:
    """`schemas.CAMPAIGN_ITEMS`: every item of the catalogue or with events; titles on one line.

    Args:
        item_activity: the items with events tonight.
        in_catalogue: whether an item must be in the catalogue; False: no catalogue is configured.
        required, deny, min_price, max_price, where: as in section campaign.items.
        pin, boost, consumable: SQL over item_id, title, category, brand, price, url, image_url.
        max_bytes: longest id or URL that the configured files allow; None: no limit.
    """
    known = catalogue.withColumn("is_known", F.lit(True))
    active = item_activity.select("item_id", "item_index")
    rows = active.join(known, on="item_id", how="full")
    priced = [
        *([F.col("price") >= F.lit(min_price)] if min_price is not None else []),
        *([F.col("price") <= F.lit(max_price)] if max_price is not None else []),
    ]
    is_pinned = _holds(pin, otherwise=False)
    tests = {
        "not_in_catalogue": F.lit(in_catalogue) & F.col("is_known").isNull(),
        "out_of_stock": ~F.coalesce("in_stock", F.lit(True)),
        "not_active": ~F.coalesce("is_active", F.lit(True)),
        "incomplete": _any(_is_empty(name) for name in required),
        "too_long": F.lit(False)
        if max_bytes is None
        else _any(F.coalesce(is_longer(F.col(name), max_bytes), F.lit(False)) for name in _NAMES),
        "denied": F.col("item_id").isin(list(deny)) if deny else F.lit(False),
        "price": _any(~F.coalesce(holds, F.lit(False)) for holds in priced),
        "where": ~_holds(where, otherwise=True),
        "no_events": F.col("item_index").isNull() & ~is_pinned,
    }
    assert list(tests) == list(ITEMS)
    whens = [F.when(test, F.lit(reason)) for reason, test in tests.items()]
    added = F.expr(boost).cast("double") if boost else F.lit(None).cast("double")
    return rows.select(
        "item_id",
        "item_index",
        clean(F.col("title")).alias("title"),
        *_COPIED,
        is_pinned.alias("is_pinned"),
        _holds(consumable, otherwise=False).alias("is_consumable"),
        F.coalesce(added, F.lit(0.0)).alias("boost"),
        F.coalesce(*whens).alias("reason"),
    )


def build_eligible_items(campaign_items: DataFrame) -> DataFrame:
    """(item_index) of the items that may be shown and have an index."""
    chosen = campaign_items.where("reason is null and item_index is not null")
    return chosen.select("item_index")


def _holds(condition: str | None, *, otherwise: bool) -> Column:
    """Whether an SQL condition is true, null being false; without a condition `otherwise`."""
    return F.lit(otherwise) if condition is None else F.coalesce(F.expr(condition), F.lit(False))


def _is_empty(name: str) -> Column:
    return F.col(name).isNull() | (F.trim(F.col(name).cast("string")) == "")


def _any(tests: Iterable[Column]) -> Column:
    return reduce(or_, tests, F.lit(False))
