"""What a step declares holds for what it does, and together the steps make a night."""

import inspect

import pytest

from ncf_spark.config import load_config
from ncf_spark.night import STEPS
from ncf_spark.pipeline.step import Step, UndeclaredError, setting, writer_of

BAKE = Step("bake", lambda job: None, reads=("dough",), writes=("bread", "ovens"))


@pytest.mark.parametrize("table", ["bread", "ovens/1/heat"])
def test_a_step_writes_what_it_declares_and_what_is_below(table):
    BAKE.check_writes(table)


@pytest.mark.parametrize("table", ["dough", "cake", "breads", ""])
def test_a_write_that_is_not_declared_is_an_error(table):
    with pytest.raises(UndeclaredError, match=f"step bake writes {table}, but declares"):
        BAKE.check_writes(table)


def test_a_step_reads_what_it_declares_and_what_it_wrote():
    BAKE.check_reads("dough")
    BAKE.check_reads("ovens/1")
    with pytest.raises(UndeclaredError, match="step bake reads flour, but declares"):
        BAKE.check_reads("flour")


def test_each_table_is_written_by_one_step_before_it_is_read():
    written: list[str] = []
    for step in STEPS.values():
        assert set(step.reads) <= set(written), step.name
        written += step.writes
    assert len(written) == len(set(written))
    assert writer_of(STEPS.values(), "compared/als_8/user_vectors") == "train"


class CheckedError(Exception):
    """Stands for the check of the customer's files."""


def test_each_step_that_reads_the_customers_files_checks_them_first(monkeypatch):
    """Also where it runs alone, on files that are newer than those of the first step."""
    config = load_config("conf/base.yaml", ["input.path=x"])
    readers = [step for step in STEPS.values() if step.inputs(config)]
    assert [step.name for step in readers] == [
        *("build_interactions", "score_users", "export_campaign")
    ]

    def check(job):
        raise CheckedError

    for step in readers:
        monkeypatch.setattr(inspect.getmodule(step.run), "check_input_files", check)
        with pytest.raises(CheckedError):
            step.run(None)


def test_settings_that_a_step_names_exist():
    config = load_config("conf/base.yaml", ["input.path=x"]).model_dump(mode="json")
    sections = list(config)
    for step in STEPS.values():
        matched = [name for names in step.must_match.values() for name in names]
        for name in (*step.settings, *step.except_settings, *matched):
            *above, last = name.split(".")
            assert last in (setting(config, ".".join(above)) if above else sections), name


def test_what_a_step_must_match_is_of_earlier_steps():
    order = list(STEPS)
    for step in STEPS.values():
        assert all(order.index(earlier) < order.index(step.name) for earlier in step.must_match)


def test_a_setting_that_is_not_there_is_none():
    assert setting({"a": {"b": 0}}, "a.b") == 0
    assert setting({"a": {"b": 0}}, "a.b.c") is None
    assert setting({}, "a.b") is None
