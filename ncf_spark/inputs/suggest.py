"""A first configuration for common exports, from the first bytes of their files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ncf_spark.inputs.text import (
    Options,
    decode,
    find_problem,
    is_utf_16,
    read_header,
    unpack,
)


@dataclass(frozen=True)
class Sniffed:
    """How a file can be read, and the names of its columns."""

    format: str
    options: Mapping[str, str]
    columns: Sequence[str]


@dataclass(frozen=True)
class Export:
    """An export of a known program: known by its columns, with what to configure for it."""

    name: str
    section: str
    columns: tuple[str, ...]
    settings: tuple[str, ...]


# The first whose columns are all there is taken.
EXPORTS = (
    Export(
        "Shopify orders",
        "input",
        ("Email", "Created at", "Lineitem sku", "Lineitem quantity"),
        (
            "columns: {user: Email, item: Lineitem sku, time: Created at}",
            'time_format: "yyyy-MM-dd HH:mm:ss Z"',
        ),
    ),
    Export(
        "Shopify customers",
        "recipients",
        ("Email", "Accepts Email Marketing"),
        ("columns: {user: Email, email: Email, consent: Accepts Email Marketing}",),
    ),
    Export(
        "WooCommerce orders",
        "input",
        ("Order Date", "Customer User ID", "SKU"),
        (
            "columns: {user: Customer User ID, item: SKU, time: Order Date}",
            'where: "`Customer User ID` <> 0"  # guests have no id of their own',
        ),
    ),
    Export(
        "WooCommerce orders",
        "input",
        ("Order Date", "Email (Billing)", "SKU"),
        ("columns: {user: Email (Billing), item: SKU, time: Order Date}",),
    ),
    Export(
        "GA4 events in BigQuery",
        "input",
        ("event_timestamp", "event_name", "user_pseudo_id", "items"),
        (
            'derived: {item_id: "explode(items.item_id)"}',
            "columns: {user: user_pseudo_id, item: item_id, time: event_timestamp, "
            "type: event_name}",
            "time_format: epoch_micros",
            "event_weights: {view_item: 1.0, add_to_cart: 3.0, purchase: 5.0}",
            "where: \"event_name in ('view_item', 'add_to_cart', 'purchase')\"",
        ),
    ),
    Export(
        "Magento order items",
        "input",
        ("customer_id", "sku", "created_at"),
        ("columns: {user: customer_id, item: sku, time: created_at}",),
    ),
    Export(
        "Magento order items",
        "input",
        ("customer_email", "sku", "created_at"),
        ("columns: {user: customer_email, item: sku, time: created_at}",),
    ),
    Export(
        "MovieLens ratings",
        "input",
        ("userId", "movieId", "rating", "timestamp"),
        (
            "columns: {user: userId, item: movieId, time: timestamp, value: rating}",
            "time_format: epoch_seconds",
        ),
    ),
    Export(
        "MovieLens movies",
        "catalogue",
        ("movieId", "title", "genres"),
        ("columns: {item: movieId, title: title, category: genres}",),
    ),
    Export(
        "Klaviyo profiles",
        "recipients",
        ("Email", "Email Marketing Consent"),
        ("columns: {user: Email, email: Email, consent: Email Marketing Consent}",),
    ),
    Export(
        "Mailchimp cleaned or unsubscribed members",
        "suppressions",
        ("Email Address", "CLEAN_TIME"),
        ("columns: {email: Email Address}",),
    ),
    Export(
        "Mailchimp unsubscribed members",
        "suppressions",
        ("Email Address", "UNSUB_TIME"),
        ("columns: {email: Email Address}",),
    ),
    Export(
        "Mailchimp subscribed members",
        "recipients",
        ("Email Address", "OPTIN_TIME"),
        (
            "derived: {consent: \"'subscribed'\"}  # the file lists who subscribed",
            "columns: {user: Email Address, email: Email Address, consent: consent}",
        ),
    ),
    Export(
        "Google Merchant products",
        "catalogue",
        ("id", "title", "availability", "link"),
        ("columns: {item: id, title: title, url: link, in_stock: availability}",),
    ),
    Export(
        "Shopify products",
        "catalogue",
        ("Handle", "Title", "Variant SKU"),
        (
            "columns: {item: Variant SKU, title: Title, price: Variant Price}",
            "where: \"`Variant SKU` <> ''\"  # lines of pictures have none",
        ),
    ),
)

# Names that columns often have, in small letters without anything but letters and digits.
_USUAL = {
    "user": ("userid", "customerid", "customer", "user", "visitorid", "clientid", "email", "mail"),
    "item": ("itemid", "productid", "sku", "item", "product", "articleid", "stockcode"),
    "time": ("eventat", "timestamp", "createdat", "orderedat", "date", "time", "invoicedate"),
    "type": ("eventtype", "event", "eventname", "action"),
    "email": ("email", "emailaddress", "mail"),
    "consent": ("consent", "optin", "subscribed", "status", "acceptsmarketing"),
    "title": ("title", "name", "productname"),
    "price": ("price", "unitprice"),
}
# What each section needs, then what else it takes; the first whose needs are met is taken.
_SECTIONS = {
    "input": (("user", "item"), ("time", "type")),
    "recipients": (("user", "email", "consent"), ()),
    "suppressions": (("email",), ()),
    "catalogue": (("item", "title"), ("price",)),
}
# Of MovieLens' older files, which have no header.
_HEADERLESS = {"ratings.dat": "::", "u.data": "\\t"}


def sniff(name: str, head: bytes) -> Sniffed | str:
    """How a file is written; or why it cannot be read at all.

    Args:
        name: of the file.
        head: its first bytes.
    """
    for magic, kind in ((b"PAR1", "parquet"), (b"ORC", "orc"), (b"Obj\x01", "avro")):
        if head.startswith(magic):
            return Sniffed(kind, {}, [])
    content = unpack(name, head)
    found: dict[str, str] = {}
    if is_utf_16(content):
        found = {"encoding": "UTF-16", "multiLine": "true"}
    elif find_problem(name, head, "text", Options({})) is not None:
        found = {"encoding": "windows-1252"}
    problem = find_problem(name, head, "text", Options(found))
    if problem is not None:
        return problem
    text = decode(content, Options(found))
    if text.lstrip()[:1] in ("{", "["):
        return _sniff_json(text, found)
    return _sniff_csv(name, content, text, found)


def _sniff_json(text: str, found: Mapping[str, str]) -> Sniffed:
    line = text.lstrip().partition("\n")[0]
    try:
        record = json.loads(line)
    except ValueError:
        return Sniffed("json", {**found, "multiLine": "true"}, [])
    return Sniffed("json", found, list(record) if isinstance(record, dict) else [])


def _sniff_csv(name: str, content: bytes, text: str, found: dict[str, str]) -> Sniffed:
    sep = _HEADERLESS.get(name) or max((",", ";", "\t", "|"), key=text.partition("\n")[0].count)
    if sep != ",":
        found["sep"] = sep.replace("\t", "\\t")
    if name in _HEADERLESS:
        return Sniffed("csv", found, ["userId", "movieId", "rating", "timestamp"])
    found["header"] = "true"
    if any(line.count('"') % 2 for line in text.splitlines()[:-1]):
        found["multiLine"] = "true"
    return Sniffed("csv", found, read_header(content, Options(found)) or [])


def suggest(path: str, sniffed: Sniffed) -> str:
    """The section of a configuration that reads an export, as YAML."""
    export = _find_export(sniffed.columns) or _guess(sniffed.columns)
    own = [f"path: {_quoted(path)}", f"format: {sniffed.format}"]
    if sniffed.options:
        options = ", ".join(f"{key}: {_quoted(value)}" for key, value in sniffed.options.items())
        own.append(f"options: {{{options}}}")
    if path.rsplit("/", 1)[-1] in _HEADERLESS:
        own.append("ddl: userId STRING, movieId STRING, rating DOUBLE, timestamp LONG")
    own += export.settings
    if export.section == "suppressions":
        own = ["listed:", *(f"  {line}" for line in own)]
    return "\n".join([f"# {export.name}", f"{export.section}:", *(f"  {line}" for line in own)])


def _find_export(columns: Sequence[str]) -> Export | None:
    present = {column.strip().casefold() for column in columns}
    for export in EXPORTS:
        if all(column.casefold() in present for column in export.columns):
            return export
    return None


def _guess(columns: Sequence[str]) -> Export:
    """What the names of columns suggest; `?` stands where none does."""
    letters = {"".join(filter(str.isalnum, column.casefold())): column for column in columns}
    usual = {
        ours: next((letters[name] for name in names if name in letters), None)
        for ours, names in _USUAL.items()
    }
    fitting = (name for name, (needs, _) in _SECTIONS.items() if all(usual[n] for n in needs))
    section = next(fitting, "input")
    needs, others = _SECTIONS[section]
    chosen = {ours: usual[ours] or "?" for ours in needs}
    chosen |= {ours: name for ours in others if (name := usual[ours])}
    listed = ", ".join(f"{ours}: {_quoted(name)}" for ours, name in chosen.items())
    name = f"A guess by the names of the columns: {', '.join(columns)}"
    return Export(name, section, (), (f"columns: {{{listed}}}",))


def _quoted(value: str) -> str:
    is_plain = all(letter.isalnum() or letter in "_- ./" for letter in value)
    return value if is_plain and value == value.strip() else json.dumps(value, ensure_ascii=False)
