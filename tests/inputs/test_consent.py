"""The words that shops and marketing tools use for consent."""

import pytest
from pyspark.sql import functions as F

from ncf_spark.inputs.consent import consent, means_no_mail

YES = [
    *["true", "TRUE", "yes", " Yes ", "y", "1", "1.0", "on", "SUBSCRIBED", "subscribed"],
    *["opted_in", "Opted In", "opt-in", "subscribed\u00a0", "DOUBLE_OPT_IN"],
]
NO = [
    *["false", "no", "N", "0", "off", "UNSUBSCRIBED", "NEVER_SUBSCRIBED", "never subscribed"],
    *["NOT_SUBSCRIBED", "nonsubscribed", "non-subscribed", "pending", "cleaned", "archived"],
    *["transactional", "REDACTED", "opted_out"],
]
NOTHING = ["", " ", None, "ja", "2", "-1", "maybe", "ana@x.example", "2026-01-01"]


def read(spark, texts, **words):
    table = spark.createDataFrame([(text,) for text in texts], "text string")
    return [row[0] for row in table.select(consent(F.col("text"), **words)).collect()]


@pytest.mark.parametrize(("texts", "meaning"), [(YES, True), (NO, False), (NOTHING, None)])
def test_only_a_clear_yes_is_one(spark, texts, meaning):
    found = read(spark, texts)
    assert [text for text, one in zip(texts, found, strict=True) if one is not meaning] == []


def test_own_words_come_before_what_they_mean_otherwise(spark):
    found = read(
        spark, ["Ja", "N e i n", "pending", "1", "yes"], yes=["ja", "pending"], no=["nein", "1"]
    )
    assert found == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[("unsubscribed.csv", True), ("Opted_Out", True), ("do not contact", True)],
        *[("black-list", True), ("SPERRLISTE", True), ("Désabonnés", True), ("fecha_baja", True)],
        *[("newsletter", False), ("opt_in", False), ("Zustimmung", False), ("donation", False)],
    ],
)
def test_names_of_columns_and_files_of_people_who_get_no_mail(name, expected):
    assert means_no_mail(name) is expected
