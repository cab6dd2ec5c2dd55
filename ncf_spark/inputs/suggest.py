"""A first configuration for a shop's tables, from the names of their columns and first values."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ncf_spark.inputs.canonical import masked
from ncf_spark.inputs.sniffing import (
    ADDRESS,
    Sniffed,
    TimeFormats,
    find_by_names,
    guess_roles,
)


class Export(NamedTuple):
    """An export of a known program: known by its columns, with what its section holds."""

    name: str
    section: str
    roles: Mapping[str, str]
    also: Sequence[str] = ()
    derived: Mapping[str, str] = {}
    more: Sequence[str] = ()


# The first whose columns are all there is taken.
EXPORTS = (
    Export(
        *("Shopify orders", "input"),
        {"user": "Email", "item": "Lineitem sku", "time": "Created at"},
        more=['time_format: "yyyy-MM-dd HH:mm:ss Z"'],
    ),
    Export(
        *("WooCommerce orders", "input"),
        {"user": "Customer User ID", "item": "SKU", "time": "Order Date"},
        more=['where: "`Customer User ID` <> 0"  # guests have no id of their own'],
    ),
    Export(
        *("GA4 events in BigQuery", "input"),
        {"user": "user_pseudo_id", "item": "item", "time": "event_timestamp", "type": "event_name"},
        ["items"],
        {"item": "explode(items.item_id)"},
        [
            "time_format: epoch_micros",
            "event_weights: {view_item: 1.0, add_to_cart: 3.0, purchase: 5.0}",
            "where: event_name in ('view_item', 'add_to_cart', 'purchase')",
        ],
    ),
    Export(
        *("Mailchimp cleaned members", "suppressions"), {"email": "Email Address"}, ["CLEAN_TIME"]
    ),
    Export(
        *("Mailchimp unsubscribed members", "suppressions"),
        {"email": "Email Address"},
        ["UNSUB_TIME"],
    ),
    Export(
        *("Mailchimp subscribed members", "recipients"),
        {"user": "Email Address", "email": "Email Address", "consent": "consent"},
        ["OPTIN_TIME"],
        {"consent": "'subscribed'"},
    ),
    Export(
        *("Google Merchant products", "catalogue"),
        {"item": "id", "title": "title", "url": "link", "in_stock": "availability"},
    ),
    Export(
        *("Shopify products", "catalogue"),
        {"item": "Variant SKU", "title": "Title", "price": "Variant Price"},
        more=["where: \"`Variant SKU` <> ''\"  # lines of pictures have none"],
    ),
)

# What each section needs, then what else it takes.
_SECTIONS = {
    "input": (("user", "item"), ("time", "type", "value")),
    "catalogue": (
        ("item",),
        ("title", "category", "price", "url", "image_url", "brand", "in_stock", "updated_at"),
    ),
    "recipients": (("user", "consent"), ("email", "locale", "country", "segment")),
    "suppressions": ((), ("email", "email_sha256", "user")),
    "send_log": (("user", "sent_at"), ("item",)),
    "outcomes": (("user", "type", "time"), ("value",)),
}
_TIMES = ("time", "updated_at", "sent_at")
# Files of those who get no mail.
_NO_MAIL = re.compile(
    r"unsub|suppress|bounc|complain|opt.?out|block|black.?list|cleaned|do.?not|spam|robinson"
    r"|abmeld|abgemeld|gesperrt|sperrliste|d[eé]sabo"
)
# What a column of those who get no mail holds for all others.
_NOT_SET = ("", "[]", "false", "f", "no", "n", "0", "0.0", "null", "none", "nan")
_NUMBER = re.compile(r"\s*-?\d+(\.\d+)?\s*")
# What YAML reads as a text without quotes, but for some words.
_PLAIN = re.compile(r"""(\.{0,2}/)?[^\W\d][^:#,?{}\[\]"'\\\s]*( [^:#,?{}\[\]"'\\\s]+)*""")
_WORDS_OF_YAML = ("true", "false", "yes", "no", "on", "off", "y", "n", "null")
_FEW, _MOST_NAMES = 20, 20


class Suggestion(NamedTuple):
    """The lines of a section for one table: its file, and what it is taken for."""

    section: str
    file: str
    kind: str
    lines: Sequence[str]


@dataclass
class _Draft:
    """A section while it is written. In `columns`, "?" is not known, and None is not there."""

    found: Sniffed
    columns: dict[str, str | None]
    derived: dict[str, str] = field(default_factory=dict)
    more: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)


