"""Counts what a sent file does that a rule forbids, by DuckDB, from the files alone.

It knows the customer's tables and what was sent, and nothing of the exporter: each rule is said
here a second time, in SQL.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

K = 10
ENDS_AT = "timestamp '2026-11-24 00:00:00'"

# What the exporter is told, in section campaign and beside it; each query below says the same.
RULES = {
    "id": "autumn",
    "k": K,
    "min_items": 6,
    "audience": "(country is null or country in ('DE', 'AT', 'FR')) and segment <> 'staff'",
    "frequency": {"sends": 3, "days": 14},
    "arms": {"popular": 0.1, "holdout": 0.1, "salt": "ncf"},
    "items": {
        "required": ["title", "url"],
        "deny": ["i00001", "i00007"],
        "min_price": 5.0,
        "max_price": 90.0,
        "where": "coalesce(brand, '') <> 'b3'",
    },
    "pairs": {
        "known": False,
        "bought": True,
        "bought_types": ["order"],
        "bought_days": None,
        "consumable": "category = 'c5'",
        "consumable_days": 30,
        "wanted": True,
        "wanted_types": ["cart", "wish"],
        "sent_days": 14,
        "max_exposures": None,  # by the number of recipients
    },
    "lists": {
        "max_per_category": 3,
        "max_per_brand": 2,
        "min_categories": 6,
        "min_score": 0.0,
        "pin": "item_id = 'i00010'",
        "boost": "case when brand = 'b9' then 1.0 else 0.0 end",
    },
    "tiers": ["model", "similar", "bestsellers"],
    "best_sellers": {"by": "country", "days": 120},
    "files": {"profiles": ["generic_csv"], "hash_emails": False, "deltas": False},
}

_FILES = """
create view items as select * from '{shop}/items.parquet';
create view raw_events as select * from '{shop}/events.parquet';
create view recipients as select * from '{shop}/recipients.parquet';
create view send_log as select * from '{shop}/send_log.parquet';
create view complained as select * from '{shop}/complained.csv';
create view unsubscribed as select * from '{shop}/unsubscribed.csv';
create view bounced as select * from '{shop}/bounced.csv';
create table sent as
    select * from read_csv('{files}/campaign-*.csv', header = true, all_varchar = true);
"""

# One row a slot, from the wide rows of the file.
_SLOTS = " union all ".join(
    f"select user_id, {n} as rank, item_{n} as item_id, score_{n} as score, "
    f"source_{n} as source, title_{n} as cell_title, url_{n} as cell_url, "
    f"price_{n} as cell_price from sent where item_{n} <> ''"
    for n in range(1, K + 1)
)

_VIEWS = f"""
create macro bare(e) as regexp_replace(nfc_normalize(e), '[\\pZ\\pC]', '', 'g');
create macro same(e) as nullif(lower(regexp_replace(
    regexp_replace(bare(e), '^[^<]*<(.*)>$', '\\1'), '^mailto:', '', 'i')), '');
create macro p_ok(c, s) as (c is null or c in ('DE', 'AT', 'FR')) and s <> 'staff';
create view events as
    select user_id, item_id, event_type,
        try_cast(event_at as timestamptz) at time zone 'UTC' as happened_at
    from raw_events;
create view people as select *, same(email) as address from recipients;
create view log as select * from send_log where sent_at < {ENDS_AT};
create table slots as {_SLOTS};
create view eligible as
    select item_id from items where pieces > 0
    and since::timestamp <= {ENDS_AT} and (until is null or until::timestamp > {ENDS_AT})
    and title is not null and url is not null and item_id not in ('i00001', 'i00007')
    and price between 5 and 90 and coalesce(brand, '') <> 'b3';
create view buyers as
    select user_id, item_id from events join eligible using (item_id)
    where event_type = 'order' group by user_id, item_id
    having max(happened_at) >= {ENDS_AT} - interval 120 days;
create view best as
    select country, item_id, row_number() over (
        partition by country order by count(*) desc, item_id) as position
    from (select country, user_id, item_id from buyers join people using (user_id)
          where country is not null
          union all select 'everyone', user_id, item_id from buyers)
    group by country, item_id;
create view shown as
    select slots.*, items.* exclude (item_id) from slots join items using (item_id);
