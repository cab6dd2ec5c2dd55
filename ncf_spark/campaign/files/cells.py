"""Formats texts and numbers so that tools and spreadsheets read them safely."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

# C0, DEL, C1 (with the next line, U+0085), and Unicode's separators of lines and paragraphs.
_CONTROLS = r"\x00-\x1F\x7F-\x9F\x{2028}\x{2029}"
# Embeddings, overrides and isolates: if not closed, they reverse the text that follows. Hebrew and
# Arabic do not need them; the marks that these use (U+200E, U+200F, U+061C) stay.
_DIRECTIONS = r"\x{202A}-\x{202E}\x{2066}-\x{2069}"
_FORMULA_STARTS = "=+-@\t\r"


def clean(text: Column) -> Column:
    """`text` on one line, trimmed; null where nothing is left.

    `Tea⏎  set⇥` → `Tea set`: a run of control characters, with the blanks in and around it, becomes
    one blank. Embeddings, overrides and isolates of direction are removed; text from right to left
    stays as it is.
    """
    plain = F.regexp_replace(text, f"[{_DIRECTIONS}]", "")
    return F.nullif(
        F.trim(F.regexp_replace(plain, f" *[{_CONTROLS}][ {_CONTROLS}]*", " ")), F.lit("")
    )


def is_formula(text: Column) -> Column:
    """Whether a spreadsheet would run the cell: it begins with = + - @, a tab or a return."""
    # All of them sort before A: a fast test that excludes most texts.
    return (text < "A") & F.substring(text, 1, 1).isin(*_FORMULA_STARTS)


def escaped(text: Column) -> Column:
    """`text` with an apostrophe before it where a spreadsheet would run it; not for numbers."""
    return F.when(is_formula(text), F.concat(F.lit("'"), text)).otherwise(text)


def is_longer(text: Column, max_bytes: int) -> Column:
    """Whether the text has more than `max_bytes` bytes in UTF-8."""
    return F.octet_length(text) > max_bytes


def truncated(text: Column, max_bytes: int) -> Column:
    """The longest prefix of `text` of at most `max_bytes` bytes in UTF-8.

    No character is split, but a letter may lose the combining marks that follow it, and an emoji of
    several characters its last ones.

    Args:
        max_bytes: at least 4, the longest character.
    """
    whole = text.cast("binary")
    cut = F.substring(whole, 1, max_bytes - 3)
    # A character has at most 4 bytes; those after the first are 80 to BF.
    for length in range(max_bytes - 2, max_bytes + 1):
        follows = F.hex(F.substring(whole, length + 1, 1)).between("80", "BF")
        cut = F.when(follows, cut).otherwise(F.substring(whole, 1, length))
    return F.when(is_longer(text, max_bytes), cut.cast("string")).otherwise(text)


def quoted(text: Column) -> Column:
    """A CSV cell with the text: in quotes, with inner quotes doubled; empty for null.

    Every text is quoted, which RFC 4180 allows: no reader has to guess which cells are texts.
    """
    doubled = F.replace(text, F.lit('"'), F.lit('""'))
    return F.coalesce(F.concat(F.lit('"'), doubled, F.lit('"')), F.lit(""))


def plain_number(value: Column) -> Column:
    """The number in digits: two decimals or as many more as it needs, and no exponent.

    `2.5` → `2.50`, `0.005` → `0.005`, `1e7` → `10000000.00`: a text that reads back to the same
    double (or float), in every locale. Null for null, NaN and infinite values.
    """
    text = value.cast("string")
    size = F.abs(value)
    # Outside these bounds Java writes an exponent.
    is_plain = ((size >= 0.001) & (size < 1e7)) | (size == 0)
    padded = F.when(F.substring(text, -2, 1) == ".", F.concat(text, F.lit("0"))).otherwise(text)
    # Spark orders NaN above all other numbers.
    return F.when(is_plain, padded).when(size < float("inf"), _without_exponent(text))


def _without_exponent(text: Column) -> Column:
    """`-1.25E-7` → `-0.000000125`; `1.0E7` → `10000000.00`."""
    exponent = F.regexp_extract(text, r"E(-?\d+)$", 1).cast("int")
    digits = F.regexp_replace(text, r"\.0E.*|E.*|[.-]", "")
    zeros = F.lit("0" * 330)  # the smallest double is 4.9E-324
    small = F.concat(F.lit("0."), zeros.substr(F.lit(1), -exponent - 1), digits)
    whole = F.concat(digits, zeros).substr(F.lit(1), exponent + 1)
    rest = digits.substr(exponent + 2, F.length(digits))
    missing = zeros.substr(F.lit(1), 2 - F.length(rest))
    large = F.concat(whole, F.lit("."), rest, missing)
    sign = F.when(text.startswith("-"), "-").otherwise("")
    return F.concat(sign, F.when(exponent < 0, small).otherwise(large))


def utc_text(time: Column) -> Column:
    """`2026-11-24T02:00:00Z`; the session's time zone is UTC, as in every job."""
    return F.date_format(time, "yyyy-MM-dd'T'HH:mm:ss'Z'")
