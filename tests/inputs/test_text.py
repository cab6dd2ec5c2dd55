"""What a file's first bytes say of it."""

import bz2
import gzip

import pytest

from ncf_spark.inputs.text import Options, find_problem, read_header

_TABLE = "customer;sku\nMüller;A-1\n"
_PACKED = gzip.compress(_TABLE.encode("latin-1"), mtime=0)


@pytest.mark.parametrize(
    ("name", "head", "source_format", "options", "problem"),
    [
        ("a.csv", _TABLE.encode(), "csv", {}, None),
        ("a.csv", "\ufeffcustomer;sku\n".encode(), "csv", {}, None),
        ("a.csv", _TABLE.encode("latin-1"), "csv", {}, "is not UTF-8: line 2 has the byte 0xFC."),
        ("a.csv", _TABLE.encode("latin-1"), "csv", {"encoding": "windows-1252"}, None),
        ("a.csv", _TABLE.encode("utf-16"), "csv", {}, "is UTF-16. Set options: {encoding: UTF-16"),
        ("a.csv", _TABLE.encode("utf-16-le"), "csv", {}, "is UTF-16."),
        ("a.csv", _TABLE.encode("utf-16"), "csv", {"Encoding": "UTF-16"}, "is UTF-16."),
        (
            *("a.csv", _TABLE.encode("utf-16"), "csv"),
            *({"encoding": "UTF-16", "multiLine": "TRUE"}, None),
        ),
        ("a.csv", _TABLE.encode(), "csv", {"encoding": "utf-16"}, "is not UTF-16."),
        ("a.csv", b"K\xc3\xa4se\nGr\xfcn\n", "csv", {}, None),  # left to the look at lines
        ("a.csv", b"\xc3", "csv", {}, None),  # the head ends within a letter
        ("a.csv", b"PK\x03\x04...", "csv", {}, "is a zip archive"),
        ("a.csv", b"PK\x03\x04.. xl/workbook.xml", "csv", {}, "is an Excel workbook."),
        ("a.csv", gzip.compress(b"a;b\n", mtime=0), "csv", {}, "is packed with gzip, but its name"),
        ("a.csv.gz", gzip.compress(b"a;b\n", mtime=0), "csv", {}, None),
        (
            "a.csv.gz",
            gzip.compress(_TABLE.encode("latin-1"), mtime=0),
            "csv",
            {},
            "is not UTF-8: line 2",
        ),
        ("a.csv.bz2", bz2.compress(_TABLE.encode("latin-1")), "csv", {}, "is not UTF-8: line 2"),
        ("a.csv.gz", b"a;b\n", "csv", {}, "is not packed with gzip"),
        ("a.csv", b"PAR1....", "csv", {}, "is parquet, not csv. Set format: parquet."),
        ("a", b"PAR1....", "parquet", {}, None),
        ("a", b"a;b\n", "parquet", {}, "is no Parquet file."),
        ("a", b"ORC...", "parquet", {}, "is orc, not parquet. Set format: orc."),
        ("a", b"PAR1...", "delta", {}, None),
        ("a.csv", b"\n<!DOCTYPE html><html>", "csv", {}, "is an HTML page"),
        ("a.json", b'{"user": 1}\n{"user": 2}\n', "json", {}, None),
        ("a.json", b'[{"user": 1}, {"user": 2}]', "json", {}, None),
        ("a.json", b'[{"user": 1},\n{"user": 2}]', "json", {}, "has records over several lines."),
        ("a.json", b'{\n"user": 1}', "json", {}, "has records over several lines."),
        ("a.json", b'[\n{"user": 1}]', "json", {"multiline": "true"}, None),
    ],
)
def test_what_the_first_bytes_of_a_file_tell(name, head, source_format, options, problem):
    found = find_problem(name, head, source_format, Options(options))
    assert found is None if problem is None else found.startswith(problem), found


@pytest.mark.parametrize(
    ("text", "options", "header"),
    [
        ("a,b c\n1,2\n", {}, ["a", "b c"]),
        ("\ufeffa;b\r\n", {"sep": ";"}, ["a", "b"]),
        ("\n# of the shop\na\tb\n", {"delimiter": "\\t", "comment": "#"}, ["a", "b"]),
        ('"a, b","c ""d"""\n', {}, ["a, b", 'c "d"']),
        ('"a \\"b\\"",c\n', {"escape": "\\"}, ['a "b"', "c"]),
        ("a::b\n", {"sep": "::"}, ["a", "b"]),
        ('"a\nb",c\n', {"multiLine": "true"}, ["a\nb", "c"]),
        ("\n  \n", {}, None),
    ],
)
def test_the_cells_of_a_header(text, options, header):
    assert read_header(text.encode(), Options(options)) == header


def test_the_header_of_a_text_in_utf_16():
    options = Options({"sep": "\t", "encoding": "UTF-16", "multiLine": "true"})
    assert read_header("a\tb\n".encode("utf-16"), options) == ["a", "b"]
