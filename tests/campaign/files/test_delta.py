from datetime import timedelta
from itertools import product

import pytest

from ncf_spark import schemas
from ncf_spark.campaign.files.delta import (
    build_delta,
    build_removal_lines,
    build_removal_rows,
    build_removals,
    build_state,
    removal_columns,
)
from ncf_spark.campaign.files.rows import Export, build_lines, build_rows
from ncf_spark.campaign.files.profiles import PROFILES
from tests.campaign.files.lists import ANA, BEN, EXPORT, RUM, TEA, campaign_lists
from tests.conftest import at, rows

FIRST = EXPORT.updated_at.replace(tzinfo=None)
NEXT_DAY = EXPORT.updated_at + timedelta(days=1)
LATER = Export("autumn", NEXT_DAY.date(), "neumf-8", NEXT_DAY)
CEM = ("cem", "cem@x.example", None, None, None, "model", [TEA])


def export(spark, lists, profile="braze_csv", export=EXPORT, last_state=None, **settings):
    lists = campaign_lists(spark, lists)
    if PROFILES[profile].suffix == "parquet":
        build, settings = build_rows, settings
    else:
        build, settings = build_lines, {"k": 2, **settings}
    return build(lists, PROFILES[profile], export=export, last_state=last_state, **settings)


def state(spark, lists, profile="braze_csv", **settings):
    """A state as the next export reads it."""
    built = build_state(export(spark, lists, profile, **settings))
    schemas.conform(built, schemas.CAMPAIGN_STATE, "campaign_state")
    return spark.createDataFrame(built.collect(), schemas.CAMPAIGN_STATE)


def changed(ana, **fields):
    """The recipient with other values in some columns."""
    names = schemas.CAMPAIGN_LISTS.names
    return tuple(fields.get(name, value) for name, value in zip(names, ana, strict=True))


def slot(item, **fields):
    return tuple(
        fields.get(n, value) for n, value in zip(schemas.CAMPAIGN_SLOT.names, item, strict=True)
    )


def keys(table):
    return sorted(row.key for row in table.collect())


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("profile", ["braze_csv", "generic_jsonl", "generic_parquet"])
def test_the_delta_has_what_is_new_or_changed(spark, profile, order):
    last = state(spark, [ANA, BEN], profile)
    tonight = [changed(ANA, slots=[RUM, TEA]), BEN, CEM]
    lines = export(spark, tonight[::order], profile, export=LATER, last_state=last)
    assert keys(build_delta(lines, last)) == ["ana", "cem"]
    # What changed last when: ana and cem tonight, ben in the export before.
    times = {row.key: row.updated_at for row in build_state(lines).collect()}
    tonight_at = NEXT_DAY.replace(tzinfo=None)
    assert times == {"ana": tonight_at, "-ben": FIRST, "cem": tonight_at}


def test_the_time_of_the_last_change_stands_in_the_line(spark):
    last = state(spark, [ANA, BEN])
    lines = export(spark, [ANA, CEM], export=LATER, last_state=last)
    found = {row.key: row.line.split(",")[5] for row in lines.collect()}
    assert found == {"ana": "2026-11-24T02:30:05Z", "cem": "2026-11-25T02:30:05Z"}


def test_another_date_model_or_score_changes_nothing(spark):
    last = state(spark, [ANA, BEN])
    ana = changed(ANA, slots=[slot(TEA, score=0.75), slot(RUM, score=None)])
    assert keys(build_delta(export(spark, [ana, BEN], export=LATER), last)) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"arm": "popular"},
        {"slots": [RUM, TEA]},
        {"slots": [TEA]},
        {"slots": [slot(TEA, price=2.0), RUM]},
        {"slots": [slot(TEA, price=None), RUM]},
        {"slots": [slot(TEA, title="Tea"), RUM]},
        {"slots": [slot(TEA, source="popular"), RUM]},
        # The same texts, each a field or a slot further on.
        {"slots": [slot(TEA, url=None, image_url="https://s.example/tea"), RUM]},
        {"slots": [slot(TEA, title=None), slot(RUM, title='Tea, "hot"')]},
    ],
)
def test_whatever_a_mail_shows_changes_the_row(spark, fields):
    last = state(spark, [ANA, BEN])
    assert keys(build_delta(export(spark, [changed(ANA, **fields), BEN]), last)) == ["ana"]


