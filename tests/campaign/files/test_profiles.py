import pytest

from ncf_spark.campaign.files.profiles import PROFILES, columns, header

COMMON = "campaign_id,run_date,arm,model_version,updated_at"
SLOT_1 = "item_1,title_1,url_1,image_1,price_1,score_1,source_1"
SLOT_2 = "item_2,title_2,url_2,image_2,price_2,score_2,source_2"
ARRAYS = "item_ids,titles,urls,image_urls,prices,scores,sources"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("klaviyo", f"Email,{COMMON},{ARRAYS}"),
        ("braze_csv", f"external_id,{COMMON},{SLOT_1},{SLOT_2}"),
        ("braze_json", None),
        ("mailchimp", f"Email Address,{COMMON},{SLOT_1},{SLOT_2}"),
        ("generic_csv", f"user_id,email,locale,country,segment,{COMMON},{SLOT_1},{SLOT_2}"),
        ("generic_jsonl", None),
        ("generic_parquet", None),
    ],
)
def test_the_header_is_spelled_as_the_tool_wants_it(name, line):
    assert header(PROFILES[name], k=2) == line


def test_json_and_parquet_have_keys_instead():
    assert columns(PROFILES["braze_json"], k=2) == ["ID", "UPDATED_AT", "PAYLOAD"]
    nested = ["user_id", "email", "locale", "country", "segment", *COMMON.split(","), "slots"]
    assert columns(PROFILES["generic_jsonl"], k=2) == nested
    assert columns(PROFILES["generic_parquet"], k=2) == nested


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


def test_limits_and_suffixes():
    assert {name: (p.suffix, p.max_bytes, p.max_text_bytes) for name, p in PROFILES.items()} == {
        "klaviyo": ("csv", 50_000_000, None),
        "braze_csv": ("csv", 500_000_000, None),
        "braze_json": ("jsonl", 500_000_000, None),
        "mailchimp": ("csv", 100_000_000, 255),
        "generic_csv": ("csv", None, None),
        "generic_jsonl": ("jsonl", None, None),
        "generic_parquet": ("parquet", None, None),
    }


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_the_key_comes_first(profile):
    assert next(iter(profile.columns.values())) == profile.key
