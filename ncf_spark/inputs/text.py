"""What the first bytes of a file say: its format, encoding and header. Without Spark."""

from __future__ import annotations

import bz2
import csv
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping

HEAD_BYTES = 2**16

_TEXTS = ("csv", "json", "text")
BINARY = {b"PAR1": "parquet", b"ORC": "orc", b"Obj\x01": "avro"}
# Others, such as Delta's, have files of these kinds inside.
_KNOWN = (*_TEXTS, *BINARY.values())
_UTF_16 = ("utf-16", "utf-16le", "utf-16be")


class Options:
    """Options of Spark's CSV and JSON readers, whose names and flags are of either case."""

    def __init__(self, options: Mapping[str, str]):
        self._options = {name.lower(): value for name, value in options.items()}

    def flag(self, name: str) -> bool:
        """Whether an option is set to true."""
        return self._options.get(name.lower(), "false").lower() == "true"

    def has(self, name: str) -> bool:
        """Whether an option is set."""
        return name.lower() in self._options

    @property
    def sep(self) -> str:
        """The separator of cells."""
        sep = self._options.get("sep", self._options.get("delimiter", ","))
        return sep.replace("\\t", "\t")

    @property
    def quote(self) -> str:
        """What cells are quoted with; empty: nothing."""
        return self._options.get("quote", '"')

    @property
    def escape(self) -> str:
        """What a quote within a quoted cell follows; our default, unlike Spark's, is RFC 4180's."""
        return self._options.get("escape", '"')

    @property
    def line_sep(self) -> str | None:
        """What ends a line, where it is set."""
        return self._options.get("linesep")

    @property
    def comment(self) -> str | None:
        """What a line begins with that is none of the table's."""
        return self._options.get("comment")

    @property
    def is_utf_8(self) -> bool:
        """Whether the text is read as UTF-8."""
        return self.encoding in ("utf-8", "utf8")

    @property
    def encoding(self) -> str:
        """The encoding of the text, in small letters."""
        return self._options.get("encoding", self._options.get("charset", "utf-8")).lower()


def find_problem(
    name: str, head: bytes, source_format: str, options: Options, *, beside_utf_8: bool = False
) -> str | None:
    """What keeps a file from being read as it is configured, with the remedy; None: nothing.

    Single lines in another encoding than the others are left to `lines`.

    Args:
        name: of the file.
        head: its first bytes, HEAD_BYTES or all of them.
        source_format: csv, json, parquet … as configured.
        beside_utf_8: whether another file of the same table `holds_utf_8`.
    """
    is_text = source_format in _TEXTS
    problem = _find_archive(name, head)
    if problem is not None:
        return problem
    for magic, actual in BINARY.items():
        if head.startswith(magic) and source_format != actual and source_format in _KNOWN:
            return f"is {actual}, not {source_format}. Set format: {actual}."
    if source_format == "parquet" and not head.startswith((b"PAR1", b"PARE")):
        return "is no Parquet file. Set format to what it is, or export it again."
    if not is_text:
        return None
    content = unpack(name, head)
    if re.match(rb"\s*<(!doctype\s+html|html)", content, re.IGNORECASE):
        return "is an HTML page, perhaps of a login. Export the table again."
    problem = _find_encoding_problem(content, options, beside_utf_8)
    if problem is None and source_format == "json" and not options.flag("multiLine"):
        problem = _find_json_problem(content)
    return problem


def _find_archive(name: str, head: bytes) -> str | None:
    if head.startswith(b"PK\x03\x04"):
        if b"[Content_Types].xml" in head or b"xl/" in head or name.lower().endswith(".xlsx"):
            return "is an Excel workbook. Save it as CSV UTF-8."
        return "is a zip archive, which Spark does not read. Unpack it, or pack it with gzip."
    is_gzip = head.startswith(b"\x1f\x8b")
    if is_gzip and not name.lower().endswith(".gz"):
        return "is packed with gzip, but its name does not end in .gz. Rename it."
    if name.lower().endswith(".gz") and not is_gzip:
        return "is not packed with gzip, as its name says. Rename it, or export it again."
    return None