def test_another_campaign_changes_all_rows(spark):
    last = state(spark, [ANA, BEN])
    winter = Export("winter", EXPORT.run_date, EXPORT.model_version, EXPORT.updated_at)
    assert keys(build_delta(export(spark, [ANA, BEN], export=winter), last)) == ["-ben", "ana"]


def test_what_a_profile_does_not_hold_does_not_change_its_rows(spark):
    moved = changed(ANA, country="DE", email="new@x.example")
    for profile, expected in (("braze_csv", []), ("generic_csv", ["ana"])):
        last = state(spark, [ANA], profile)
        assert keys(build_delta(export(spark, [moved], profile), last)) == expected


def test_another_address_is_another_person_where_it_is_the_key(spark):
    last = state(spark, [ANA], "klaviyo")
    moved = export(spark, [changed(ANA, email="new@x.example")], "klaviyo")
    assert keys(build_delta(moved, last)) == ["new@x.example"]
    gone = build_removals(moved, last, updated_at=NEXT_DAY)
    assert rows(gone) == [("Ana@x.example", at("2026-11-25 02:30:05"))]


def test_with_hashed_addresses_the_state_holds_none(spark):
    held = state(spark, [ANA, BEN], "generic_csv", hash_emails=True)
    assert keys(held) == ["-ben", "ana"]
    held = state(spark, [ANA, BEN], "klaviyo", hash_emails=True)
    assert not any("@" in str(row) for row in held.collect())


def test_removed_are_those_who_are_no_longer_there(spark):
    last = state(spark, [ANA, BEN])
    tonight = export(spark, [changed(BEN, arm="model"), CEM])  # changed is not gone
    gone = build_removals(tonight, last, updated_at=NEXT_DAY)
    assert rows(gone) == [("ana", at("2026-11-25 02:30:05"))]


def test_the_first_export_is_all_new_and_removes_nobody(spark):
    empty = spark.createDataFrame([], schemas.CAMPAIGN_STATE)
    lines = export(spark, [ANA, BEN], last_state=empty)
    assert keys(build_delta(lines, empty)) == ["-ben", "ana"]
    assert build_removals(lines, empty, updated_at=NEXT_DAY).collect() == []


def test_an_export_without_recipients_removes_all(spark):
    last = state(spark, [ANA, BEN])
    lines = export(spark, [], last_state=last)
    assert build_delta(lines, last).collect() == []
    assert keys(build_removals(lines, last, updated_at=NEXT_DAY)) == ["-ben", "ana"]


@pytest.mark.parametrize(
    ("profile", "line"),
    [
        ("braze_csv", '"\'-ben",2026-11-25T02:30:05Z'),
        ("braze_json", '{"ID":"-ben","UPDATED_AT":"2026-11-25T02:30:05Z"}'),
        ("generic_jsonl", '{"user_id":"-ben","updated_at":"2026-11-25T02:30:05Z"}'),
    ],
)
def test_a_removal_is_the_key_and_the_time(spark, profile, line):
    gone = spark.createDataFrame([("-ben", NEXT_DAY)], "key string, updated_at timestamp")
    assert rows(build_removal_lines(gone, PROFILES[profile])) == [("-ben", line)]


def test_a_removal_in_parquet_is_typed(spark):
    gone = spark.createDataFrame([("-ben", NEXT_DAY)], "key string, updated_at timestamp")
    (row,) = build_removal_rows(gone, PROFILES["generic_parquet"]).collect()
    assert row.row.asDict() == {"user_id": "-ben", "updated_at": at("2026-11-25 02:30:05")}


def test_the_columns_of_removals():
    assert removal_columns(PROFILES["klaviyo"]) == ["Email", "updated_at"]
    assert removal_columns(PROFILES["mailchimp"]) == ["Email Address", "updated_at"]
    assert removal_columns(PROFILES["braze_json"]) == ["ID", "UPDATED_AT"]


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