def suggest(path: str, file: str, found: Sniffed, time_formats: TimeFormats) -> Suggestion | str:
    """The section that reads a table; or why none can be suggested.

    Args:
        path: of the table, for the configuration.
        file: its name, by which a list of those who get no mail is known.
    """
    roles = guess_roles(found, time_formats)
    export = _find_export(found)
    section = export.section if export else _choose_section(roles)
    is_list = roles.keys() & {"user", "email", "email_sha256"} and _NO_MAIL.search(file.casefold())
    if is_list and section != "catalogue" and not (found.has_names and "item" in roles):
        export, section = None, "suppressions"
    if section is None:
        return (
            f"is no table that is known by its columns {_listed(list(found.columns))}. Events have "
            "a user and an item, a catalogue an item and a title, recipients an address, or a user "
            "and a consent; a list of those who get no mail is known by its name: unsubscribed.csv."
        )
    draft = _draft(section, found, roles, export, time_formats)
    kind = export.name if export else "A guess by the names and values of its columns"
    return Suggestion(section, file, kind, _write(path, draft))


def write_config(shop: str, suggestions: Sequence[Suggestion], problems: Sequence[str] = ()) -> str:
    """A configuration with a section for each kind of table, as YAML.

    Args:
        shop: its name.
        problems: of files without a suggestion.
    """
    file = f"conf/{shop}.yaml"
    parts = [
        f"# A first configuration: write it into {file}, correct it, and run\n"
        f"# jobs/check_input.py --config {file}\nstorage: {{warehouse: ./warehouse/{shop}}}"
    ]
    for section in dict.fromkeys(one.section for one in suggestions):
        same = [one for one in suggestions if one.section == section]
        if section == "suppressions":
            parts.append("\n".join([f"{section}:", *_write_lists(same)]))
            continue
        lines = [f"# {same[0].kind}", f"{section}:", *_indented(same[0].lines)]
        for one in same[1:]:
            lines.append(
                f"# also looks like {section}: {one.file} ({one.kind}): keep one, or put files "
                "with the same columns into one folder"
            )
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, *(f"# {_on_one_line(problem)}" for problem in problems)])


def _write_lists(lists: Sequence[Suggestion]) -> list[str]:
    lines, names = list[str](), set[str]()
    for one in lists:
        name = to_name(one.file.split(".")[0], "list")
        while name in names:
            name += "_2"
        names.add(name)
        lines += [f"# {one.kind}", f"{name}:", *_indented(one.lines)]
    return _indented(lines)


def to_name(text: str, otherwise: str) -> str:
    """A text as a name for YAML and files: small letters, digits and `_`."""
    name = re.sub(r"\W+", "_", text.casefold()).strip("_")
    return name if name and _quoted(name) == name else f"{otherwise}_{name}".strip("_")


def _find_export(found: Sniffed) -> Export | None:
    present = {name.strip().casefold() for name in found.columns}
    present |= {name.split(".")[0].casefold() for name in found.nested}
    for export in EXPORTS:
        wanted = {*export.roles.values(), *export.also} - export.derived.keys()
        if {name.casefold() for name in wanted} <= present:
            return export
    return None


def _choose_section(roles: Collection[str]) -> str | None:
    has = {*roles}
    is_of_people = bool(has & {"user", "email"})
    tests = {
        "send_log": is_of_people and "sent_at" in has,
        "input": is_of_people and "item" in has,
        "recipients": "email" in has or ("user" in has and bool(has & {"consent", "opt_out"})),
        "suppressions": "email_sha256" in has,
        "catalogue": "item" in has and bool(has & {*_SECTIONS["catalogue"][1]}),
        "outcomes": has >= {"user", "type", "time"},
        # One of its columns is not found.
        "input ": "time" in has and bool(has & {"user", "item"}),
    }
    return next((section.strip() for section, holds in tests.items() if holds), None)


def _draft(
    section: str,
    found: Sniffed,
    roles: Mapping[str, str],
    export: Export | None,
    time_formats: TimeFormats,
) -> _Draft:
    needs, others = _SECTIONS[section]
    draft = _Draft(found, {ours: roles.get(ours, "?") for ours in needs})
    draft.columns |= {ours: roles[ours] for ours in others if ours in roles}
    if draft.columns.get("user") == "?":
        draft.columns["user"] = roles.get("email", "?")
    if export:
        names = {name.strip().casefold(): name for name in found.columns}
        columns = {ours: names.get(name.casefold(), name) for ours, name in export.roles.items()}
        draft = _Draft(found, {**columns}, {**export.derived}, [*export.more])
        draft.used |= {*export.also}
    draft.used |= {name for name in draft.columns.values() if name}
    if section == "input":
        _add_to_input(draft, roles)
    if section == "recipients":
        _add_to_recipients(draft)
    _add_time_format(draft, section, time_formats)
    for ours, name in draft.columns.items():
        if name and name in found.nested:
            draft.derived[ours], draft.columns[ours] = found.nested[name], ours
    if missing := [ours for ours, name in draft.columns.items() if name == "?"]:
        draft.comments.append(f'"?": no column tells {" and ".join(missing)}; write its name there')
    return draft


