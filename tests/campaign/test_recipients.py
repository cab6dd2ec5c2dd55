import hashlib
from datetime import datetime, timezone

import pytest
from pyspark.sql import functions as F

from ncf_spark import schemas
from ncf_spark.campaign import recipients
from tests.conftest import at, rows

ENDS_AT = datetime(2026, 11, 24, tzinfo=timezone.utc)


def raw(user, email=None, consent=True, country=None, segment=None, last_sent_at=None, key=None):
    """A row of the recipients, whose addresses are compared in small letters."""
    address = email and email.lower()
    who = (user, key or user, email, address, email and [address])
    return (*who, None, country, segment, consent, last_sent_at)


def users_of(spark, *given):
    return recipients.build_users(spark.createDataFrame(list(given), schemas.RECIPIENTS))


def reasons_of(spark, given, activity=(), order=1, **settings):
    users = users_of(spark, *given[::order])
    events = spark.createDataFrame(list(activity), "user_id string, num_events long")
    users = users.join(events, on="user_id", how="left").fillna(0, subset=["num_events"])
    defaults = {"suppressed": None, "num_sends": None, "audience": None, "frequency": None}
    found = recipients.with_reason(users, ends_at=ENDS_AT, **{**defaults, **settings})
    kept = [name for name in users.columns if name not in recipients.COMPARISON_COLUMNS]
    assert found.columns == [*kept, "lists", "reason"]
    return {row.user_id: row.reason for row in found.collect()}


