"""Which section of the configuration reads a table, from the names and values of its columns."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ncf_spark.inputs.consent import means_no_mail
from ncf_spark.inputs.sniffing import (
    ADDRESS,
    Sniffed,
    TimeFormats,
    find_by_names,
    find_opt_outs,
    guess_roles,
)
from ncf_spark.inputs.suggestion import Suggestion, listed, shown, to_yaml


class Export(NamedTuple):
    """An export of a known program.

    Args:
        section: the section that it belongs in.
        columns: our columns and the export's, by which it is known.
        also: further columns by which it is known.
        derived, settings, comments: as of Suggestion.
    """

    name: str
    section: str
    columns: Mapping[str, str]
    also: Sequence[str] = ()
    derived: Mapping[str, str] = {}
    settings: Mapping[str, Any] = {}
    comments: Sequence[str] = ()

    @property
    def known_by(self) -> set[str]:
        """The columns that the export must have."""
        return {*self.columns.values(), *self.also} - self.derived.keys()


# The first whose columns are all present is taken.
EXPORTS = (
    Export(
        *("Shopify orders", "input"),
        {"user": "Email", "item": "Lineitem sku", "time": "Created at"},
        settings={"time_format": "yyyy-MM-dd HH:mm:ss Z"},
    ),
    Export(
        *("WooCommerce orders", "input"),
        {"user": "Customer User ID", "item": "SKU", "time": "Order Date"},
        settings={"where": "`Customer User ID` <> 0"},
        comments=["where: guests have no id"],
    ),
    Export(
        *("GA4 events in BigQuery", "input"),
        {"user": "user_pseudo_id", "item": "item", "time": "event_timestamp", "type": "event_name"},
        ["items"],
        {"item": "explode(items.item_id)"},
        {
            "time_format": "epoch_micros",
            "event_weights": {"view_item": 1.0, "add_to_cart": 3.0, "purchase": 5.0},
            "where": "event_name in ('view_item', 'add_to_cart', 'purchase')",
        },
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
        settings={"where": "`Variant SKU` <> ''"},
        comments=["where: rows of pictures have no SKU"],
    ),
)

# The columns that each section needs, then those that it may have.
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
# What an opt-out column holds for people who did not opt out.
_NOT_SET = ("", "[]", "false", "f", "no", "n", "0", "0.0", "null", "none", "nan")
_NUMBER = re.compile(r"\s*-?\d+(\.\d+)?\s*")
_NUM_TRIED = 20


def suggest(path: str, file: str, found: Sniffed, time_formats: TimeFormats) -> Suggestion | str:
    """The section that reads a table; or why none can be suggested.

    Args:
        path: of the table, for the configuration.
        file: its name, by which a list of people who get no mail is known.
    """
    roles = guess_roles(found, time_formats)
    export = _find_export(found)
    section = export.section if export else _choose_section(roles)
    if section != "catalogue" and _is_suppression_list(file, found, roles):
        export, section = None, "suppressions"
    if section is None:
        return (
            f"is no table that is known by its columns {listed(list(found.columns))}. Events have "
            "a user and an item, a catalogue an item and a title, recipients an address, or a user "
            "and a consent; a list of people who get no mail is known by its name: "
            "unsubscribed.csv."
        )
    suggestion = Suggestion(section, path, file, found)
    _add_columns(suggestion, roles, export)
    if section == "input":
        _add_to_input(suggestion, roles)
    if section == "recipients":
        _add_to_recipients(suggestion)
    _add_time_format(suggestion, time_formats)
    _derive_nested(suggestion)
    return suggestion


def _find_export(found: Sniffed) -> Export | None:
    present = {name.strip().casefold() for name in found.columns}
    present |= {name.split(".")[0].casefold() for name in found.nested}
    for export in EXPORTS:
        if {name.casefold() for name in export.known_by} <= present:
            return export
    return None


def _choose_section(roles: Collection[str]) -> str | None:
    has = {*roles}
    is_of_people = bool(has & {"user", "email"})
    tests = [
        ("send_log", is_of_people and "sent_at" in has),
        ("input", is_of_people and "item" in has),
        ("recipients", "email" in has or ("user" in has and bool(has & {"consent", "opt_out"}))),
        ("suppressions", "email_sha256" in has),
        ("catalogue", "item" in has and bool(has & {*_SECTIONS["catalogue"][1]})),
        ("outcomes", has >= {"user", "type", "time"}),
        # The user or the item is missing.
        ("input", "time" in has and bool(has & {"user", "item"})),
    ]
    return next((section for section, holds in tests if holds), None)


def _is_suppression_list(file: str, found: Sniffed, roles: Collection[str]) -> bool:
    """Whether it is a list of people who get no mail: only its file's name says so."""
    has_items = found.has_names and "item" in roles
    is_of_people = bool({"user", "email", "email_sha256"} & {*roles})
    return is_of_people and not has_items and means_no_mail(file)


