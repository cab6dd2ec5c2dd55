"""The generator's values are hashes; what it plants and promises is checked instead of them."""

from collections import Counter
from datetime import datetime, timezone

import pytest

from ncf_spark.preparation import generated
from tests.conftest import rows

SIZE = {"num_users": 30, "num_items": 47, "num_categories": 5, "days": 10, "seed": 20}
ENDS_AT = datetime(2026, 11, 24, tzinfo=timezone.utc)


def build(spark, num_events=3000, partitions=2, **settings):
    numbers = spark.range(0, num_events, 1, partitions)
    return generated.build_events(numbers, **{**SIZE, "ends_at": ENDS_AT, **settings})


@pytest.fixture(scope="module")
def events(spark):
    return rows(build(spark))


def test_every_event_lies_within_the_configured_sizes(events):
    assert len(events) == 3000
    assert {user for user, *_ in events} <= {f"u{n:08}" for n in range(30)}
    assert {item for _, item, *_ in events} <= {f"i{n:08}" for n in range(47)}
    assert min(time for *_, time, _ in events) >= "2026-11-14T00:00:00Z"
    assert max(time for *_, time, _ in events) < "2026-11-24T00:00:00Z"


def test_the_files_and_a_rerun_do_not_matter_but_the_seed_does(spark, events):
    assert rows(build(spark, partitions=3)) == events
    assert rows(build(spark, seed=21)) != events


def test_most_events_are_views_and_few_are_purchases(events):
    shares = {kind: n / len(events) for kind, n in Counter(kind for *_, kind in events).items()}
    assert shares == pytest.approx({"view": 0.80, "cart": 0.12, "purchase": 0.08}, abs=0.03)


def test_users_have_favourites_and_categories_have_best_sellers(events):
    # Three favourites of five categories with 3/4 of the events, and 3/5 of the rest: 0.9.
    shares = []
    for user in {user for user, *_ in events}:
        counts = Counter(int(item[1:]) % 5 for u, item, *_ in events if u == user)
        shares.append(sum(n for _, n in counts.most_common(3)) / sum(counts.values()))
    assert sum(shares) / len(shares) > 0.8  # chance: about 0.65
    by_rank = Counter(int(item[1:]) // 5 for _, item, *_ in events)
    assert sum(by_rank[rank] for rank in range(4)) > len(events) / 2  # of ten ranks


def test_without_mess_nothing_changes(spark, events):
    assert rows(build(spark).transform(generated.with_mess, share=0.0, seed=20)) == events


def test_all_mess_spoils_every_row_in_one_of_six_ways(spark, events):
    messy = rows(build(spark).transform(generated.with_mess, share=1.0, seed=20))
    ways = {
        "no user": sum(user is None for user, *_ in messy),
        "no item": sum(item is None for _, item, *_ in messy),
        "no time": sum(time is None for *_, time, _ in messy),
        "bad time": sum(time == "yesterday" for *_, time, _ in messy),
        "unknown type": sum(kind == "hover" for *_, kind in messy),
        "twice": len(messy) - len(events),
    }
    assert ways == pytest.approx(dict.fromkeys(ways, 500), abs=100)
    assert sum(ways.values()) == len(events)


def test_items_and_recipients_join_the_events(spark):
    items = generated.build_items(
        spark.range(47), num_items=47, num_categories=5, seed=20
    ).collect()
    assert [row.item_id for row in items[:2]] == ["i00000000", "i00000001"]
    assert {row.category for row in items} == {f"category-0{n}" for n in range(5)}
    assert items[7].title == "Article 7 of category 2"
    assert all(row.price > 0 and row.url.endswith(f"/{int(row.item_id[1:])}") for row in items)
    recipients = generated.build_recipients(spark.range(400), seed=20).collect()
    assert recipients[7][:2] == ("u00000007", "user7@mail.example")
    assert {row.country for row in recipients} == {"DE", "FR", "GB", "NL", "US"}
    assert sum(row.consent for row in recipients) / 400 == pytest.approx(0.9, abs=0.06)


def test_one_item_in_twenty_lacks_its_side_features(spark):
    items = generated.build_items(spark.range(2000), num_items=2000, num_categories=5, seed=20)
    lacking = [r.followers is None and r.posts_last_month is None for r in items.collect()]
    assert sum(lacking) / 2000 == pytest.approx(0.05, abs=0.02)