def unpack(name: str, head: bytes) -> bytes:
    """The first bytes of the text; empty where the packing is another than gzip or bzip2."""
    ending = name.lower().rsplit(".", 1)[-1]
    try:
        if ending == "gz":
            return zlib.decompressobj(31).decompress(head, 2**20)
        if ending == "bz2":
            return bz2.BZ2Decompressor().decompress(head)
    except (zlib.error, OSError, EOFError):
        return b""  # Spark's readers say so in their words.
    return b"" if ending in ("zst", "snappy", "lz4", "deflate", "xz") else head


def holds_utf_8(content: bytes) -> bool:
    """Whether letters beyond ASCII are written in UTF-8 somewhere; others may be written otherwise.

    By chance a text of another encoding holds such bytes too, but hardly ever.
    """
    return re.search(_UTF_8_LETTER, content) is not None


_UTF_8_LETTER = rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"


def _find_encoding_problem(content: bytes, options: Options, beside_utf_8: bool) -> str | None:
    wide = find_utf_16(content)
    if wide and not (options.encoding in _UTF_16 and options.flag("multiLine")):
        return f"is UTF-16. Set options: {{encoding: {wide}, multiLine: true}}."
    if options.encoding in _UTF_16:
        return None if wide or not content else "is not UTF-16. Remove options.encoding."
    if not options.is_utf_8:
        return None
    try:
        io.TextIOWrapper(io.BytesIO(content), "utf-8").read()
    except UnicodeDecodeError as error:
        if len(content) - error.start < 4 and error.reason == "unexpected end of data":
            return None  # the head ends within a letter
        if beside_utf_8 or holds_utf_8(content):
            return None
        line = content.count(b"\n", 0, error.start) + 1
        return f"is not UTF-8: line {line:,} has the byte 0x{content[error.start]:02X}. {REMEDY}"
    return None


REMEDY = (
    "Set options.encoding to its encoding, such as windows-1252 for exports of Windows programs."
)


def find_utf_16(content: bytes) -> str | None:
    """The name of the UTF-16 that a text is written in; None: it is not UTF-16.

    Without a mark at the beginning, Java reads UTF-16 as UTF-16BE, and Python as UTF-16LE.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    sample = content[:1024]
    # Letters of the Latin script have a zero as one of their two bytes.
    zeros = {name: sample[at::2].count(0) for name, at in (("UTF-16BE", 0), ("UTF-16LE", 1))}
    name = max(zeros, key=lambda name: zeros[name])
    return name if zeros[name] > len(sample) // 5 else None


def _find_json_problem(content: bytes) -> str | None:
    text = content.decode("utf-8-sig", errors="ignore").lstrip()
    line, end, _ = text.partition("\n")
    if not line.strip():
        return None
    if not end and len(content) >= HEAD_BYTES // 2:
        return None  # a line longer than the head
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return None
    if isinstance(value, list) and not text[len(line) :].strip():
        return None  # Spark's reader takes an array in one line
    return "has records over several lines. Set options: {multiLine: true}."


def read_header(head: bytes, options: Options) -> list[str] | None:
    """The cells of the first line of a CSV's text; None where there is none.

    Args:
        head: the first bytes, unpacked.
    """
    return next(read_rows(head, options), None)


def read_rows(head: bytes, options: Options) -> Iterator[list[str]]:
    """The cells of each line of a CSV's text, the header among them; of blank lines nothing.

    Args:
        head: the first bytes, unpacked.
    """
    lines = [
        f"{line}\n"
        for line in re.split(r"\r\n|\n|\r", decode(head, options))
        if line.strip() and not (options.comment and line.startswith(options.comment))
    ]
    if len(options.sep) != 1 or len(options.quote) != 1:
        yield from (line.rstrip("\n").split(options.sep) for line in lines)
        return
    for together in [lines] if options.flag("multiLine") else ([line] for line in lines):
        yield from csv.reader(
            together,
            delimiter=options.sep,
            quotechar=options.quote,
            doublequote=options.escape == options.quote,
            escapechar=None if options.escape == options.quote else options.escape or None,
        )


def decode(content: bytes, options: Options) -> str:
    """The text, with U+FFFD for what is no letter of its encoding."""
    decoded = content.decode(_python_encoding(options.encoding), errors="replace")
    return decoded.removeprefix("\ufeff").replace("\0", "")


def _python_encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError:
        return "latin-1"  # enough for the separators
    return name