@pytest.mark.parametrize("order", [1, -1])
def test_a_user_consents_when_every_row_does(spark, order):
    given = [
        raw("ana", "ana@x.example", country="DE"),
        raw("ben", consent=False),
        raw("cem", consent=None),
        raw("dora"),
        raw("dora", consent=False),
        raw("eva"),
        raw("eva", consent=None),
        raw(None, "nobody@x.example"),
    ][::order]
    found = users_of(spark, *given).select("user_id", "email", "country", "consent", "refuses")
    assert rows(found) == [
        ("ana", "ana@x.example", "DE", True, False),
        ("ben", None, None, False, True),
        ("cem", None, None, False, False),
        ("dora", None, None, False, True),
        ("eva", None, None, False, False),
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_details_of_a_user_are_of_one_row_but_the_last_email_is_of_all(spark, order):
    given = [
        raw("ana", "a@x.example", country="NL", last_sent_at=at("2026-11-20")),
        raw("ana", "b@x.example", country="DE", last_sent_at=at("2026-11-10")),
    ][::order]
    [row] = users_of(spark, *given).collect()
    assert (row.email, row.country, row.last_sent_at) == ("b@x.example", "DE", at("2026-11-20"))


def test_without_an_address_there_is_no_email_where_every_tool_needs_one(spark):
    given = [
        *[raw("ana", "Ana@x.example"), raw("ben"), raw("cem", " "), raw("dora", "dora")],
        *[raw("eva", "@x"), raw("finn", "a b@x.example"), raw("gil", "a@b@c")],
    ]
    found = reasons_of(spark, given, needs_address=True)
    assert found.pop("ana") is None
    assert set(found.values()) == {"no_address"}
    assert set(reasons_of(spark, given).values()) == {None}


@pytest.mark.parametrize("order", [1, -1])
def test_a_refusal_counts_for_the_id_however_it_is_written(spark, order):
    given = [
        *[raw("C-1", key="c-1"), raw("C-1\u00a0", consent=False, key="c-1")],
        *[raw("C-2", key="c-2"), raw("c-2", consent=None, key="c-2")],
    ]
    assert reasons_of(spark, given, order=order) == {
        **{"C-1": "no_consent", "C-1\u00a0": "no_consent"},
        **{"C-2": None, "c-2": "no_consent"},
    }


def suppressed(spark, **lists):
    tables = {
        name: spark.createDataFrame(given, schemas.SUPPRESSIONS) for name, given in lists.items()
    }
    return recipients.build_suppressed(tables)


def sha(address):
    return hashlib.sha256(address.encode()).hexdigest()


def test_lists_name_users_addresses_and_hashes(spark):
    found = suppressed(
        spark,
        unsubscribed=[
            *[("ana", None, None), (None, ["ben@x.example", "b@xn--x"], None), (None, None, None)]
        ],
        bounced=[(None, None, sha("cem@x.example")), ("ana", [], None)],
    )
    assert found.columns == ["user", "email_sha256", "lists"]
    listed = {row.user or row.email_sha256: sorted(row.lists) for row in found.collect()}
    assert listed == {
        "ana": ["bounced", "unsubscribed"],
        sha("ben@x.example"): ["unsubscribed"],
        sha("b@xn--x"): ["unsubscribed"],
        sha("cem@x.example"): ["bounced"],
    }


@pytest.mark.parametrize("order", [1, -1])
def test_users_on_a_list_by_id_address_or_hash_get_no_email(spark, order):
    given = [
        *[raw("Ana", "ana@x.example", key="ana"), raw("ben", "BEN@x.example")],
        *[raw("cem", "cem@x.example"), raw("dora", "dora@x.example"), raw("eva")],
        # Of several addresses each counts.
        *[raw("finn", "f@x.example"), raw("finn", "z@x.example"), raw("gil", "g@x.example")],
        raw("gil"),
    ][::order]
    by = suppressed(
        spark,
        left=[("ana", None, None), (None, ["ben@x.example", "ana@x.example"], None)],
        bounced=[(None, None, sha("cem@x.example")), (None, ["f@x.example"], None)],
        hashed=[(None, None, sha(f"{name}@x.example")) for name in ("ana", "g")],
    )
    users = users_of(spark, *given).withColumn("num_events", F.lit(0))
    settings = {"num_sends": None, "audience": None, "frequency": None, "ends_at": ENDS_AT}
    found = recipients.with_reason(users, suppressed=by, **settings).collect()
    lists = {"Ana": ["hashed", "left"], "ben": ["left"], "cem": ["bounced"], "dora": [], "eva": []}
    lists |= {"finn": ["bounced"], "gil": ["hashed"]}
    assert {row.user_id: row.lists for row in found} == lists
    assert {row.user_id for row in found if row.reason == "suppressed"} == {
        name for name, own in lists.items() if own
    }


@pytest.mark.parametrize("order", [1, -1])
def test_an_address_that_one_user_refused_gets_no_email_for_another(spark, order):
    given = [
        raw("ana", "home@x.example", consent=False),
        raw("ben", "Home@x.example"),
        raw("cem", "work@x.example", consent=None),
        raw("dora", "work@x.example"),
        raw("eva", "old@x.example"),
        raw("finn", "old@x.example"),
    ]
    by = suppressed(spark, all=[("eva", None, None)])
    assert reasons_of(spark, given, order=order, suppressed=by) == {
        "ana": "no_consent",
        "ben": "shared_address",
        "cem": "no_consent",  # says nothing, which is no refusal of the address
        "dora": None,
        "eva": "suppressed",
        "finn": "shared_address",
    }


@pytest.mark.parametrize("order", [1, -1])
def test_of_users_with_one_address_the_most_active_gets_the_email(spark, order):
    given = [
        raw("ana", "home@x.example"),
        raw("ben", "HOME@x.example"),
        raw("cem", "home@x.example"),
        raw("dora"),
        raw("eva"),
        raw("finn"),
    ]
    activity = [("ana", 2), ("ben", 5), ("cem", 5)]
    found = reasons_of(spark, given, activity, order)
    assert found == {
        **{"ana": "same_address", "ben": None, "cem": "same_address"},
        **{"dora": None, "eva": None, "finn": None},
    }


def test_an_address_belongs_to_the_eligible_user_not_to_the_most_active(spark):
    given = [raw("ana", "home@x.example", country="FR"), raw("ben", "home@x.example", country="DE")]
    found = reasons_of(spark, given, [("ana", 9)], audience="country = 'DE'")
    assert found == {"ana": "not_in_audience", "ben": None}


def test_an_audience_that_is_null_for_a_user_does_not_hold(spark):
    given = [raw("ana", country="DE", segment="vip"), raw("ben", country="DE"), raw("cem")]
    found = reasons_of(spark, given, audience="country = 'DE' and segment <> 'staff'")
    assert found == {"ana": None, "ben": "not_in_audience", "cem": "not_in_audience"}


LOG = [
    ("ana", "tea", "autumn", at("2026-11-23 08:00")),
    ("ana", "rum", "autumn", at("2026-11-23 08:00")),  # the same mail
    ("ben", "tea", "autumn", at("2026-11-23 08:00")),
    ("ben", None, "winter", at("2026-11-23 08:00")),
    ("cem", None, None, at("2026-11-17 00:00")),
    ("cem", None, None, at("2026-11-18 00:00")),
    ("dora", None, None, at("2026-11-16 23:59")),  # before the seven days
    ("dora", None, None, at("2026-11-20")),
    ("eva", None, None, at("2026-11-24 00:00")),  # after the run date
    ("eva", None, None, at("2026-11-20")),
    (None, None, None, at("2026-11-20")),
    ("finn", None, None, None),
]


def num_sends(spark, days=7):
    log = spark.createDataFrame(LOG, schemas.SEND_LOG)
    return recipients.build_num_sends(log, days=days, ends_at=ENDS_AT)


def test_an_email_counts_once_however_many_items_it_had(spark):
    found = dict(rows(num_sends(spark).where("user_id is not null")))
    assert found == {"ana": 1, "ben": 2, "cem": 2, "dora": 1, "eva": 1}


def test_users_with_enough_emails_get_none(spark):
    given = [raw(name) for name in ("ana", "ben", "cem", "dora", "eva", "finn")]
    given.append(raw("gil", last_sent_at=at("2026-11-23")))
    found = reasons_of(spark, given, num_sends=num_sends(spark), frequency=(2, 7))
    assert {name for name, reason in found.items() if reason == "too_frequent"} == {"ben", "cem"}
    # Without a log the recipient's own last mail counts as one.
    found = reasons_of(spark, given, frequency=(1, 7))
    assert {name for name, reason in found.items() if reason == "too_frequent"} == {"gil"}


def test_no_recipients_are_nobody(spark):
    assert reasons_of(spark, []) == {}
