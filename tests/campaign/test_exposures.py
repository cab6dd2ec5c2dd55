import pytest

from ncf_spark.campaign import exposures
from tests.conftest import rows

LISTS = "user_id string, arm string, slots array<struct<item_id:string,score:float>>"


def lists(spark, order=1, **items):
    given = [(user, "model", [(item, 1.0) for item in names]) for user, names in items.items()]
    return spark.createDataFrame(given[::order], LISTS)


@pytest.mark.parametrize("order", [1, -1])
def test_users_with_an_item_higher_up_keep_it(spark, order):
    table = lists(spark, order, ana=["tea", "rum"], ben=["rum", "tea"], cem=["ice", "rum"], dora=[])
    found = exposures.build_exposures(table, max_exposures=1)
    over = rows(found.where("is_excess").select("user_id", "item_id"))
    # Of rum, ana and cem have it second: ben has it first.
    assert over == [("ana", "rum"), ("ben", "tea"), ("cem", "rum")]
    assert rows(found.where("is_saturated").select("item_id").distinct()) == [
        *[("ice",), ("rum",), ("tea",)]
    ]
    found = exposures.build_exposures(table, max_exposures=2)
    assert found.where("is_excess").count() == 1
    assert rows(found.where("is_saturated").select("item_id").distinct()) == [("rum",), ("tea",)]


def test_among_equals_a_hash_decides_the_same_way_every_time(spark):
    users = {f"u{n}": ["tea"] for n in range(100)}
    first = rows(
        exposures.build_exposures(lists(spark, **users), max_exposures=10).where("not is_excess")
    )
    again = rows(
        exposures.build_exposures(lists(spark, -1, **users), max_exposures=10).where(
            "not is_excess"
        )
    )
    assert first == again
    assert len(first) == 10
    assert [user for user, *_ in first] != sorted(users)[:10]


def test_users_who_lose_an_item_keep_their_others_and_get_no_saturated_one(spark):
    table = lists(spark, ana=["tea", "rum"], ben=["rum", "tea"], cem=["ice"])
    shown = exposures.build_exposures(table, max_exposures=1)
    users = spark.createDataFrame([("ana",), ("ben",), ("cem",)], "user_id string")
    found = exposures.build_reselection(users, shown)
    assert {row.user_id: sorted(row.unavailable_items) for row in found.collect()} == {
        "ana": ["ice", "rum"],
        "ben": ["ice", "tea"],
    }


def test_slots_in_excess_are_removed(spark):
    table = lists(spark, ana=["tea", "rum"], ben=["rum", "tea"], dora=[])
    found = exposures.without_excess(table, exposures.build_exposures(table, max_exposures=1))
    assert found.columns == table.columns
    left = {row.user_id: [slot.item_id for slot in row.slots] for row in found.collect()}
    assert left == {"ana": ["tea"], "ben": ["rum"], "dora": []}
