"""What is written into the configuration for an export."""

import pytest
import yaml

from ncf_spark.inputs.suggest import EXPORTS, Sniffed, sniff, suggest


def sections(name: str, content: bytes) -> dict:
    sniffed = sniff(name, content)
    assert isinstance(sniffed, Sniffed), sniffed
    return yaml.safe_load(suggest(f"/in/{name}", sniffed))


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: f"{export.name}, {export.columns}")
def test_an_export_is_known_by_its_columns(export):
    found = sections("export.csv", (",".join(["Id", *export.columns]) + "\nx\n").encode())
    [(section, settings)] = found.items()
    assert section == export.section
    settings = settings.get("listed", settings)
    assert settings["path"] == "/in/export.csv"
    assert settings["options"] == {"header": True}
    expected = yaml.safe_load("\n".join(export.settings))
    assert settings | expected == settings


def test_the_way_in_which_a_text_is_written_is_told(tmp_path):
    text = 'customer;sku;ordered_at\nMüller;"Tea\ntin";2026-10-01\n'
    common = {"path": "/in/a [1].csv", "format": "csv"}
    columns = {"user": "customer", "item": "sku", "time": "ordered_at"}
    for encoding, options in (
        ("utf-8-sig", {"sep": ";", "header": True, "multiLine": True}),
        (
            "latin-1",
            {"encoding": "windows-1252", "sep": ";", "header": True, "multiLine": True},
        ),
        ("utf-16", {"encoding": "UTF-16", "multiLine": True, "sep": ";", "header": True}),
    ):
        found = sections("a [1].csv", text.encode(encoding))
        assert found == {"input": {**common, "options": options, "columns": columns}}


def test_json_and_files_without_a_header():
    assert sections("a.json", b'{"user_id": 1, "item_id": 2, "at": 3}\n') == {
        "input": {
            "path": "/in/a.json",
            "format": "json",
            "columns": {"user": "user_id", "item": "item_id"},
        }
    }
    ratings = sections("ratings.dat", b"1::1193::5::978300760\n")["input"]
    assert ratings["options"] == {"sep": "::"}
    assert ratings["columns"]["item"] == "movieId"
    assert ratings["ddl"].startswith("userId STRING, movieId STRING")


def test_what_is_no_table_is_said():
    assert sniff("a.zip", b"PK\x03\x04").startswith("is a zip archive")


@pytest.mark.parametrize(
    ("header", "section"),
    [
        ("customer,sku,ordered_at", "input"),
        ("customer,mail,opt_in", "recipients"),
        ("E-Mail,reason", "suppressions"),
        ("sku,name,price,stock", "catalogue"),
        ("a,b", "input"),
    ],
)
def test_columns_that_no_export_has_are_guessed_by_their_names(header, section):
    assert list(sections("a.csv", f"{header}\n".encode())) == [section]
