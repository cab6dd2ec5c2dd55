"""The night after: who arrived, who departed, a model that resumes, and what was published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ncf_spark.storage import files
from ncf_spark.storage.runs import Run
from tests.jobs.conftest import (
    RUN_DATE,
    Night,
    copy_night,
    expect,
    files_of,
    small_config,
    table,
    write_config,
)
from tests.jobs.in_process import run_job

DEPARTED_USER, DEPARTED_ITEM = "u00000007", "i00000011"
ARRIVED_USER, ARRIVED_ITEM = "a new user", "a new item"


@dataclass(frozen=True)
class Nights:
    """The first night's run and the second's, in a copy of the first one's warehouse."""

    first: Run
    second: Run
    output: str


@pytest.fixture(scope="module")
def nights(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """In one application, by one worker and in other shards.

    The second has a user and an item more, and a user and an item less. Its candidates do not hold
    what the first one published.
    """
    own = copy_night(night, tmp_path_factory.mktemp("second night") / "own")
    first, before = own.run, files_of(own.run.uri)
    items = pd.read_parquet(own.folder / "input" / "items").item_id[20:28].tolist()
    pairs = [(ARRIVED_USER, item) for item in [*items, ARRIVED_ITEM]]
    pairs += [(f"u0000000{n}", ARRIVED_ITEM) for n in range(5)]
    events = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    events = events.assign(event_at="2026-11-02T08:00:00Z", event_type="purchase")
    events.to_parquet(own.folder / "input" / "events" / "more.parquet", index=False)
    withdraw_consent(own)
    content = small_config(own.folder)
    content["input"] |= {"where": f"user_id <> '{DEPARTED_USER}' and item_id <> '{DEPARTED_ITEM}'"}
    content["training"] |= {"num_workers": 1, "num_shards": 4, "epochs": 2, "warm_epochs": 1}
    content["evaluation"] = {"baselines": ["popularity", "item_item"], "bootstrap_samples": 50}
    content["model"] = {"candidates": ["neumf"]}
    content["campaign"] = {"arms": {"popular": 0.3}, "files": {"deltas": True}}
    # The model is behind what was published, and is to be published here.
    content["gates"] = {"of_popularity": None, "of_last_night": 0.0, "max_churn": 1.0}
    config = write_config(own.folder / "conf", content)
    output = expect(run_job("nightly", "--config", config, "--run-date", "2026-11-02"), 0)
    second = own.run
    assert (first.name, second.name) == (f"{RUN_DATE}.1", "2026-11-02.1")
    assert files_of(first.uri) == before, "a night changed what was published before it"
    return Nights(first, second, output)


def withdraw_consent(night: Night) -> None:
    """Every tenth of those who got a mail wants no more."""
    folder = night.folder / "input" / "recipients"
    recipients = pd.read_parquet(folder)
    some = sorted(table(night.run, "campaign").user_id)[::10]
    recipients["consent"] &= ~recipients.user_id.isin(some)
    for old in folder.iterdir():
        old.unlink()
    recipients.to_parquet(folder / "recipients.parquet", index=False)


def numbers(run: Run, side: str) -> dict[str, int]:
    index = table(run, f"{side}_index")
    return dict(zip(index[f"{side}_id"], index[f"{side}_index"], strict=True))


def test_ids_keep_their_numbers_and_who_departed_is_marked(nights: Nights):
    gone = {"user": DEPARTED_USER, "item": DEPARTED_ITEM}
    arrived = {"user": ARRIVED_USER, "item": ARRIVED_ITEM}
    for side in ("user", "item"):
        before, after = (numbers(run, side) for run in (nights.first, nights.second))
        assert after == {**before, arrived[side]: len(before)}
        index = table(nights.second, f"{side}_index")
        assert index[~index.is_present][f"{side}_id"].tolist() == [gone[side]]
        result = nights.second.step_record("build_interactions")["result"]
        assert result[f"{side}s"] == {"present": len(before), "departed": 1, "new": 1}


def test_training_began_with_the_first_nights_model(nights: Nights):
    first, second = nights.first, nights.second
    record = second.step_record("train")["result"]["start"]
    assert (record["run"], record["last_full_training"]) == (first.name, RUN_DATE)
    manifest = files.read_json(f"{second.table_uri('model')}/manifest.json")
    assert [line["epoch"] for line in manifest["history"]] == [1]
    assert manifest["task"]["start"]["run"] == first.name
    # The first epoch is where the second of the night before ended, not where its first was.
    losses = [line["loss"] for line in files.read_json(f"{first.uri}/model/history.json")]
    assert manifest["history"][0]["loss"] < losses[0]


def test_nobody_is_held_out_whom_the_first_model_was_trained_on(nights: Nights):
    known = table(nights.first, "train")
    assert len(known) > 1000
    for name in ("holdout", "validation"):
        held_out = table(nights.second, name)
        assert len(held_out) > 100
        assert held_out.merge(known, on=["user_index", "item_index"]).empty


def test_who_departed_is_neither_shown_nor_drawn_and_keeps_the_vector(nights: Nights):
    user = numbers(nights.second, "user")[DEPARTED_USER]
    item = numbers(nights.second, "item")[DEPARTED_ITEM]
    for name, column, value in (
        ("user_topk", "user_index", user),
        ("user_topk", "item_index", item),
        ("item_topk", "item_index", item),
        ("item_topk", "similar_item_index", item),
        ("item_activity", "item_index", item),
        ("item_popularity", "item_index", item),
        ("campaign_long", "item_id", DEPARTED_ITEM),
    ):
        rows = table(nights.second, name)
        assert len(rows) > 100
        assert value not in set(rows[column]), (name, column)
    for name, column in (
        ("ranks", "top_items"),
        ("holdout", "negatives"),
        ("validation", "negatives"),
    ):
        lists = table(nights.second, name)[column].dropna()
        assert len(lists) > 100
        assert item not in set(np.concatenate(lists.to_numpy())), name
    long = table(nights.second, "campaign_long")
    assert set(long[long.user_id == DEPARTED_USER].source) <= {"bestseller"}
    vectors = [
        vectors[vectors.user_index == user].vector.item().tolist()
        for vectors in (table(run, "model/user_vectors") for run in (nights.first, nights.second))
    ]
    assert vectors[0] == vectors[1]


def test_who_arrived_gets_recommendations_and_the_new_item_may_be_recommended(nights: Nights):
    user = numbers(nights.second, "user")[ARRIVED_USER]
    assert (table(nights.second, "user_topk").user_index == user).sum() == 20
    assert ARRIVED_ITEM in set(table(nights.second, "item_activity").item_id)


def test_what_is_no_candidate_any_more_gives_way_to_the_one_that_is(nights: Nights):
    candidates = table(nights.second, "champion")
    [best] = candidates[candidates.is_champion].to_dict("records")
    assert best["model"] == "neumf"
    assert "item_item, published before, is no candidate" in best["reason"]
    campaign = table(nights.second, "campaign")
    assert set(table(nights.second, "user_topk").source) == {"model"}
    known = campaign[(campaign.arm == "model") & (campaign.user_id != DEPARTED_USER)]
    assert set(known.source_1) == {"model"}


def test_what_was_published_is_judged_on_tonights_holdout(nights: Nights):
    found = {
        (row["model"], row["protocol"]): row["value"]
        for row in files.read_json(f"{nights.second.uri}/metrics.json")
        if (row["metric"], row["k"], row["segment"]) == ("ndcg", 10, "all")
    }
    assert {protocol for model, protocol in found if model == "last_night"} == {
        "full",
        "sampled_99",
    }
    last_night = nights.second.step_record("evaluate")["result"]["last_night"]
    assert (last_night["run"], last_night["model"]) == (nights.first.name, "item_item")
    [beside] = [
        row
        for row in last_night["metrics"]
        if (row["protocol"], row["metric"], row["k"]) == ("full", "ndcg", 10)
    ]
    assert beside["last_night"] > 0.05
    # Item item of last night, on nearly the same events, is nearly that of tonight.
    assert abs(found["item_item", "full"] - beside["last_night"]) < 0.1
    page = files.read_bytes(f"{nights.second.table_uri('report')}/index.html").decode()
    assert "what 2026-11-01.1 published" in page


# What every night changes in every row.
VOLATILE = ["run_date", "model_version", "updated_at"]


def sent(run: Run, group: str = "campaign") -> pd.DataFrame:
    """The rows of a run's file, by user; without what changes every night."""
    folder = Path(run.table_uri("campaign_files/generic_csv").removeprefix("file://"))
    rows = pd.read_csv(folder / f"{group}-0001.csv", dtype=str, keep_default_na=False)
    return rows.set_index("user_id").drop(columns=VOLATILE, errors="ignore")


def test_the_first_files_and_what_changed_since_are_the_campaign(nights: Nights):
    first, changed = sent(nights.first), sent(nights.second)
    removed, whole = sent(nights.second, "removed"), table(nights.second, "campaign")
    folder = f"{nights.second.uri}/campaign_files/generic_csv"
    assert files.read_json(f"{folder}/manifest.json")["since"] == nights.first.name
    assert set(removed.index) == set(first.index) - set(whole.user_id)
    assert len(removed) >= len(first) // 10
    kept = first.drop(removed.index)
    replayed = pd.concat([kept.drop(kept.index.intersection(changed.index)), changed])
    names = ["email", "arm", *(f"item_{n}" for n in range(1, 11))]
    assert replayed[names].sort_index().equals(whole.set_index("user_id")[names].sort_index())
    # Nothing is sent again that is the same, and users keep their arms.
    again = changed.index.intersection(first.index)
    assert (changed.loc[again] != first.loc[again]).any(axis=1).all()
    assert (changed.loc[again].arm == first.loc[again].arm).all()
    assert 0 < len(changed) < len(whole)


def test_the_gates_hold_it_against_the_night_before(nights: Nights):
    manifest = nights.second.manifest()
    assert manifest is not None
    gates = {gate["gate"]: gate for gate in manifest["gates"]}
    assert gates["max_churn"]["passed"] is True
    assert 0 < gates["max_churn"]["figures"]["value"] <= 1
    assert gates["of_last_night"]["passed"] is True
    assert gates["of_last_night"]["figures"]["other"] > 0
    assert manifest["based_on"] == nights.first.name


def test_the_application_says_where_it_begins_and_ends(nights: Nights):
    assert "training starts from the model of 2026-11-01.1" in nights.output
    assert f"Published: {nights.second.uri}" in nights.output
