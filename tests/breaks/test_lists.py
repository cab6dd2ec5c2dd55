"""The lists of breaks fit the code and the tests as they are."""

import ast
from pathlib import Path

from ncf_spark.campaign import reasons
from tests.breaks.lists import ROOT, Break, read_breaks

BREAKS = read_breaks()


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_each_break_changes_one_place_and_leaves_code_that_can_be_read():
    assert [one for one in BREAKS if read(one.file).count(one.old) != 1] == []
    for one in BREAKS:
        text = read(one.file)
        assert one.broken(text) != text
        ast.parse(one.broken(text), one.breaks)


def has_tests(one: Break) -> bool:
    found = []
    for test in one.tests.split():
        path, _, name = test.partition("::")
        wanted = f"def {name.partition('[')[0]}(" if name else "def test_"
        found.append((ROOT / path).exists() and wanted in read(path))
    return bool(found) and all(found)


def test_the_tests_that_should_notice_are_there():
    assert [one for one in BREAKS if not has_tests(one)] == []


def test_every_package_and_every_rule_of_the_campaign_has_a_break():
    assert len({one.breaks for one in BREAKS}) == len(BREAKS) >= 60
    code = [path for path in (ROOT / "ncf_spark").rglob("*.py") if path.name != "__init__.py"]
    packages = {path.parent.relative_to(ROOT) for path in code}
    assert {Path(one.file).parent for one in BREAKS} >= packages
    rules = [*reasons.RECIPIENTS, *reasons.ITEMS, *reasons.PAIRS]
    assert {one.rule for one in BREAKS if one.rule} == set(rules)


def test_no_list_names_a_file_twice():
    """Of two lists of one file, YAML keeps the last without a word."""
    for path in (ROOT / "tests" / "breaks").glob("*.yaml"):
        files = [
            line for line in path.read_text().splitlines() if line[:1].strip() not in ("", "#")
        ]
        assert len(files) == len(set(files)), path.name
