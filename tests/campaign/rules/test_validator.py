"""Each rule is seen to be broken, in a shop of a few rows; no Spark is needed."""

from __future__ import annotations

import hashlib
from typing import Any

import duckdb
import pytest

from tests.campaign.rules.validator import QUERIES, K, count_violations

TABLES = {
    "items": "item_id text, title text, url text, category text, brand text, price double, "
    "pieces int, since text, until text, countries text",
    "recipients": "user_id text, email text, country text, segment text, consent text",
    "raw_events": "user_id text, item_id text, event_type text, event_at text",
    "send_log": "user_id text, item_id text, campaign text, sent_at timestamp",
    "complained": "user_id text",
    "unsubscribed": "email text",
    "bounced": "sha text",
    "sent": "user_id text, arm text, "
    + ", ".join(
        f"{name}_{n} text"
        for n in range(1, K + 1)
        for name in ("item", "score", "source", "title", "url", "price")
    ),
}
ITEM = {
    **{"title": "Tea", "url": "http://tea", "price": 10.0, "pieces": 7, "since": "2026-11-01"},
    **dict.fromkeys(("category", "brand", "until", "countries")),
}
PERSON = {"email": None, "country": "DE", "segment": "new", "consent": "yes"}
LIST = [f"i{n}" for n in range(1, K + 1)]
ADDRESS = {"email": "ana@x"}


def insert(shop: duckdb.DuckDBPyConnection, table: str, row: dict[str, Any]) -> None:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    shop.execute(f"insert into {table} ({names}) values ({marks})", list(row.values()))


def slots(shown: list[str | None], source: str, score: float) -> dict[str, str]:
    """The cells of a list in a row of the file; None leaves a slot out."""
    found = {}
    for n, item in enumerate(shown, start=1):
        if item is not None:
            cells = {"item": item, "score": score, "source": source, "title": "Tea"}
            cells |= {"url": "http://tea", "price": "10.00"}
            found |= {f"{name}_{n}": str(cell) for name, cell in cells.items()}
    return found


def broken(
    items: dict[str, dict[str, Any]] | None = None,
    people: dict[str, dict[str, Any]] | None = None,
    sent: list[tuple[str, dict[str, Any]]] | None = None,
    **tables: list[tuple[Any, ...]],
) -> dict[str, int]:
    """The rules that are broken, and how often, where ana is sent ten items.

    Args:
        items: other values of some items.
        people: of some users.
        sent: who gets a list instead, each with other values in it.
        tables: rows of the other tables.
    """
    items, people, sent = items or {}, people or {}, sent or [("ana", {})]
    with duckdb.connect(config={"threads": 1}) as shop:
        for table, columns in TABLES.items():
            shop.execute(f"create table {table} ({columns})")
        for name in [*LIST, "i00001"]:
            insert(shop, "items", {"item_id": name, **ITEM, **items.get(name, {})})
        for name in ("ana", "ben", "cem"):
            insert(shop, "recipients", {"user_id": name, **PERSON, **people.get(name, {})})
        for user, changes in sent:
            given = {"shown": LIST, "source": "model", "score": 0.5, "arm": "model", **changes}
            row = slots(given.pop("shown"), given.pop("source"), given.pop("score"))
            insert(shop, "sent", {"user_id": user, **row, **given})
        for table, rows in tables.items():
            marks = ", ".join("?" * len(rows[0]))
            shop.executemany(f"insert into {table} values ({marks})", rows)
        return {name: count for name, count in count_violations(shop, 2).items() if count}


def ana(**changes: Any) -> dict[str, Any]:
    return {"sent": [("ana", changes)]}


def mails(*days: int) -> list[tuple[Any, ...]]:
    return [("ana", "other", "summer", f"2026-11-{day:02}") for day in days]


def kinds(column: str, *values: str) -> dict[str, dict[str, str]]:
    """The first items are of these kinds."""
    return {f"i{n}": {column: value} for n, value in enumerate(values, start=1)}


HASHED = hashlib.sha256(b"ana@x").hexdigest().upper()
LATER = {"since": "2026-11-25"}
OF_COUNTRY, OF_ALL = "best-sellers of the country", "best-sellers of everyone"


def order(user: str, at: str | None = "2026-11-20T12:00:00Z") -> dict[str, Any]:
    return {"raw_events": [(user, "i1", "order", at)]}


