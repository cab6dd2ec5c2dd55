"""A generated shop in which every rule of a campaign has something to bar, as a customer's files.

All rows follow from the number of recipients and a seed. Tables that the steps before the export
write (the model's lists among them) are made up too: they obey no rule, so that the export must.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date, datetime, timezone
from pathlib import Path

import numpy as np
import pandas as pd

RUN_DATE = date(2026, 11, 23)
ENDS_AT = datetime(2026, 11, 24, tzinfo=timezone.utc)
NUM_ITEMS, K_SCORED = 400, 40
# How tools write an address.
WRITTEN = ("{}", " {}", "{}\u00a0", "\u200b{}", "mailto:{}", "Customer <{}>")
# Items with events that the catalogue lacks.
NUM_UNKNOWN = 8
COUNTRIES = np.array(["DE", "AT", "FR", "NL", None], dtype=object)
SEGMENTS = np.array(["new", "loyal", "staff", None], dtype=object)


def items(generator: np.random.Generator) -> pd.DataFrame:
    """One row an item; every twentieth lacks something, and so on for each rule."""
    n = np.arange(NUM_ITEMS)

    def some(share: float) -> np.ndarray:
        return generator.random(NUM_ITEMS) < share

    later, earlier = "2026-12-01", "2026-11-01"
    return pd.DataFrame(
        {
            "item_id": [f"i{k:05}" for k in n],
            "title": np.where(some(0.03), None, [f"Article {k}" for k in n]),
            "url": np.where(some(0.03), None, [f"https://shop.example/{k}" for k in n]),
            "category": np.where(some(0.05), None, [f"c{k % 12}" for k in n]),
            "brand": np.where(some(0.2), None, [f"b{k % 30}" for k in n]),
            "price": np.round(np.exp(generator.normal(3, 1, NUM_ITEMS)), 2),
            "pieces": np.where(some(0.05), 0, 7),
            "since": np.where(some(0.04), later, earlier),
            "until": np.where(some(0.04), earlier, np.where(some(0.5), later, None)),
            "countries": np.where(some(0.1), "DE, AT", np.where(some(0.1), "FR", None)),
        }
    )


def events(generator: np.random.Generator, num_users: int) -> pd.DataFrame:
    """Twelve events a user on the mean, above all of popular items; some have no time."""
    size = 12 * num_users
    # Of the last fifth of the users nothing is known.
    user = generator.integers(0, max(1, num_users * 4 // 5), size)
    item = np.floor(generator.random(size) ** 2 * NUM_ITEMS).astype(int)
    unknown = NUM_ITEMS + generator.integers(0, NUM_UNKNOWN, size)
    item = np.where(generator.random(size) < 0.03, unknown, item)
    ago = generator.integers(0, 200 * 86400, size)
    times = pd.to_datetime(ENDS_AT.replace(tzinfo=None)) - pd.to_timedelta(ago + 1, unit="s")
    text = pd.Series(times).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return pd.DataFrame(
        {
            "user_id": [f"u{k:06}" for k in user],
            "item_id": [f"i{k:05}" for k in item],
            "event_at": np.where(generator.random(size) < 0.01, None, text),
            "event_type": generator.choice(
                ["view", "order", "cart", "wish"], size, p=[0.6, 0.2, 0.1, 0.1]
            ),
        }
    )


def recipients(generator: np.random.Generator, num_users: int) -> pd.DataFrame:
    """One row a user: some share an address, which is written otherwise, and some refuse."""
    n = np.arange(num_users)
    shares = generator.random(num_users) < 0.1
    owner = np.where(shares, generator.integers(0, num_users, num_users), n)
    address = [
        WRITTEN[k % 5].format(f"User{k}@Mail.example") if s else f"user{k}@mail.example"
        for k, s in zip(owner, shares, strict=True)
    ]
    sent = pd.to_datetime(ENDS_AT.replace(tzinfo=None)) - pd.to_timedelta(
        generator.integers(1, 30, num_users), unit="D"
    )
    return pd.DataFrame(
        {
            "user_id": [f"u{k:06}" for k in n],
            "email": np.where(generator.random(num_users) < 0.03, None, address),
            "country": COUNTRIES[generator.integers(0, len(COUNTRIES), num_users)],
            "segment": SEGMENTS[generator.integers(0, len(SEGMENTS), num_users)],
            "consent": generator.choice(["yes", "no", ""], num_users, p=[0.9, 0.05, 0.05]),
            "last_sent_at": np.where(
                generator.random(num_users) < 0.2, pd.Series(sent).dt.strftime("%Y-%m-%d"), None
            ),
        }
    )


def send_log(generator: np.random.Generator, num_users: int) -> pd.DataFrame:
    """Two mails a user on the mean, of three items each."""
    size = 2 * num_users
    user, ago = generator.integers(0, num_users, size), generator.integers(0, 30, size)
    times = pd.to_datetime(ENDS_AT.replace(tzinfo=None)) - pd.to_timedelta(
        ago * 86400 + 3600, unit="s"
    )
    mails = pd.DataFrame({"user_id": [f"u{k:06}" for k in user], "sent_at": times})
    mails["campaign"] = "summer"
    rows = mails.loc[mails.index.repeat(3)].reset_index(drop=True)
    drawn = np.floor(generator.random(len(rows)) ** 2 * NUM_ITEMS).astype(int)
    return rows.assign(item_id=[f"i{k:05}" for k in drawn])


def write_shop(folder: Path, num_users: int, seed: int = 7) -> None:
    """The customer's files below `folder`, and below `made` what earlier steps would have made."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    people = recipients(generator, num_users)
    tables = {
        "items": items(generator),
        "events": events(generator, num_users),
        "recipients": people,
        "send_log": send_log(generator, num_users),
    }
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False, coerce_timestamps="us")
    listed = people.sample(frac=0.06, random_state=seed)
    third = len(listed) // 3
    listed[["user_id"]][:third].to_csv(folder / "complained.csv", index=False)
    by_address = listed[["email"]][third : 2 * third].dropna()
    plain = by_address.email.map(_plain).str.upper()
    by_address["email"] = [WRITTEN[n % 6].format(one) for n, one in enumerate(plain)]
    by_address.to_csv(folder / "unsubscribed.csv", index=False)
    hashed = [
        hashlib.sha256(_plain(e).lower().encode()).hexdigest()
        for e in listed.email[2 * third :].dropna()
    ]
    pd.DataFrame({"sha": hashed}).to_csv(folder / "bounced.csv", index=False)
    write_made(folder / "made", generator, tables["events"])


