import pytest

from ncf_spark.campaign.files.profiles import PROFILES, columns, header
from ncf_spark.config.campaign import BY_EMAIL

COMMON = "campaign_id,run_date,arm,model_version,updated_at"
SLOT_1 = "item_1,title_1,url_1,image_1,price_1,score_1,source_1"
SLOT_2 = "item_2,title_2,url_2,image_2,price_2,score_2,source_2"
ARRAYS = "item_ids,titles,urls,image_urls,prices,scores,sources"
PERSON = "user_id,email,locale,country,segment"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("klaviyo", f"Email,{COMMON},{ARRAYS}"),
        ("braze_csv", f"external_id,{COMMON},{SLOT_1},{SLOT_2}"),
        ("braze_json", "ID,UPDATED_AT,PAYLOAD"),
        ("mailchimp", f"Email Address,{COMMON},{SLOT_1},{SLOT_2}"),
        ("generic_csv", f"{PERSON},{COMMON},{SLOT_1},{SLOT_2}"),
        ("generic_jsonl", f"{PERSON},{COMMON},slots"),
        ("generic_parquet", f"{PERSON},{COMMON},slots"),
    ],
)
def test_columns_are_spelled_as_the_tool_wants_them(name, expected):
    profile = PROFILES[name]
    assert columns(profile, k=2) == expected.split(",")
    assert header(profile, k=2) == (expected if profile.suffix == "csv" else None)
    assert next(iter(profile.columns.values())) == profile.key


def test_no_tool_gets_more_of_a_person_than_it_needs():
    assert {name: profile.personal for name, profile in PROFILES.items()} == {
        "klaviyo": ("email",),
        "braze_csv": ("user_id",),
        "braze_json": ("user_id",),
        "mailchimp": ("email",),
        "generic_csv": ("user_id", "email"),
        "generic_jsonl": ("user_id", "email"),
        "generic_parquet": ("user_id", "email"),
    }


def test_limits_of_the_tools():
    limits = {n: (p.max_bytes, p.max_text_bytes) for n, p in PROFILES.items() if p.max_bytes}
    assert limits == {
        "klaviyo": (50_000_000, None),
        "braze_csv": (500_000_000, None),
        "braze_json": (500_000_000, None),
        "mailchimp": (100_000_000, 255),
    }


def test_the_configuration_knows_which_tools_need_addresses():
    assert set(BY_EMAIL) == {name for name, profile in PROFILES.items() if profile.key == "email"}
