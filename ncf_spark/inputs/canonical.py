"""One form for an address and one for an id, by which the tables of different tools are compared.

Spark has no Unicode normalisation, so the rules are written in Python. Values of plain ASCII with
nothing to change, which most are, do not go through it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple
from urllib.parse import unquote

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, StringType, StructField, StructType

# Letters and marks in Unicode's terms, but nothing to see: fillers, joiners, variation selectors.
_FILLERS = {*"\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0", *map(chr, range(0xFE00, 0xFE10))}

_QUOTES = "'`\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"
_AROUND = " .,;:|/\u3001\u3002" + _QUOTES
_QUOTED_LOCAL = re.compile(r'"([^"@]+)"@')
_IN_BRACKETS = re.compile(r"[^<>]*<([^<>]*)>[^<>]*")
_SCHEME = re.compile(r"(?i)(?:mailto|smtp|e-?mail)\s*:(?://)?([^?]*)(?:\?.*)?")
_WITH_COMMENT = re.compile(r"([^()]*@[^()]*)\([^()]*\)")
_WORD_ENDS = re.compile(r'[\s,;|<>()"]+')
_LOCAL = re.compile(r'[^\s@,;:<>()\[\]\\"\ufffd]+')
_LABEL = re.compile(r"[^\s@\ufffd!-,/:-@\[-^`{-~]+")  # of ASCII's signs - and _ alone

# In Java's terms: \z is the very end, while $ would let a line end pass.
_PLAIN_ADDRESS = (
    r"^(?![\s\S]*[xX][nN]--)[A-Za-z0-9_+-][A-Za-z0-9._+-]*"
    r"@(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]*[A-Za-z0-9]\z"
)
_PLAIN_ID = r"^[!-~](?:[ -~]*[!-~])?\z"


class Address(NamedTuple):
    """What a cell says of an address.

    Args:
        email: to send to; None: nothing that could be sent to as it stands.
        address: as it is compared; None: the cell holds no address, or more than one.
        spellings: `address`, other ways to write it (of which a list may hold the SHA-256), and
            every further address in the cell. Who stands on a list under one of them is on it.
        is_garbled: whether the text was read in another encoding than it was written in.
    """

    email: str | None
    address: str | None
    spellings: list[str]
    is_garbled: bool


_ADDRESS_TYPE = StructType(
    [
        StructField("email", StringType()),
        StructField("address", StringType()),
        StructField("spellings", ArrayType(StringType())),
        StructField("is_garbled", BooleanType()),
    ]
)


def read_address(text: str | None) -> Address | None:
    """What a cell says of an address; None where there is nothing to see in it.

    Unicode NFKC; characters without width and control characters are dropped, as is the name beside
    an address in angle brackets, `mailto:`, quotes and punctuation around it. White space within is
    no part of what is compared, but such a cell is not sent to, unless it stands beside @ or a dot.

        "Müller, Anna" <ANNA@Büro.example>  ->  email ANNA@Büro.example,
                                                address anna@büro.example
    """
    shown = _shown(text or "")
    if not shown:
        return None
    core = re.sub(r" *([@.]) *", r"\1", _unwrapped(shown))
    quoted = _QUOTED_LOCAL.match(core)
    if quoted:
        core = f"{quoted[1]}@{core[quoted.end() :]}"
    found = _split(core.replace(" ", ""))
    is_one = found is not None and " " not in core
    parts = [found, *map(_split, map(_unwrapped, _WORD_ENDS.split(shown)))]
    # Beside the one in angle brackets there may be another.
    if " " not in core and len({_folded(*part) for part in parts if part}) > 1:
        found = None
    spellings = {spelling for part in parts if part for spelling in _spellings(*part)}
    if found:
        spellings |= {"@".join(found).lower(), (text or "").strip().lower()}
    return Address(
        "@".join(found) if found and is_one else None,
        _folded(*found) if found else None,
        sorted(spellings),
        _is_garbled(text or ""),
    )


def trimmed(text: str) -> str:
    """`text` in Unicode NFKC, without white space and what cannot be seen at both ends."""
    characters = unicodedata.normalize("NFKC", text)
    start, end = 0, len(characters)
    while start < end and _is_unseen(characters[start]):
        start += 1
    while end > start and _is_unseen(characters[end - 1]):
        end -= 1
    return characters[start:end]


def canonical_id(text: str | None) -> str | None:
    """An id as lists are compared by: trimmed, in Unicode NFKC, case folded; None: nothing."""
    return fold(trimmed(text or "")) or None


def masked(text: str) -> str:
    """`text` for a log: of each address the first letter and the domain, of others two letters."""
    if "@" not in text:
        return f"{text[:2]}…" if len(text) > 2 else text
    return re.sub(r"([^\s@,;<>])[^\s@,;<>]*(?=\s*@)", r"\1…", text)


def address(text: Column) -> Column:
    """`read_address` of a column, a struct of its fields; null: there is nothing in the cell."""
    plain = F.trim(text)
    is_plain = F.coalesce(plain.rlike(_PLAIN_ADDRESS), F.lit(False))
    folded = F.lower(plain)
    as_it_is = F.struct(
        plain.alias("email"),
        folded.alias("address"),
        F.array(folded).alias("spellings"),
        F.lit(False).alias("is_garbled"),
    )
    read = F.udf(read_address, _ADDRESS_TYPE)
    return F.when(is_plain, as_it_is).otherwise(read(F.when(~is_plain, text)))


def id_key(text: Column) -> Column:
    """`canonical_id` of a column."""
    plain = F.trim(text)
    is_plain = F.coalesce(plain.rlike(_PLAIN_ID), F.lit(False))
    read = F.udf(canonical_id, StringType())
    return F.when(is_plain, F.lower(plain)).otherwise(read(F.when(~is_plain, text)))


def _is_unseen(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "Z" or category in ("Cc", "Cf") or character in _FILLERS


def _shown(text: str) -> str:
    """NFKC without what has no width; each run of white space is one blank, none at the ends."""
    kept = "".join(c for c in text if c.isspace() or not _is_unseen(c))
    return " ".join(unicodedata.normalize("NFKC", kept).split())


def fold(text: str) -> str:
    """`text` without a difference between small letters and capitals, in NFKC."""
    return unicodedata.normalize("NFKC", text.casefold())


def _unwrapped(text: str) -> str:
    """The address in `mailto:…`, `Name <…>`, `… (comment)`, quotes and punctuation."""
    before = None
    while text != before:
        before, text = text, text.strip(_AROUND).rstrip('"')
        if not _QUOTED_LOCAL.match(text):
            text = text.lstrip('"')
        if found := _IN_BRACKETS.fullmatch(text) or _WITH_COMMENT.fullmatch(text):
            text = found[1]
        if found := _SCHEME.fullmatch(text):
            text = unquote(found[1])
    return text


def _split(text: str) -> tuple[str, str] | None:
    """Local part and domain; None: it is no address."""
    local, sign, domain = text.partition("@")
    labels = domain.replace("\u3002", ".").split(".")
    is_one = sign and _LOCAL.fullmatch(local) and len(labels) > 1
    return (local, ".".join(labels)) if is_one and all(map(_LABEL.fullmatch, labels)) else None


def _folded(local: str, domain: str) -> str:
    return f"{fold(local)}@{'.'.join(map(_unicode_label, fold(domain).split('.')))}"


def _spellings(local: str, domain: str) -> set[str]:
    folded = _folded(local, domain)
    name, _, host = folded.partition("@")
    return {folded, f"{name}@{'.'.join(map(_ascii_label, host.split('.')))}"}


def _unicode_label(label: str) -> str:
    """`xn--bro-hoa` → `büro`."""
    if not label.startswith("xn--"):
        return label
    try:
        return fold(label[4:].encode("ascii").decode("punycode"))
    except UnicodeError:
        return label


def _ascii_label(label: str) -> str:
    return label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")


def _is_garbled(text: str) -> bool:
    """Whether bytes were no characters, or UTF-8 was read as Latin-1 (`Ã¤` for `ä`)."""
    if text.isascii():
        return False
    if "\ufffd" in text:
        return True
    for codec in ("cp1252", "latin-1"):
        try:
            text.encode(codec).decode("utf-8")
        except UnicodeError:
            continue
        return True
    return False