def _add_to_input(draft: _Draft, roles: Mapping[str, str]) -> None:
    columns, found, settings = draft.columns, draft.found, " ".join(draft.more)
    user, quantity, kind = columns["user"], roles.get("quantity"), columns.get("type")
    if any(map(ADDRESS.search, found.columns.get(str(user), ()))) or user == roles.get("email"):
        ours = "customer" if "customer" not in found.columns else "address"
        draft.derived[ours], columns["user"] = f"lower(trim({_sql(found, str(user))}))", ours
    if "time" not in columns:
        columns["time"] = None
        draft.comments.append(
            "time: no column holds times; name one, or bring a test set (split.method: provided)"
        )
    if quantity and "where:" not in settings:
        draft.used.add(quantity)
        sql = _sql(found, quantity)
        if not all(map(_NUMBER.fullmatch, found.columns[quantity])):
            sql = f"try_cast(replace({sql}, ',', '.') as double)"
        where = _quoted(f"{sql} > 0")
        draft.more.append(f"where: {where}  # cancellations and returns are no purchases")
    if kind and "event_weights:" not in settings:
        types = {value.strip() for value in found.columns.get(kind, ()) if "@" not in value}
        weights = ", ".join(f"{_quoted(one)}: 1.0" for one in sorted(types)[:5])
        draft.comments.append(f"event_weights: {{{weights}}} names the types that count")


def _add_to_recipients(draft: _Draft) -> None:
    """A consent that is none for those who unsubscribed, bounced, or must not be contacted."""
    columns, found, consent = draft.columns, draft.found, str(draft.columns["consent"])
    opt_outs = find_by_names(found, "opt_out")
    if opt_outs:
        draft.used |= {*opt_outs}
        said = draft.derived.get("consent", f"cast({_sql(found, consent)} as string)")
        said = "'?'" if consent == "?" else said
        conditions = " and ".join(
            f"coalesce(lower(trim(cast({_sql(found, name)} as string))), '') in {_NOT_SET}"
            for name in opt_outs
        )
        draft.derived["consent"] = f"case when {conditions} then {said} else 'no' end"
        columns["consent"] = "consent"
        draft.comments.append(f"who has something in {_listed(opt_outs)} gets no mail")
        if consent == "?":
            draft.comments.append("'?': no column tells the consent; write its name instead")
    if others := [name for name in find_by_names(found, "consent") if name != consent]:
        draft.comments.append(f"{_listed(others)} may also say who agreed to mail")
    if columns["user"] == columns.get("email"):
        draft.comments.append(
            f"user: {columns['user']} is right only where the ids of the events are addresses"
        )


def _add_time_format(draft: _Draft, section: str, time_formats: TimeFormats) -> None:
    name = next((name for ours, name in draft.columns.items() if ours in _TIMES), None)
    values = draft.found.columns.get(str(name), ())
    if not values or any("time_format:" in line for line in draft.more):
        return
    # A few may be written otherwise, which the check says.
    formats = time_formats(values) or time_formats(values[:_FEW])
    if not formats:
        draft.more.append('time_format: "?"')
        some = " and ".join(map(_shown, dict.fromkeys(values[:2])))
        draft.comments.append(f"time_format: none that is known fits, write the pattern of {some}")
    elif "timestamp" not in formats:
        others = f"  # or {' or '.join(formats[1:])}" if formats[1:] else ""
        draft.more.append(f"time_format: {_quoted(formats[0])}{others}")
    elif section == "outcomes":
        draft.more.append("time_format: timestamp")


def _write(path: str, draft: _Draft) -> list[str]:
    found = draft.found
    options = [
        f"{key}: {value if value in ('true', 'false') else _quoted(value)}"
        for key, value in found.options.items()
    ]
    columns = [
        f"{ours}: {'null' if name is None else _quoted(name)}"
        for ours, name in draft.columns.items()
    ]
    unused = [n for n in found.columns if not {n, n.split(".")[0]} & draft.used]
    return [
        f"path: {_quoted(path)}",
        f"format: {found.format}",
        *([f"options: {{{', '.join(options)}}}"] if options else []),
        *(["derived:"] if draft.derived else []),
        *(f"  {name}: {_quoted(sql)}" for name, sql in draft.derived.items()),
        f"columns: {{{', '.join(columns)}}}",
        *draft.more,
        *(f"# {comment}" for comment in draft.comments),
        *([f"# not used: {_listed(unused)}"] if unused else []),
    ]


def _sql(found: Sniffed, name: str) -> str:
    """A column in SQL; of a list, the whole of it."""
    if name in found.nested:
        return name.split(".")[0] if "explode" in found.nested[name] else name
    return name if name.isidentifier() and name.isascii() else f"`{name}`"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(_shown, names[:_MOST_NAMES])) + more


def _shown(text: str) -> str:
    return _on_one_line(masked(text) if "@" in text else text)


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _quoted(text: str) -> str:
    """A text as YAML reads it."""
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_YAML
    return text if is_plain else json.dumps(text, ensure_ascii=False)