CASES = [
    ({}, {}),
    ({"people": {"ana": {"consent": "", **ADDRESS}}}, {"consent": 1}),
    ({"complained": [("ana",)]}, {"complained": 1}),
    ({"people": {"ana": ADDRESS}, "unsubscribed": [(" ANA@x ",)]}, {"unsubscribed": 1}),
    ({"people": {"ana": {"email": " Ana@X"}}, "bounced": [(HASHED,)]}, {"bounced": 1}),
    (
        {"people": {"ana": ADDRESS, "ben": {"email": " Ana@X", "consent": "no"}}},
        {"shared address": 1},
    ),
    ({"people": {"ana": {"segment": None}}}, {"audience": 1}),
    ({"send_log": mails(10, 11, 12)}, {"frequency": 1}),
    ({"send_log": [*mails(9, 11, 12), *mails(11)]}, {}),
    (
        {
            "people": {"ana": ADDRESS, "ben": {"email": "Ana@x "}},
            "sent": [("ana", {}), ("ben", {})],
        },
        {"one mail an address": 1},
    ),
    ({"sent": [("ana", {})] * 2}, {"one row a user": 1, "no slot left out": 1}),
    (ana(arm="holdout"), {"arms": 1}),
    (ana(arm="popular"), {"popular gets best-sellers": 10}),
    (ana(source="bestseller_here"), {OF_COUNTRY: 10}),
    ({**ana(source="bestseller_here"), **order("ben")}, {OF_COUNTRY: 9}),
    ({**ana(source="bestseller"), **order("ben", "2026-07-20T12:00:00Z")}, {OF_ALL: 10}),
    ({**ana(source="bestseller"), **order("ben")}, {OF_ALL: 9}),
    (ana(shown=["gone", *LIST[1:]]), {"in the catalogue": 1}),
    ({"items": {"i1": {"pieces": 0}}}, {"stock": 1}),
    ({"items": {"i1": LATER, "i2": {"until": "2026-11-24"}}}, {"dates": 2}),
    ({"items": {"i1": {"until": "2026-11-25", "since": "2026-11-24"}}}, {}),
    ({"items": {"i1": {"title": None}, "i2": {"url": None}}}, {"required": 2}),
    (ana(shown=["i00001", *LIST[1:]]), {"deny": 1}),
    ({**ana(price_1="4.99"), "items": {"i1": {"price": 4.99}}}, {"price": 1}),
    ({**ana(price_1="90.01"), "items": {"i1": {"price": 90.01}}}, {"price": 1}),
    ({"items": {"i1": {"brand": "b3"}}}, {"where": 1}),
    ({"items": {"i1": {"countries": "FR, AT"}}}, {"country": 1}),
    ({"items": {"i1": {"countries": "DE"}}, "people": {"ana": {"country": None}}}, {"country": 1}),
    (order("ana", "2020-01-01T12:00:00Z"), {"bought": 1}),
    ({"items": kinds("category", "c5"), **order("ana", None)}, {"bought": 1}),
    ({"items": kinds("category", "c5"), **order("ana", "2026-10-20T12:00:00Z")}, {}),
    ({"raw_events": [("ana", "i1", "cart", None), ("ana", "i2", "wish", None)]}, {"wanted": 2}),
    ({"send_log": [("ana", "i1", "summer", "2026-11-10")]}, {"sent lately": 1}),
    ({"sent": [(user, {}) for user in ("ana", "ben", "cem")]}, {"exposures": 10}),
    ({"items": kinds("category", *["hot"] * 4)}, {"per category": 1}),
    ({"items": kinds("brand", *["b1"] * 3)}, {"per brand": 1}),
    ({"items": kinds("category", *["hot", "cold", "ice"] * 3)}, {"categories": 1}),
    (ana(shown=LIST[:5]), {"categories": 1, "enough items": 1}),
    (ana(shown=[*LIST[:3], None, *LIST[3:9]]), {"no slot left out": 1}),
    (ana(score=-0.1), {"score": 10}),
    (ana(title_1="Rum", url_2="http://rum", price_3="10.01"), {"cells": 3}),
]


@pytest.mark.parametrize(("changes", "expected"), CASES)
def test_the_lists_of_a_file_break_these_rules_and_no_others(changes, expected):
    assert broken(**changes) == expected


def test_each_rule_is_shown_to_be_broken():
    assert {name for _, expected in CASES for name in expected} == set(QUERIES)
