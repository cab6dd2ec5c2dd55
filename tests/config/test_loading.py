"""base.yaml + the file + --set -> settings, or one error with every problem."""

import re
from datetime import date

import pytest

from ncf_spark.config import load_config
from ncf_spark.errors import ConfigError
from tests.config.conftest import BASE, problems

# --- layers -------------------------------------------------------------------------------------


def test_the_file_overrides_base_and_set_overrides_both(load):
    config = load("model: {factors: 16, kind: gmf}", "model.kind=mlp")
    assert (config.model.factors, config.model.kind, config.model.dropout) == (16, "mlp", [0.0])


def test_an_empty_file_changes_nothing(load):
    assert load("") == load_config(str(BASE))


def test_a_file_elsewhere_uses_the_working_directorys_conf(tmp_path, monkeypatch):
    (tmp_path / "shop.yaml").write_text("run: {seed: 7}")
    monkeypatch.chdir(BASE.parents[1])
    assert load_config(str(tmp_path / "shop.yaml")).run.seed == 7


@pytest.mark.parametrize(
    ("section", "key", "default", "given"),
    [
        ("input", "options", {"header": "true", "sep": ";"}, {"sep": "::"}),
        ("input", "event_weights", {"view": 1.0, "buy": 4.0}, {"play": 2.0}),
        ("activity", "features", {"followers": 1.0}, {"posts": 3.0}),
        ("evaluation", "compared", {"mf": {"model.kind": "mf"}}, {"gmf": {"model.kind": "gmf"}}),
    ],
)
def test_tables_of_the_users_own_names_are_replaced_whole(
    load, tmp_path, section, key, default, given
):
    (tmp_path / "base.yaml").write_text(
        BASE.read_text(encoding="utf-8").replace(f"  {key}: {{}}", f"  {key}: {default}")
    )
    needed = "catalogue: {path: items}\ninput: {columns: {type: kind}}\n"
    assert getattr(getattr(load(needed), section), key) == default
    replaced = load(needed, f"{section}.{key}={given}")
    assert getattr(getattr(replaced, section), key) == given
    emptied = load(needed, f"{section}.{key}=")
    assert getattr(getattr(emptied, section), key) == {}


# --- --set --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "place", "value"),
    [
        ("run.date=2026-11-23", "run.date", date(2026, 11, 23)),
        ("run.date=", "run.date", None),
        ("input.where=quantity = 0", "input.where", "quantity = 0"),
        ("input.columns.time=ts", "input.columns.time", "ts"),
        ("evaluation.ks=[5, 10]", "evaluation.ks", [5, 10]),
        ("training.learning_rate=1e-4", "training.learning_rate", 0.0001),
        ("sampling.uniform=1", "sampling.uniform", 1.0),
    ],
)
def test_set_reads_the_value_as_yaml(load, override, place, value):
    found = load("", override)
    for name in place.split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize("override", ["run.seed", "=3", "run.=3", ".seed=3"])
def test_set_without_key_or_value_is_refused(load, override):
    with pytest.raises(ConfigError, match=rf"--set {re.escape(override)}: expected section.key="):
        load("", override)


def test_set_with_broken_yaml_is_refused(load):
    with pytest.raises(ConfigError, match=r"--set evaluation\.ks=\[1: the value is not valid YAML"):
        load("", "evaluation.ks=[1")


# --- environment --------------------------------------------------------------------------------


def test_environment_variables_are_filled_in_at_any_depth(load, monkeypatch):
    monkeypatch.setenv("SHOP_BUCKET", "s3a://shop")
    text = "storage: {warehouse: '${SHOP_BUCKET}/ncf'}\ninput: {options: {k: '${SHOP_BUCKET}'}}"
    config = load(text)
    assert config.storage.warehouse == "s3a://shop/ncf"
    assert config.input.options == {"k": "s3a://shop"}


def test_a_missing_variable_has_a_default_or_is_an_error(load, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    assert load("storage: {warehouse: '${NOT_SET:-./here}'}").storage.warehouse == "./here"
    with pytest.raises(
        ConfigError, match=r"\$\{NOT_SET\}: the environment variable NOT_SET is not"
    ):
        load("storage: {warehouse: '${NOT_SET}/ncf'}")


def test_options_become_the_texts_that_spark_takes(load):
    config = load("input: {options: {header: true, maxColumns: 9, sep: ';'}}")
    assert config.input.options == {"header": "true", "maxColumns": "9", "sep": ";"}


def test_yes_and_no_are_names_of_settings_and_words_for_consent(load):
    words = load("recipients: {consent_values: {yes: [ja, 1, yes], no: [no]}}").recipients
    assert words.consent_values.yes == ["ja", "1", "true"]
    assert words.consent_values.no == ["false"]


# --- files --------------------------------------------------------------------------------------


def test_a_setting_that_base_lacks_is_reported(load, tmp_path):
    text = BASE.read_text(encoding="utf-8")
    (tmp_path / "base.yaml").write_text(re.sub(r"  seed: 20.*\n", "", text))
    assert problems(load, "") == ["run.seed: is not set."]


def test_a_missing_file_is_named(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE.read_text(encoding="utf-8"))
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read \(No such file"):
        load_config(str(tmp_path / "none.yaml"))


def test_a_missing_base_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"base\.yaml: not found. Put base.yaml beside shop.yaml"):
        load_config(str(tmp_path / "shop.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: [1", "is not valid YAML"),
        ("- model", "expected sections with keys, found list"),
        ("model: {factors: 8}\nmodel: {kind: gmf}", "model is given twice; remove one"),
        ("model:\n  factors: 8\n  factors: 16", "factors is given twice"),
    ],
)
def test_a_file_that_is_not_sections_with_keys_is_refused(load, text, message):
    with pytest.raises(ConfigError, match=rf"shop\.yaml: .*{message}"):
        load(text)


def test_a_file_that_is_not_utf8_is_refused(load, tmp_path):
    load()
    (tmp_path / "shop.yaml").write_bytes(b"campaign: {id: \xff\xfe}")
    with pytest.raises(ConfigError, match=r"shop\.yaml: is not valid YAML: .*utf-8"):
        load_config(str(tmp_path / "shop.yaml"))


def test_settings_cannot_be_changed_after_loading(load):
    with pytest.raises(Exception, match="frozen"):
        load().run.seed = 3


def test_a_date_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(
        ConfigError, match=r"--set run\.date=2026-13-01: .*month must be in 1\.\.12"
    ):
        load_config("conf/base.yaml", ["run.date=2026-13-01"])
    path = tmp_path / "shop.yaml"
    path.write_text("run: {date: 2026-02-30}")
    with pytest.raises(ConfigError, match=r"shop\.yaml: .*day is out of range"):
        load_config(str(path))
