"""One form of addresses and ids, whatever tool wrote them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import functions as F

from ncf_spark.inputs import canonical
from ncf_spark.inputs.canonical import canonical_id, masked, read_address
from tests.conftest import rows

ANA = "ana@x.example"
# As they are written, as they are sent, and as they are compared.
ADDRESSES = [
    ("ana@x.example", ANA, ANA),
    ("ANA@X.Example", "ANA@X.Example", ANA),
    (" ana@x.example\t\r\n", ANA, ANA),
    ("ana@x.example\u00a0", ANA, ANA),  # no-break space
    ("\u200bana@x.example", ANA, ANA),  # zero width
    ("\ufeffana@x.example", ANA, ANA),  # a byte order mark in the middle of joined files
    ("\u202aana@x.example\u202c", ANA, ANA),  # marks of direction, as copied from Outlook
    ("an\u00ada@x.exam\u200dple", ANA, ANA),  # a soft hyphen within
    ("a\x00na@x.example\x7f", ANA, ANA),
    ("ana@x.example\u3164\ufe0f", ANA, ANA),  # a filler and a variation selector
    ("ana @x. example", ANA, ANA),
    ("ana＠x．example", ANA, ANA),  # full width
    ("ana@x。example", ANA, ANA),
    ("ana@x.example.", ANA, ANA),
    (";ana@x.example,", ANA, ANA),
    ("'ana@x.example'", ANA, ANA),
    ('"ana@x.example"', ANA, ANA),
    ("“ana@x.example”", ANA, ANA),
    ("'ana@x.example", ANA, ANA),
    ("<ana@x.example>", ANA, ANA),
    ("Ana <ana@x.example>;", ANA, ANA),
    ('"Müller, Ana" <ana@x.example>', ANA, ANA),
    ("ana@x.example (Ana)", ANA, ANA),
    ("mailto:ana@x.example?subject=Hi", ANA, ANA),
    ("MAILTO:%61na@x.example", ANA, ANA),
    ("SMTP:ana@x.example", ANA, ANA),
    ('"ana.m"@x.example', "ana.m@x.example", "ana.m@x.example"),
    ("o'ana@x.example", "o'ana@x.example", "o'ana@x.example"),
    ("ana+tea@x.example", "ana+tea@x.example", "ana+tea@x.example"),
    ("A\u0308na@x.example", "Äna@x.example", "äna@x.example"),  # a combining accent
    ("ana@BÜRO.example", "ana@BÜRO.example", "ana@büro.example"),
    ("ana@xn--bro-hoa.example", "ana@xn--bro-hoa.example", "ana@büro.example"),
    ("ana@XN--BRO-HOA.example", "ana@XN--BRO-HOA.example", "ana@büro.example"),
    ("ana@straße.example", "ana@straße.example", "ana@strasse.example"),
    # Compared without white space within, but not sent to.
    ("ana m@x.example", None, "anam@x.example"),
    ('"ana m"@x.example', None, "anam@x.example"),
    # No address.
    *[(text, None, None) for text in ("ana", "ana@", "@x.example", "ana@x", "ana@x..example")],
    ("ana@x.example, ben@x.example", None, None),
    ("ana@x.example, Ben <ben@x.example>", None, None),
    ('"ana@x.example" <ANA@x.example>', "ANA@x.example", ANA),
    ("ana@x.example ben@x.example", None, None),
    ("�na@x.example", None, None),
    *[(text, None, None) for text in ("", " ", "\u200b", None)],
]


@pytest.mark.parametrize(("text", "sent", "compared"), ADDRESSES)
def test_an_address_is_one_however_it_is_written(text, sent, compared):
    found = read_address(text)
    assert (found and found.email, found and found.address) == (sent, compared)


def test_a_column_has_the_same_addresses_with_the_plain_ones_read_by_spark(spark, monkeypatch):
    texts = [text for text, *_ in ADDRESSES] + ["ana@x.example\n", "Ana.B-c_d@x-y.example"]
    table = spark.createDataFrame([(text,) for text in texts], "text string")
    found = table.select(canonical.address(F.col("text")).alias("found")).collect()
    assert [row.found and tuple(row.found) for row in found] == [
        found and (*found[:2], found.spellings, found.is_garbled)
        for found in map(read_address, texts)
    ]

    def fails(text):
        assert text is None, f"{text} is plain"

    monkeypatch.setattr(canonical, "read_address", fails)
    monkeypatch.setattr(canonical, "canonical_id", fails)
    plain = [("Ana@x.example ", "C-1 b"), (None, None)]
    table = spark.createDataFrame(plain, "email string, id string")
    address, key = canonical.address(F.col("email"))["address"], canonical.id_key(F.col("id"))
    assert rows(table.select(address, key)) == [(None, None), ("ana@x.example", "c-1 b")]


def test_what_a_list_may_know_an_address_by_are_all_its_spellings():
    assert read_address("Äna@Büro.example").spellings == [
        *["äna@büro.example", "äna@xn--bro-hoa.example"]
    ]
    assert read_address("Ana <ANA@x.example>").spellings == ["ana <ana@x.example>", ANA]
    # Each of several addresses in a cell, also of those that are no address together.
    two = read_address("ana@x.example, Ben <ben@x.example>; 'cem@x.example'")
    assert two.spellings == [ANA, "ben@x.example", "cem@x.example"]
    assert ANA in read_address("Ana Müller ana@x.example").spellings


@pytest.mark.parametrize("text", ["M�ller <m@x.example>", "Ã¤nna@x.example", "ï»¿ana@x.example"])
def test_a_text_of_another_encoding_is_known(text):
    assert read_address(text).is_garbled
    assert not read_address("änna.ñ@büro.example").is_garbled


@given(st.text(alphabet=" \u00a0\t'\"<>,;.\u200bäßİA@-x", max_size=12), st.text(max_size=6))
def test_what_is_compared_stays_the_same_when_it_is_read_again(start, end):
    found = read_address(start + ANA + end)
    if found is not None and found.address is not None:
        assert read_address(found.address).address == found.address
        assert found.email is None or read_address(found.email).address == found.address
    one = canonical_id(start + end)
    assert one is None or canonical_id(one) == one


def test_an_id_is_compared_without_what_cannot_be_seen(spark):
    ids = [
        *[("C-1", "c-1"), (" C-1\u00a0", "c-1"), ("\u200b\ufeffC-1\x00", "c-1")],
        *[("Ｃ-1", "c-1"), ("C\u00a01", "c 1"), ("STRASSE", "strasse"), ("Straße", "strasse")],
        *[("'C-1", "'c-1"), ("007", "007"), (" ", None), (None, None)],
    ]
    assert [(text, canonical_id(text)) for text, _ in ids] == ids
    table = spark.createDataFrame(ids, "text string, expected string")
    assert sorted(map(str, rows(table.select("text", canonical.id_key(F.col("text")))))) == (
        sorted(map(str, ids))
    )


def test_no_whole_address_stands_in_a_log():
    several = "Ana <ana@x.example>, ben@x.example"
    assert masked(several) == "Ana <a…@x.example>, b…@x.example"
    assert masked("0170123") == "01…"


def test_a_python_worker_of_spark_loads_neither_torch_nor_pandas_for_it():
    asked = "import sys, ncf_spark.inputs.canonical; print({'torch', 'pandas'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