"""

_PER_LIST = """
    select user_id from shown where {column} is not null
    group by user_id, {column} having count(*) > {most}"""

# Each counts the rows of the file, or the slots, that break the rule.
QUERIES = {
    "consent": """
        select user_id from sent join people using (user_id) where consent <> 'yes'""",
    "complained": """
        select user_id from sent join complained using (user_id)""",
    "unsubscribed": """
        select user_id from sent join people using (user_id)
        join unsubscribed u on address = same(u.email)""",
    "bounced": """
        select user_id from sent join people using (user_id)
        join bounced b on sha256(address) = lower(b.sha)""",
    "shared address": """
        select s.user_id from sent s join people p using (user_id) join people o using (address)
        where o.consent = 'no' or o.user_id in (select user_id from complained)""",
    "audience": """
        select user_id from sent join people using (user_id)
        where not coalesce(p_ok(people.country, people.segment), false)""",
    "frequency": f"""
        select user_id from sent where user_id in (
            select user_id from log where sent_at >= {ENDS_AT} - interval 14 days
            group by user_id having count(distinct (campaign, sent_at)) >= 3)""",
    "one mail an address": """
        select address from sent join people using (user_id) where address is not null
        group by address having count(*) > 1""",
    "one row a user": "select user_id from sent group by user_id having count(*) > 1",
    "arms": "select user_id from sent where arm not in ('model', 'popular') or arm is null",
    "popular gets best-sellers": """
        select user_id from sent join slots using (user_id)
        where arm = 'popular' and source not in ('pin', 'bestseller', 'bestseller_here')""",
    "best-sellers of the country": """
        select user_id, item_id from slots join people using (user_id)
        where source = 'bestseller_here' and not exists (
            select 1 from best where best.country = people.country
            and best.item_id = slots.item_id and position <= 50)""",
    "best-sellers of everyone": """
        select item_id from slots where source = 'bestseller' and item_id not in (
            select item_id from best where country = 'everyone' and position <= 50)""",
    "in the catalogue": """
        select item_id from slots where item_id not in (select item_id from items)""",
    "stock": "select item_id from shown where pieces <= 0",
    "dates": f"""
        select item_id from shown
        where since::timestamp > {ENDS_AT} or until::timestamp <= {ENDS_AT}""",
    "required": "select item_id from shown where title is null or url is null",
    "deny": "select item_id from shown where item_id in ('i00001', 'i00007')",
    "price": "select item_id from shown where price is null or price < 5 or price > 90",
    "where": "select item_id from shown where brand = 'b3'",
    "country": """
        select user_id from shown join people using (user_id)
        where countries is not null
        and not coalesce(list_contains(string_split(countries, ', '), people.country), false)""",
    "bought": f"""
        select distinct user_id, item_id from shown join events using (user_id, item_id)
        where event_type = 'order' and (
            coalesce(category, '') <> 'c5'
            or exists (select 1 from events e where e.user_id = shown.user_id
                       and e.item_id = shown.item_id
                       and (e.happened_at is null
                            or e.happened_at >= {ENDS_AT} - interval 30 days)))""",
    "wanted": """
        select distinct user_id, item_id from slots join events using (user_id, item_id)
        where event_type in ('cart', 'wish')""",
    "sent lately": f"""
        select distinct user_id, slots.item_id from slots join log using (user_id, item_id)
        where sent_at >= {ENDS_AT} - interval 14 days""",
    "exposures": "select item_id from slots group by item_id having count(*) > {most_exposures}",
    "per category": _PER_LIST.format(column="category", most=3),
    "per brand": _PER_LIST.format(column="brand", most=2),
    "categories": """
        select user_id from shown group by user_id
        having count(distinct category) + count(*) filter (category is null) < 6""",
    "enough items": "select user_id from slots group by user_id having count(*) < 6",
    "no slot left out": """
        select user_id from slots group by user_id
        having max(rank) <> count(*) or count(distinct item_id) <> count(*)""",
    "score": "select user_id from slots where source = 'model' and score::double < 0",
    "cells": """
        select item_id from shown join sent using (user_id)
        where shown.cell_title <> shown.title or shown.cell_url <> shown.url
        or shown.cell_price::double <> shown.price""",
}


def violations(shop: Path, files: Path, most_exposures: int) -> dict[str, int]:
    """How often each rule is broken, by its name.

    Args:
        shop: the customer's files, as of `shop.write_shop`.
        files: the folder of the sent files.
    """
    with duckdb.connect() as connection:
        connection.execute(_FILES.format(shop=shop, files=files))
        return count_violations(connection, most_exposures)


def count_violations(connection: duckdb.DuckDBPyConnection, most_exposures: int) -> dict[str, int]:
    """The same of the tables of a connection: the customer's, and `sent`."""
    connection.execute(_VIEWS)
    found = {}
    for name, query in QUERIES.items():
        asked = query.format(most_exposures=most_exposures)
        [found[name]] = connection.execute(f"select count(*) from ({asked})").fetchone()
    return found


def num_sent(files: Path) -> int:
    """Rows of the sent files."""
    read = f"read_csv('{files}/campaign-*.csv', header = true, all_varchar = true)"
    [count] = duckdb.execute(f"select count(*) from {read}").fetchone()
    return int(count)
