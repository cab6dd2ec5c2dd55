import pytest

from ncf_spark.campaign.files.counts import build_list_counts
from ncf_spark.campaign.files.profiles import PROFILES
from tests.campaign.files.lists import ANA, BEN, campaign_lists
from tests.conftest import rows

LONG = "é" * 127  # 254 bytes
SLOTS = [
    ("=tea", "=1+1", "http://x", None, None, None, "model"),
    ("rum", LONG + "e", "http://x", None, None, None, "model"),  # 255 bytes
    ("ice", LONG + "é", None, "http://" + LONG, None, None, "model"),
    # The apostrophe counts too: with it the title has a byte too many.
    ("gin", "=" + LONG, LONG + "é", LONG + "é", None, None, "model"),
]
SLOT_COLUMNS = ("image_url", "item_id", "source", "title", "url")
GENERIC = ("arm", "country", "email", "locale", "segment", "user_id")


@pytest.mark.parametrize(
    ("profile", "columns", "changed"),
    [
        (
            "mailchimp",
            ("arm", "email"),
            {"email": (1, 0), "item_id": (1, 0), "title": (2, 2)},
        ),
        ("braze_csv", ("arm", "user_id"), {"user_id": (1, 0), "item_id": (1, 0), "title": (2, 0)}),
        # In arrays and JSON nothing is escaped.
        ("klaviyo", ("arm", "email"), {"email": (1, 0)}),
        ("generic_jsonl", GENERIC, {}),
    ],
)
def test_cells_are_counted_by_the_columns_that_the_profile_writes(spark, profile, columns, changed):
    lists = campaign_lists(spark, [ANA, (*BEN[:6], SLOTS)])
    found = rows(build_list_counts(lists, PROFILES[profile]))
    assert found == [(n, *changed.get(n, (0, 0))) for n in sorted((*columns, *SLOT_COLUMNS))]


def test_without_rows_all_counts_are_zero(spark):
    found = build_list_counts(campaign_lists(spark, []), PROFILES["mailchimp"])
    assert {tuple(row)[1:] for row in found.collect()} == {(0, 0)}
