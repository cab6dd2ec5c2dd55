import hashlib
from datetime import date

import pytest
from pyspark.errors import PySparkException

from ncf_spark.campaign.files.profiles import PROFILES
from ncf_spark.campaign.files.rows import build_rows, filter_addressable, manifest_facts
from tests.campaign.files.lists import ANA, BEN, EXPORT, RUM, campaign_lists

LISTS = [ANA, BEN]


def lines(spark, profile, order=1, recipients=LISTS, k=2, **settings):
    lists = campaign_lists(spark, recipients[::order])
    built = build_rows(lists, PROFILES[profile], export=EXPORT, k=k, **settings)
    assert built.columns == ["key", "row_hash", "updated_at", "line"]
    return {row.key: row.line for row in built.collect()}


HEAD = '"autumn",2026-11-23,"{}","neumf-7",2026-11-24T02:30:05Z,'
TEA_CELLS = '"tea","Tea, ""hot""","https://s.example/tea",,2.50,0.50,"model"'
RUM_CELLS = '"rum",,"https://s.example/rum","https://i.example/rum",,0.00001,"popular"'
RUM_ARRAYS = (
    '"[""rum""]","[null]","[""https://s.example/rum""]","[""https://i.example/rum""]",'
    '"[null]","[0.00001]","[""popular""]"'
)
TEA_JSON = (
    '{"item_id":"tea","title":"Tea, \\"hot\\"","url":"https://s.example/tea","image_url":null,'
    '"price":2.50,"score":0.50,"source":"model"}'
)
RUM_JSON = (
    '{"item_id":"rum","title":null,"url":"https://s.example/rum",'
    '"image_url":"https://i.example/rum","price":null,"score":0.00001,"source":"popular"}'
)
COMMON_JSON = (
    '"campaign_id":"autumn","run_date":"2026-11-23","arm":"{}","model_version":"neumf-7",'
    '"updated_at":"2026-11-24T02:30:05Z"'
)


@pytest.mark.parametrize("order", [1, -1])
def test_braze_csv_has_a_cell_for_each_field_of_each_slot(spark, order):
    assert lines(spark, "braze_csv", order) == {
        "ana": '"ana",' + HEAD.format("model") + TEA_CELLS + "," + RUM_CELLS,
        "-ben": '"\'-ben",' + HEAD.format("popular") + RUM_CELLS + "," * 7,
    }


def test_of_a_list_that_is_too_long_the_first_k_are_written(spark):
    assert lines(spark, "braze_csv", k=1)["ana"].endswith("," + TEA_CELLS)


def test_klaviyo_has_an_array_for_each_field(spark):
    found = lines(spark, "klaviyo")
    assert set(found) == {"Ana@x.example", "=b@x.example"}
    assert found["=b@x.example"] == '"\'=b@x.example",' + HEAD.format("popular") + RUM_ARRAYS
    assert found["Ana@x.example"].endswith(
        ',"[2.50,null]","[0.50,0.00001]","[""model"",""popular""]"'
    )
    assert '"[""Tea, \\""hot\\"""",null]"' in found["Ana@x.example"]


def test_mailchimp_has_the_address_and_no_user_id(spark):
    assert lines(spark, "mailchimp")["Ana@x.example"] == (
        '"Ana@x.example",' + HEAD.format("model") + TEA_CELLS + "," + RUM_CELLS
    )


def test_mailchimp_cuts_texts_but_no_names(spark):
    long = "é" * 200
    slot = (long, "=" + long, long, long, 1.0, 1.0, "model")
    address = long + "@x.example"
    line = lines(spark, "mailchimp", recipients=[("u", address, *[None] * 3, "model", [slot])])
    assert line[address].endswith(
        f',"{long}","\'={"é" * 126}","{long}","{long}",1.00,1.00,"model"' + "," * 7
    )
    assert line[address].startswith(f'"{address}",')


def test_generic_csv_has_all_columns(spark):
    found = lines(spark, "generic_csv")
    assert found["-ben"].startswith('"\'-ben","\'=b@x.example",,,"new",' + HEAD.format("popular"))


def test_generic_json_has_all_columns_and_no_apostrophes(spark):
    assert lines(spark, "generic_jsonl")["-ben"] == (
        '{"user_id":"-ben","email":"=b@x.example","locale":null,"country":null,"segment":"new",'
        + COMMON_JSON.format("popular")
        + f',"slots":[{RUM_JSON}]}}'
    )


def test_braze_json_has_its_attributes_as_a_text(spark):
    payload = "{" + COMMON_JSON.format("model") + f',"slots":[{TEA_JSON},{RUM_JSON}]}}'
    escaped = payload.replace("\\", "\\\\").replace('"', '\\"')
    assert lines(spark, "braze_json")["ana"] == (
        f'{{"ID":"ana","UPDATED_AT":"2026-11-24T02:30:05Z","PAYLOAD":"{escaped}"}}'
    )