def _add_columns(to: Suggestion, roles: Mapping[str, str], export: Export | None) -> None:
    """The columns of an export, or those that are guessed."""
    if export:
        names = {name.strip().casefold(): name for name in to.found.columns}
        to.kind = export.name
        to.columns = {our: names.get(n.casefold(), n) for our, n in export.columns.items()}
        to.derived, to.settings = {**export.derived}, {**export.settings}
        to.comments, to.used = [*export.comments], {*export.also}
    else:
        needs, others = _SECTIONS[to.section]
        to.columns = {ours: roles.get(ours, "?") for ours in needs}
        to.columns |= {ours: roles[ours] for ours in others if ours in roles}
        if to.columns.get("user") == "?":
            to.columns["user"] = roles.get("email", "?")
    to.used |= {name for name in to.columns.values() if name}


def _add_to_input(to: Suggestion, roles: Mapping[str, str]) -> None:
    columns, found = to.columns, to.found
    user, kind = str(columns["user"]), columns.get("type")
    if any(map(ADDRESS.search, found.columns.get(user, ()))) or user == roles.get("email"):
        ours = "customer" if "customer" not in found.columns else "address"
        to.derived[ours], columns["user"] = f"lower(trim({_sql(found, user)}))", ours
    if "time" not in columns:
        columns["time"] = None
        to.comments.append(
            "time: no column holds times; name one, or bring a test set (split.method: provided)"
        )
    if "quantity" in roles and "where" not in to.settings:
        _add_quantity(to, roles["quantity"])
    if kind and "event_weights" not in to.settings:
        types = {value.strip() for value in found.columns.get(kind, ()) if "@" not in value}
        weights = to_yaml(dict.fromkeys(sorted(types)[:5], 1.0))
        to.comments.append(f"event_weights: {weights} names the types that count")


def _add_quantity(to: Suggestion, name: str) -> None:
    """A filter of the rows that are no purchases."""
    sql = _sql(to.found, name)
    if not all(map(_NUMBER.fullmatch, to.found.columns[name])):
        sql = f"try_cast(replace({sql}, ',', '.') as double)"
    to.used.add(name)
    to.settings["where"] = f"{sql} > 0"
    to.comments.append("where: cancellations and returns are no purchases")


def _add_to_recipients(to: Suggestion) -> None:
    """What to check about the consent, and about ids that are addresses."""
    columns, consent = to.columns, str(to.columns["consent"])
    opt_outs = find_opt_outs(to.found)
    if opt_outs:
        _add_opt_outs(to, consent, opt_outs)
    if others := [name for name in find_by_names(to.found, "consent") if name != consent]:
        to.comments.append(f"{listed(others)} may also say who agreed to mail")
    if columns["user"] == columns.get("email"):
        to.comments.append(
            f"user: {columns['user']} is right only where the ids of the events are addresses"
        )


def _add_opt_outs(to: Suggestion, consent: str, opt_outs: Sequence[str]) -> None:
    """A consent that is a no for everyone who unsubscribed, bounced, or must not be contacted."""
    agreed = to.derived.get("consent", f"cast({_sql(to.found, consent)} as string)")
    if consent == "?":
        agreed = "'?'"
        to.comments.append("'?': no column tells the consent; write its name instead")
    conditions = " and ".join(
        f"coalesce(lower(trim(cast({_sql(to.found, name)} as string))), '') in {_NOT_SET}"
        for name in opt_outs
    )
    to.derived["consent"] = f"case when {conditions} then {agreed} else 'no' end"
    to.columns["consent"] = "consent"
    to.used |= {*opt_outs}
    to.comments.append(f"people with a value in {listed(opt_outs)} get no mail")


def _add_time_format(to: Suggestion, time_formats: TimeFormats) -> None:
    name = next((name for ours, name in to.columns.items() if ours in _TIMES), None)
    values = to.found.columns.get(str(name), ())
    if not values or "time_format" in to.settings:
        return
    # If a few values are written differently, the check says so.
    formats = time_formats(values) or time_formats(values[:_NUM_TRIED])
    if not formats:
        to.settings["time_format"] = "?"
        some = " and ".join(map(shown, dict.fromkeys(values[:2])))
        to.comments.append(f"time_format: no known format fits; write the pattern of {some}")
    elif "timestamp" not in formats:
        to.settings["time_format"] = formats[0]
        if formats[1:]:
            to.comments.append(f"time_format: or {' or '.join(formats[1:])}")
    elif to.section == "outcomes":
        to.settings["time_format"] = "timestamp"


def _derive_nested(to: Suggestion) -> None:
    """Derives columns that are within others, and says which columns are not known."""
    for ours, name in to.columns.items():
        if name and name in to.found.nested:
            to.derived[ours], to.columns[ours] = to.found.nested[name], ours
    if missing := [ours for ours, name in to.columns.items() if name == "?"]:
        to.comments.append(f'"?": no column tells {" and ".join(missing)}; write its name there')


def _sql(found: Sniffed, name: str) -> str:
    """A column in SQL; of a list, the whole of it."""
    if name in found.nested:
        return name.split(".")[0] if "explode" in found.nested[name] else name
    return name if name.isidentifier() and name.isascii() else f"`{name}`"
