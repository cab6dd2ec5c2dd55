"""Sections outcomes and measurement, and the arms of a campaign."""

import pytest

from tests.config.conftest import problems


def test_each_outcome_has_its_types_and_an_empty_one_is_not_measured(load):
    measured = load("measurement: {sent: [], opened: [open, click], clicked: []}").measurement
    assert measured.types == {"opened": ["open", "click"], "bought": ["bought"]}


def test_something_must_be_measured(load):
    text = "measurement: {sent: [], opened: [], clicked: [], bought: []}"
    assert problems(load, text) == [
        "measurement: names no type of event; set bought, or another outcome"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("measurement: {window_days: 0}", "measurement.window_days is 0; it "),
        ("measurement: {bootstrap_samples: 49}", "measurement.bootstrap_samples is 49; it "),
        ("measurement: {bought: bought}", "measurement.bought is 'bought'; it "),
        ("measurement: {bought: ['']}", "measurement.bought.0 is ''; it "),
        ("outcomes: {columns: {time: null}}", "outcomes.columns.time is null; it "),
        ("outcomes: {path: a, table: b}", "outcomes: has both path and table"),
        ("campaign: {arms: {holdout: 1.5}}", "campaign.arms.holdout is 1.5; it "),
    ],
)
def test_a_wrong_value_is_named(load, text, expected):
    (problem,) = problems(load, text)
    assert problem.startswith(expected)


def test_arms_share_what_there_is(load):
    arms = load("campaign: {arms: {popular: 0.3, holdout: 0.7}}").campaign.arms
    assert (arms.popular, arms.holdout, arms.salt) == (0.3, 0.7, "ncf")
    assert problems(load, "campaign: {arms: {popular: 0.5, holdout: 0.6}}") == [
        "campaign.arms: popular is 0.5 and holdout is 0.6; together at most 1"
    ]
