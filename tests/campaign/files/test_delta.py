from datetime import timedelta
from itertools import product

import pytest

from ncf_spark import schemas
from ncf_spark.campaign.files.delta import (
    build_delta,
    build_removal_rows,
    build_removals,
    build_state,
)
from ncf_spark.campaign.files.profiles import PROFILES
from ncf_spark.campaign.files.rows import Export, build_rows
from tests.campaign.files.lists import ANA, BEN, EXPORT, RUM, TEA, campaign_lists
from tests.conftest import at, rows

FIRST = EXPORT.updated_at.replace(tzinfo=None)
NEXT_DAY = EXPORT.updated_at + timedelta(days=1)
LATER = Export("autumn", NEXT_DAY.date(), "neumf-8", NEXT_DAY)
CEM = ("cem", "cem@x.example", None, None, None, "model", [TEA])


def export(spark, lists, profile="braze_csv", export=EXPORT, **settings):
    lists = campaign_lists(spark, lists)
    return build_rows(lists, PROFILES[profile], export=export, k=2, **settings)


def state(spark, lists, profile="braze_csv", **settings):
    """A state as the next export reads it."""
    built = build_state(export(spark, lists, profile, **settings))
    schemas.conform(built, schemas.CAMPAIGN_STATE, "campaign_state")
    return spark.createDataFrame(built.collect(), schemas.CAMPAIGN_STATE)


def changed(row, schema=schemas.CAMPAIGN_LISTS, **fields):
    """A recipient, or a slot, with other values in some columns."""
    return tuple(fields.get(name, value) for name, value in zip(schema.names, row, strict=True))


def slot(item, **fields):
    return changed(item, schemas.CAMPAIGN_SLOT, **fields)


def keys(table):
    return sorted(row.key for row in table.collect())


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("profile", ["braze_csv", "generic_jsonl", "generic_parquet"])
def test_the_delta_has_what_is_new_or_changed(spark, profile, order):
    last = state(spark, [ANA, BEN], profile)
    tonight = [changed(ANA, slots=[RUM, TEA]), BEN, CEM]
    built = export(spark, tonight[::order], profile, export=LATER, last_state=last)
    assert keys(build_delta(built, last)) == ["ana", "cem"]
    # The time of the last change: ana and cem tonight, ben in the export before.
    times = {row.key: row.updated_at for row in build_state(built).collect()}
    tonight_at = NEXT_DAY.replace(tzinfo=None)
    assert times == {"ana": tonight_at, "-ben": FIRST, "cem": tonight_at}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"arm": "popular"}, ["ana"]),
        ({"slots": [RUM, TEA]}, ["ana"]),
        ({"slots": [TEA]}, ["ana"]),
        ({"slots": [slot(TEA, price=2.0), RUM]}, ["ana"]),
        ({"slots": [slot(TEA, price=None), RUM]}, ["ana"]),
        ({"slots": [slot(TEA, title="Tea"), RUM]}, ["ana"]),
        ({"slots": [slot(TEA, source="popular"), RUM]}, ["ana"]),
        # The same texts in the next field or slot.
        ({"slots": [slot(TEA, url=None, image_url="https://s.example/tea"), RUM]}, ["ana"]),
        ({"slots": [slot(TEA, title=None), slot(RUM, title='Tea, "hot"')]}, ["ana"]),
        # Not in a file of Braze.
        ({"country": "DE", "email": "new@x.example"}, []),
    ],
)
def test_whatever_an_email_shows_changes_the_row(spark, fields, expected):
    last = state(spark, [ANA, BEN])
    assert keys(build_delta(export(spark, [changed(ANA, **fields), BEN]), last)) == expected


def test_another_date_model_or_score_changes_nothing(spark):
    last = state(spark, [ANA, BEN])
    ana = changed(ANA, slots=[slot(TEA, score=0.75), slot(RUM, score=None)])
    assert keys(build_delta(export(spark, [ana, BEN], export=LATER), last)) == []


def test_another_campaign_changes_all_rows(spark):
    last = state(spark, [ANA, BEN])
    winter = Export("winter", EXPORT.run_date, EXPORT.model_version, EXPORT.updated_at)
    assert keys(build_delta(export(spark, [ANA, BEN], export=winter), last)) == ["-ben", "ana"]


def test_another_address_is_another_person_where_it_is_the_key(spark):
    last = state(spark, [ANA], "klaviyo")
    moved = export(spark, [changed(ANA, email="new@x.example")], "klaviyo")
    assert keys(build_delta(moved, last)) == ["new@x.example"]
    gone = build_removals(moved, last, updated_at=NEXT_DAY)
    assert rows(gone) == [("Ana@x.example", at("2026-11-25 02:30:05"))]


def test_with_hashed_addresses_the_state_holds_none(spark):
    held = state(spark, [ANA, BEN], "klaviyo", hash_emails=True)
    assert not any("@" in str(row) for row in held.collect())


def test_removals_are_the_keys_that_are_no_longer_there(spark):
    last = state(spark, [ANA, BEN])
    tonight = export(spark, [changed(BEN, arm="model"), CEM])  # changed is not gone
    gone = build_removals(tonight, last, updated_at=NEXT_DAY)
    assert rows(gone) == [("ana", at("2026-11-25 02:30:05"))]
    nobody = export(spark, [], last_state=last)
    assert keys(build_removals(nobody, last, updated_at=NEXT_DAY)) == ["-ben", "ana"]


TIME = "2026-11-25T02:30:05Z"


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("braze_csv", f'"\'-ben",{TIME}'),
        ("braze_json", f'{{"ID":"-ben","UPDATED_AT":"{TIME}"}}'),
        ("generic_jsonl", f'{{"user_id":"-ben","updated_at":"{TIME}"}}'),
        ("generic_parquet", ("-ben", at("2026-11-25 02:30:05"))),
    ],
)
def test_a_removal_is_the_key_and_the_time(spark, profile, expected):
    gone = spark.createDataFrame([("-ben", NEXT_DAY)], "key string, updated_at timestamp")
    assert rows(build_removal_rows(gone, PROFILES[profile])) == [("-ben", expected)]


# A user for each way in which three nights can follow: without it, and with one of two lists.
USERS = [f"u{n:02}" for n in range(27)]
NIGHTS = [
    dict(zip(USERS, night, strict=True))
    for night in zip(*product((None, 0, 1), repeat=3), strict=True)
]
CHOICES = [[TEA, RUM], [RUM, TEA]]


def test_the_first_export_and_all_deltas_make_the_last_export(spark):
    held: dict[str, str] = {}
    last = spark.createDataFrame([], schemas.CAMPAIGN_STATE)
    for nth, users in enumerate(NIGHTS):
        night = EXPORT.updated_at + timedelta(days=nth)
        tonight = Export("autumn", EXPORT.run_date, "neumf-7", night)
        shown = {user: CHOICES[n] for user, n in users.items() if n is not None}
        lists = [(user, None, None, None, None, "model", slots) for user, slots in shown.items()]
        built = export(spark, lists, export=tonight, last_state=last).collect()
        lines = spark.createDataFrame(
            built, "key string, row_hash long, updated_at timestamp, line string"
        )
        for row in build_removals(lines, last, updated_at=night).collect():
            del held[row.key]
        delta = {row.key: row.line for row in build_delta(lines, last).collect()}
        before = NIGHTS[nth - 1] if nth else {}
        assert set(delta) == {user for user in shown if users[user] != before.get(user)}
        assert all(night.strftime("%Y-%m-%dT%H:%M:%SZ") in line for line in delta.values())
        held |= delta
        assert held == {row.key: row.line for row in built}
        last = build_state(lines)
