"""How a file can be read, its columns and what they seem to be, from its first bytes."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ncf_spark.inputs import text
from ncf_spark.inputs.consent import means_no_mail
from ncf_spark.inputs.text import HEAD_BYTES, Options

_SEPARATORS = (",", "::", ";", "\t", "|")
_NUM_ROWS = 1000
# A cell that is an address, a number or a time is no name of a column.
_VALUE = re.compile(
    r"\s*([^@\s]+@[^@\s]+\.[^@\s]+|[-+]?\d[\d.,]*|\d{1,4}[-./]\d\d?[-./]\d{1,4}(\D.*)?)\s*"
)

ADDRESS = re.compile(r"[^@\s]@[^@\s]+\.[^@\s]")
_SHA_256 = re.compile(r"^\s*[0-9a-fA-F]{64}\s*$")

# Usual names of columns in English, German, French and Spanish, without anything but letters and
# digits, the likelier first; `*` stands for any letters.
_WORDS = {
    "user": "userid customerid customer user visitorid clientid memberid externalid buyerid uid"
    " kundennummer kundennr kundenr kundenid kunde nutzerid nutzer client idclient utilisateur"
    " cliente idcliente usuario",
    "item": "itemid productid sku item product articleid stockcode productcode movieid article ean"
    " artikelnummer artikelnr artikelid artikel produktnummer produktid produkt artikel*"
    " produit idproduit producto idproducto articulo artículo",
    "time": "eventat eventtime eventtimestamp timestamp orderedat createdat orderdate ordertime"
    " purchasedat purchasedate invoicedate datetime date time ts dt at bestelltam bestelldatum"
    " kaufdatum datum zeitpunkt zeit datecommande datedecommande fecha fechapedido fechacompra",
    "sent_at": "sentat senttime sentdate senddate versendetam gesendetam",
    "type": "eventtype event eventname action kind type ereignis aktion typ evento acción tipo",
    "value": "rating amount value revenue bewertung betrag montant importe",
    "quantity": "quantity qty menge anzahl quantité quantite cantidad",
    "email": "email emailaddress mail customeremail useremail emailbilling emailadresse"
    " mailadresse courriel adresseemail correo correoelectrónico correoelectronico",
    "email_sha256": "*sha256* *hash*",
    "consent": "consent *email*consent acceptsemailmarketing acceptsmarketing *optin emailsubscribe"
    " *subscribed *consent newsletter newsletterstatus subscriptionstatus permission status"
    " *einwilligung *zustimmung *consentement *consentimiento *consenso",
    "locale": "locale language lang sprache langue idioma",
    "country": "country countrycode land landcode pays país pais",
    "segment": "segment customersegment kundengruppe kundensegment",
    "title": "title productname itemname name description artikelname produktname bezeichnung"
    " artikelbezeichnung titre nom titulo título nombre",
    "category": "category categories productcategory producttype genres kategorie warengruppe"
    " catégorie categorie categoría categoria",
    "price": "price unitprice preis einzelpreis prix precio",
    "url": "url link producturl productlink lien enlace",
    "image_url": "imageurl imagelink image imagesrc bild bildurl imagen",
    "brand": "brand vendor manufacturer marke hersteller marque marca",
    "in_stock": "instock availability available stock stockquantity inventory quantity qty bestand"
    " lagerbestand verfügbar verfügbarkeit disponibilité disponible disponibilidad existencias",
    "updated_at": "updatedat updated modifiedat modified lastmodified changedat changed geändertam"
    " geändert aktualisiertam modifiéle actualizado",
}
# Consent to these is none to mail, and everybody has a link to unsubscribe.
_NOT_OF_MAIL = re.compile("sms|push|whatsapp|phone|url$|link$|token$")

# By which values of time_format some texts are times.
TimeFormats = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True)
class Sniffed:
    """A file as it can be read.

    Args:
        options: of the reader.
        columns: their first values, as texts, without empty ones. Values within a nested column are
            columns of their own: user.id, items.item_id. Empty: the first bytes do not tell.
        nested: SQL for the latter: user.id, explode(items.item_id).
        has_names: whether the file names its columns; else they are `_c0`, `_c1`, … .
    """

    format: str
    options: Mapping[str, str]
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    nested: Mapping[str, str] = field(default_factory=dict)
    has_names: bool = True


def sniff(name: str, head: bytes) -> Sniffed | str:
    """How a file is written and what is in it; or why it cannot be read at all.

    Args:
        name: of the file.
        head: its first bytes, HEAD_BYTES or all of them.
    """
    for magic, kind in text.BINARY.items():
        if head.startswith(magic):
            return Sniffed(kind, {})
    content = text.unpack(name, head)
    found: dict[str, str] = {}
    if wide := text.find_utf_16(content):
        found = {"encoding": wide, "multiLine": "true"}
    elif text.find_problem(name, head, "text", Options({})) is not None:
        found = {"encoding": "windows-1252"}
    problem = text.find_problem(name, head, "text", Options(found))
    if problem is not None:
        return problem
    decoded = text.decode(content[:HEAD_BYTES], Options(found)).lstrip()
    if not decoded:
        return "is empty."
    if decoded[0] not in "{[":
        return _sniff_csv(content[:HEAD_BYTES], decoded, found, len(content) >= HEAD_BYTES)
    try:
        json.loads(decoded.partition("\n")[0])
    except ValueError:
        found["multiLine"] = "true"
    return sniff_records("json", found, _read_json(decoded))


def sniff_records(
    source_format: str, options: Mapping[str, str], records: Iterable[Mapping[str, Any]]
) -> Sniffed:
    """A file whose first records are known: {"user": {"id": 7}} has the column user.id."""
    columns, nested = dict[str, list[str]](), dict[str, str]()
    for name, given in itertools.chain.from_iterable(map(dict.items, map(dict, records))):
        is_list = isinstance(given, list) and bool(given)
        value = given[0] if is_list else given
        parts = {name: value}
        if isinstance(value, Mapping):
            parts = {f"{name}.{key}": part for key, part in value.items()}
        for path, part in parts.items():
            values = columns.setdefault(path, [])
            if is_list or path != name:
                nested[path] = f"explode({path})" if is_list else path
            if part not in (None, "") and not isinstance(part, (list, dict)):
                values.append(str(part))
    # A column that is null or an empty list in some records is known by the others.
    outer = {path.split(".")[0] for path in nested} - nested.keys()
    columns = {name: values for name, values in columns.items() if name not in outer}
    return Sniffed(source_format, options, columns, nested)


def _read_json(decoded: str) -> Iterator[dict[str, Any]]:
    """The first records of JSON's lines, or of an array; without one that is cut."""
    at, between = 0, re.compile(r"[\s,\[]*(?=\{)")
    while found := between.match(decoded, at):
        try:
            record, at = json.JSONDecoder().raw_decode(decoded, found.end())
        except ValueError:
            return
        yield record


