"""What build_interactions and score_item_activity do, by DuckDB on one machine, in SQL.

Reads the files of jobs/generate_events and writes the same tables as Parquet: dropped events by
reason, equal events once, minimum counts until they hold, the catalogue, contiguous numbers,
leave-one-out with a validation pair, train by shard and sorted, both holdouts with 99 negatives
each, and each item's activity with its distributions. Prints one line of JSON.

The negatives are drawn as ours are, by walking the items in an order of the pair's own.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Mapping
from pathlib import Path

import duckdb

EVENTS = """
create temp table pairs as
with named as (
    select nullif(trim(user_id), '') as user_id, nullif(trim(item_id), '') as item_id,
        event_at as raw_time, try_cast(event_at as timestamptz) as event_at, event_type,
        case event_type when 'view' then 1.0 when 'cart' then 3.0 when 'purchase' then 5.0 end
            ::double as weight
    from read_parquet('{events}/*.parquet')
), judged as (
    select *, case when user_id is null then 'no_user' when item_id is null then 'no_item'
        when raw_time is null then 'no_time' when event_at is null then 'bad_time'
        when weight is null then 'unknown_type'
        when event_at >= timestamptz '{ends_at}' then 'after_run_date' end as drop_reason
    from named
), keyed as (
    select case when drop_reason is null then user_id end as user_id,
        case when drop_reason is null then item_id end as item_id,
        case when drop_reason is null then event_at end as event_at,
        case when drop_reason is null then event_type end as event_type,
        case when drop_reason is null then weight end as weight, drop_reason
    from judged
), counted as (
    select *, count(*) as copies from keyed group by all
)
select user_id, item_id, drop_reason, sum(copies) as num_raw, count(*) as num_events,
    sum(weight::decimal(20, 6))::double as weight,
    min(event_at) as first_event_at, max(event_at) as last_event_at
from counted group by user_id, item_id, drop_reason
"""

KEPT = """
create temp table kept as
select user_id, item_id, num_events, weight, first_event_at, last_event_at
from pairs where drop_reason is null
"""

# One round of minimum counts; the caller repeats it until nothing goes.
ROUND = """
create or replace temp table kept_next as
with of_users as (
    select * from kept semi join
        (select user_id from kept group by user_id having count(*) >= {least}) using (user_id)
)
select * from of_users semi join
    (select item_id from of_users group by item_id having count(*) >= {least}) using (item_id)
"""

INDEX = """
create temp table {side}_index as
select {side}_id, (row_number() over (order by hash({side}_id) % 512, {side}_id) - 1)::int
    as {side}_index
from (select distinct {side}_id from kept)
"""

SPLIT = """
create temp table split as
with indexed as (
    select user_index, item_index, num_events, first_event_at, last_event_at
    from kept join user_index using (user_id) join item_index using (item_id)
), placed as (
    select *, count(*) over (partition by user_index) as num_pairs,
        row_number() over (partition by user_index order by last_event_at desc,
            hash(user_index, item_index, {seed}), item_index) as position
    from indexed
)
select *, position = 1 and num_pairs > 1 as is_holdout,
    position = 2 and num_pairs > 2 as is_validation
from placed
"""

TRAIN = """
select user_index, item_index, user_index % {num_shards} as shard
from split where not is_holdout and not is_validation
order by shard, user_index, item_index
"""

# A pair's order of the items: (start + step * j) % prime for j = 0, 1, … goes through all of them.
# It looks at as many more as the user knows, and so has enough in the end. As lists this takes a
# fifth to a tenth of the time that it takes as rows with an anti-join.
HOLDOUT = """
with known as (
    select user_index, list(item_index) as known, count(*) as num_known
    from split group by user_index
), held as (
    select user_index, item_index, known, num_known,
        (hash(user_index, item_index, {seed}) % {prime})::bigint as start,
        1 + (hash(user_index, item_index, {seed} + 1) % ({prime} - 1))::bigint as step
    from split join known using (user_index) where {held_out}
)
select user_index, item_index, list_filter(
        list_transform(range(least({prime}, {num_negatives} + num_known + {gap})),
            lambda j: ((start + step * j) % {prime})::int),
        lambda item: item < {num_items} and not list_contains(known, item)
    )[1:{num_negatives}] as negatives, user_index % {num_shards} as shard
from held
"""

CATALOGUE = """
select item_id, title, nullif(trim(category), '') as category, try_cast(price as double) as price,
    url, null::varchar as image_url,
    coalesce(try_cast(followers as double), 0) as followers,
    coalesce(try_cast(posts_last_month as double), 0) as posts_last_month,
    coalesce(try_cast(comments_per_post as double), 0) as comments_per_post
from (select *, row_number() over (partition by item_id order by title desc) as n
    from read_parquet('{items}/*.parquet'))