def _plain(address: str) -> str:
    """The address as it was before `WRITTEN`."""
    return address.removeprefix("mailto:").strip(" \u00a0\u200b")


def write_made(folder: Path, generator: np.random.Generator, given: pd.DataFrame) -> None:
    """Indexes of those with events, random lists of the model, and random neighbours."""
    folder.mkdir(exist_ok=True)
    users, shown = sorted(given.user_id.unique()), sorted(given.item_id.unique())
    tables = {
        "user_index": pd.DataFrame(
            {"user_id": users, "user_index": np.arange(len(users), dtype=np.int32)}
        ),
        "item_index": pd.DataFrame(
            {"item_id": shown, "item_index": np.arange(len(shown), dtype=np.int32)}
        ),
        "user_topk": lists_of(
            generator, len(users), len(shown), K_SCORED, "user_index", "item_index"
        ),
        "item_topk": pd.concat(neighbours(generator, len(shown))),
    }
    for name in ("user_index", "item_index"):
        tables[name]["is_present"] = True
    tables["user_topk"]["source"] = "model"
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)


def neighbours(generator: np.random.Generator, num_items: int) -> Iterator[pd.DataFrame]:
    """Random neighbours of each item, by either method."""
    for method, support in (("embedding", None), ("co_purchase", 3)):
        found = lists_of(generator, num_items, num_items, 20, "item_index", "similar_item_index")
        yield found.assign(method=method, support=pd.array([support] * len(found), "Int64"))


def lists_of(
    generator: np.random.Generator, num_rows: int, num_items: int, k: int, row: str, item: str
) -> pd.DataFrame:
    """(row, rank, item, score): k different items each, the scores from high to low."""
    start, step = generator.integers(0, num_items, num_rows), generator.integers(1, 7, num_rows)
    columns = (start[:, None] + step[:, None] * np.arange(k)) % num_items
    scores = -np.sort(-generator.normal(0, 1, (num_rows, k)), axis=1)
    return pd.DataFrame(
        {
            row: np.repeat(np.arange(num_rows, dtype=np.int32), k),
            "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), num_rows),
            item: columns.ravel().astype(np.int32),
            "score": scores.ravel().astype(np.float32),
        }
    )