def test_a_text_that_looks_like_a_price_stays_a_text(spark):
    title = '"price":"1.00","score":"2"'
    slot = ("price", title, '"price":"', None, 1.0, 2.0, "score")
    line = lines(spark, "generic_jsonl", recipients=[("u", "e", *[None] * 3, "m", [slot])])["u"]
    assert line.endswith(
        '"slots":[{"item_id":"price","title":"\\"price\\":\\"1.00\\",\\"score\\":\\"2\\"",'
        '"url":"\\"price\\":\\"","image_url":null,"price":1.00,"score":2.00,"source":"score"}]}'
    )


def test_numbers_that_are_none_are_not_given(spark):
    slot = ("a", None, None, None, float("nan"), float("inf"), "model")
    lists = [("u", "e", *[None] * 3, "model", [slot])]
    assert lines(spark, "braze_csv", recipients=lists, k=1)["u"].endswith(',"a",,,,,,"model"')
    assert '"price":null,"score":null' in lines(spark, "generic_jsonl", recipients=lists)["u"]


def test_texts_about_a_recipient_are_put_on_one_line(spark):
    lists = [("u", "e", "de\n", "A\tT", "\x00", "model", [RUM])]
    found = lines(spark, "generic_csv", recipients=lists)["u"]
    assert found.startswith('"u","e","de","A T",,"autumn"')


@pytest.mark.parametrize("profile", ["klaviyo", "mailchimp", "generic_csv"])
def test_an_address_is_hashed_trimmed_and_in_lower_case(spark, profile):
    lists = [("ana", " Ana@X.example\n", *ANA[2:])]
    digest = hashlib.sha256(b"ana@x.example").hexdigest()
    key, line = lines(spark, profile, recipients=lists, hash_emails=True).popitem()
    assert f'"{digest}",' in line
    assert "x.example\n" not in line.lower()
    assert key == ("ana" if profile == "generic_csv" else digest)


@pytest.mark.parametrize(("profile", "names"), [("braze_csv", "ID"), ("klaviyo", "address")])
def test_recipients_without_the_key_of_the_tool_are_left_out(spark, profile, names):
    lists = [ANA, ("ben", None, *BEN[2:]), ("cem", " ", *BEN[2:]), ("dora", "at home", *BEN[2:])]
    found = filter_addressable(campaign_lists(spark, lists), PROFILES[profile])
    expected = {"ana", "ben", "cem", "dora"} if names == "ID" else {"ana"}
    assert {row.user_id for row in found.collect()} == expected


def test_an_export_fails_on_a_recipient_without_a_key_and_names_nobody(spark):
    lists = [("ben", None, *BEN[2:])]
    with pytest.raises(PySparkException, match="has no email, which profile klaviyo") as raised:
        lines(spark, "klaviyo", recipients=lists)
    assert "ben" not in str(raised.value)


@pytest.mark.parametrize("profile", PROFILES)
def test_no_recipients_no_lines(spark, profile):
    rows = build_rows(campaign_lists(spark, []), PROFILES[profile], export=EXPORT, k=2)
    assert rows.collect() == []


def test_parquet_rows_are_typed(spark):
    lists = campaign_lists(spark, LISTS)
    built = build_rows(lists, PROFILES["generic_parquet"], export=EXPORT, k=2)
    ana = {row.key: row.row for row in built.collect()}["ana"]
    assert tuple(ana)[:9] == (*ANA[:5], "autumn", date(2026, 11, 23), "model", "neumf-7")
    assert ana.updated_at == EXPORT.updated_at.replace(tzinfo=None)
    assert ana.slots[0].title == 'Tea, "hot"'
    assert (ana.slots[0].price, ana.slots[1].price) == (2.5, None)


def test_a_manifest_says_what_the_export_is():
    assert manifest_facts(PROFILES["klaviyo"], EXPORT, k=2, hash_emails=True) == {
        "profile": "klaviyo",
        "campaign_id": "autumn",
        "run_date": "2026-11-23",
        "model_version": "neumf-7",
        "updated_at": "2026-11-24T02:30:05+00:00",
        "columns": [
            *["Email", "campaign_id", "run_date", "arm", "model_version", "updated_at"],
            *["item_ids", "titles", "urls", "image_urls", "prices", "scores", "sources"],
        ],
        "hashed_emails": True,
    }
    braze = manifest_facts(PROFILES["braze_csv"], EXPORT, k=2, hash_emails=True)
    assert braze["hashed_emails"] is False