where n = 1 and item_id is not null
"""

ACTIVITY = """
with counts as (
    select item_index, count(*) filter (where train) as num_users,
        coalesce(sum(num_events) filter (where train), 0) as num_events,
        coalesce(sum(num_events * pow(0.5, age / 30.0)) filter (where train), 0) as recent_events,
        min(first_event_at) as first_seen_at
    from (select *, not is_holdout and not is_validation as train,
            (epoch(timestamptz '{ends_at}') - epoch(last_event_at)) / 86400 as age from split)
    group by item_index
), features as (
    select item_id, item_index, num_users, num_events, recent_events, first_seen_at,
        coalesce(followers, 0) as followers, coalesce(posts_last_month, 0) as posts_last_month,
        coalesce(comments_per_post, 0) as comments_per_post
    from counts join item_index using (item_index)
    left join read_parquet('{out}/catalogue.parquet') using (item_id)
), scored as (
    select *, ({by_features}) / 3.0 as activity, ({by_counts}) / 2.0 as activity_by_counts,
        first_seen_at >= timestamptz '{ends_at}' - interval 14 day as is_new
    from features
), weighted as (
    select *, case when is_new then 0 else 1 - activity end as inactive,
        case when is_new then 0 else 1 - activity_by_counts end as inactive_by_counts
    from scored
)
select *, inactive / sum(inactive) over () as low_activity,
    inactive_by_counts / sum(inactive_by_counts) over () as low_activity_by_counts,
    1.0 / count(*) over () as uniform, num_users / sum(num_users) over () as popularity
from weighted
"""
FEATURES = ("followers", "posts_last_month", "comments_per_post")
COUNTS = ("num_users", "recent_events")


def scaled(names: tuple[str, ...]) -> str:
    """The sum of the logarithms of some columns, each scaled to [0, 1]."""
    logs = [f"ln(1 + {name})" for name in names]
    return " + ".join(
        f"({x} - min({x}) over ()) / (max({x}) over () - min({x}) over ())" for x in logs
    )


def least_prime(at_least: int) -> int:
    """The least prime from a number on."""
    while any(at_least % d == 0 for d in range(2, int(at_least**0.5) + 1)):
        at_least += 1
    return at_least


def prepare(con: duckdb.DuckDBPyConnection, values: Mapping[str, object]) -> dict[str, float]:
    """Runs all steps; returns the seconds of each."""
    seconds: dict[str, float] = {}
    settings = dict(values)

    def run(name: str, *queries: str) -> None:
        started = time.perf_counter()
        for query in queries:
            con.execute(query.format(**settings))
        seconds[name] = time.perf_counter() - started

    def write(query: str, table: str, options: str = "") -> str:
        place = f"{settings['out']}/{table}" + ("" if options else ".parquet")
        return f"copy ({query}) to '{place}' (format parquet, compression snappy{options})"

    by_shard = ", partition_by (shard), overwrite_or_ignore"
    run("catalogue", write(CATALOGUE, "catalogue"))
    run("pairs", EVENTS, KEPT)
    started = time.perf_counter()
    left = -1
    while left != (now := count(con, "kept")):
        left = now
        con.execute(ROUND.format(**settings))
        con.execute("drop table kept")
        con.execute("alter table kept_next rename to kept")
    seconds["minimum counts"] = time.perf_counter() - started
    run("interactions", write("from kept", "interactions"))
    for side in ("user", "item"):
        indexed = INDEX.replace("{side}", side)
        run(f"{side}_index", indexed, write(f"from {side}_index", f"{side}_index"))
    num_items = count(con, "item_index")
    prime = least_prime(num_items)
    settings |= {"num_items": num_items, "prime": prime, "gap": prime - num_items}
    run("split", SPLIT)
    run("train", write(TRAIN, "train", by_shard))
    for table, held_out in {"validation": "is_validation", "holdout": "is_holdout"}.items():
        settings["held_out"] = held_out
        run(table, write(HOLDOUT, table, by_shard))
    settings |= {"by_features": scaled(FEATURES), "by_counts": scaled(COUNTS)}
    run("item_activity", write(ACTIVITY, "item_activity"))
    return seconds


def count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    """Rows of a table."""
    row = con.execute(f"select count(*) from {table}").fetchone()
    assert row is not None
    return int(row[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", default="12GB")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    con = duckdb.connect()
    con.execute(f"set threads = {arguments.threads}; set memory_limit = '{arguments.memory}'")
    con.execute(f"set timezone = 'UTC'; set temp_directory = '{arguments.out}/temp'")
    values = {
        "events": arguments.source / "events",
        "items": arguments.source / "items",
        "out": arguments.out,
        "ends_at": "2026-11-02 00:00:00+00",
        "least": 5,
        "seed": 20,
        "num_shards": 64,
        "num_negatives": 99,
    }
    steps = prepare(con, values)
    answer = {
        "seconds": time.perf_counter() - started,
        "steps": steps,
        "interactions": count(con, "kept"),
        "users": count(con, "user_index"),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