def _sniff_csv(content: bytes, decoded: str, found: dict[str, str], is_cut: bool) -> Sniffed:
    first = re.sub(r'"[^"]*"', "", decoded.partition("\n")[0])
    sep = max(_SEPARATORS, key=first.count)
    if sep != ",":
        found["sep"] = sep.replace("\t", "\\t")
    if any(line.count('"') % 2 for line in decoded.splitlines()[:-1]):
        found["multiLine"] = "true"
    rows = list(itertools.islice(text.read_rows(content, Options(found)), _NUM_ROWS))
    has_names = not any(map(_VALUE.fullmatch, rows[0]))
    names = [cell if has_names and cell else f"_c{n}" for n, cell in enumerate(rows[0])]
    columns: dict[str, list[str]] = {name: [] for name in names}
    # The last line may be cut.
    for row in rows[has_names : -1 if is_cut else None]:
        for name, cell in zip(names, row, strict=False):
            if cell.strip():
                columns[name].append(cell)
    return Sniffed("csv", {**found, "header": str(has_names).lower()}, columns, {}, has_names)


def guess_roles(found: Sniffed, time_formats: TimeFormats) -> dict[str, str]:
    """The columns by what they seem to be: by their names, then by their values."""
    roles = {ours: names[0] for ours in _WORDS if (names := find_by_names(found, ours))}
    if opt_outs := find_opt_outs(found):
        roles["opt_out"] = opt_outs[0]
    _add_by_values(roles, found, time_formats)
    return roles


def find_by_names(found: Sniffed, ours: str) -> list[str]:
    """The columns whose names are usual for one of ours, the likeliest first."""
    words = dict[str, str]()
    for name in found.columns:
        if ours == "consent" and (means_no_mail(name) or not _is_of_mail(name)):
            continue
        for part in (name, name.rsplit(".", 1)[-1] if name in found.nested else name):
            words.setdefault("".join(filter(str.isalnum, part.casefold())), name)
    patterns = _WORDS[ours].split()
    return list(
        dict.fromkeys(words[w] for pattern in patterns for w in words if fnmatchcase(w, pattern))
    )


def find_opt_outs(found: Sniffed) -> list[str]:
    """The columns that hold something for people who get no mail."""
    return [name for name in found.columns if means_no_mail(name) and _is_of_mail(name)]


def _is_of_mail(name: str) -> bool:
    """Whether a column about consent is about mail."""
    return not _NOT_OF_MAIL.search("".join(filter(str.isalnum, name.casefold())))


def _add_by_values(roles: dict[str, str], found: Sniffed, time_formats: TimeFormats) -> None:
    """Addresses and times where no name tells; of a file without names also users and items."""
    times = dict[str, bool]()
    rest = list[str]()
    for name, values in found.columns.items():
        formats = time_formats(values)
        is_date = any("epoch" not in one for one in formats)
        if values and all(map(ADDRESS.search, values)):
            roles.setdefault("email", name)
        elif values and all(map(_SHA_256.search, values)):
            roles.setdefault("email_sha256", name)
        else:
            rest.append(name)
            # A number may be an id as well.
            if is_date or (formats and not found.has_names):
                times[name] = is_date
    if times:
        last = max(times, key=lambda name: (times[name], rest.index(name)))
        if roles.setdefault("time", last) == last:
            rest.remove(last)
    if found.has_names:
        return
    if found.options.get("sep") == "::" and len(found.columns) == 3:  # MovieLens' movies.dat
        roles |= zip(("item", "title", "category"), found.columns, strict=True)
        return
    ours = ["user"] if "email" in roles else ["user", "item", "value"]
    if roles.get("email") == "_c0" and "time" in roles:
        ours = ["item"]
    roles |= zip(ours, rest, strict=False)
