"""The README's worked example, run as it is written there."""

from __future__ import annotations

import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ncf_spark.storage.warehouse import Warehouse
from tests.jobs.conftest import ROOT, expect
from tests.jobs.processes import NO_REPLANNING, submit

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)


def block(language: str, containing: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    [found] = [text for text in blocks if containing in text]
    return str(found)


def write_shop(folder: Path) -> None:
    """Orders of 60 customers and 150 products, in the form that the README shows."""
    first = datetime(2026, 9, 1, 14, 5)
    orders = [
        f"C-{c};A-{(c % 5) * 30 + (c * n * 7 + n) % 30};"
        f"{first + timedelta(hours=c + 9 * n):%d.%m.%Y %H:%M};2"
        for c in range(60)
        for n in range(20)
    ]
    spoilt = [";A-1;01.10.2026 10:00;1", "C-1;A-1;01.10.2026 10:00;0"]
    products = [f'A-{n};"Tea tin; no. {n}";{n}.50' for n in range(150)]
    folder.mkdir()
    header, example = block("csv", "customer;sku").strip().splitlines()
    (folder / "orders.csv").write_text("\n".join([header, example, *orders, *spoilt]) + "\n")
    people = [f"C-{c};c{c}@mail.example;{'no' if c % 3 == 0 else 'yes'}" for c in range(60)]
    (folder / "newsletter.csv").write_text("\n".join(["customer;mail;opt_in", *people]) + "\n")
    header, example = block("csv", "sku;name").strip().splitlines()
    (folder / "products.csv").write_text("\n".join([header, *products]) + "\n")
    assert example == "A-4;Tea tin;7.50"


@pytest.mark.slow
def test_your_own_data_in_five_minutes(tmp_path: Path):
    write_shop(tmp_path / "my_shop")
    content = block("yaml", "warehouse") + block("yaml", "newsletter")
    content = content.replace("./my_shop", str(tmp_path / "my_shop"))
    content = content.replace("./warehouse/my_shop", str(tmp_path / "warehouse"))
    (tmp_path / "my_shop.yaml").write_text(content + "\nrun: {seed: 3}\n")
    shutil.copy(ROOT / "conf" / "base.yaml", tmp_path)
    [command] = [line for line in README.splitlines() if line.endswith("--run-date 2026-11-01")]
    arguments = command.replace("conf/my_shop.yaml", str(tmp_path / "my_shop.yaml")).split()
    assert arguments[:3] == ["spark-submit", "--properties-file", "conf/spark/small.conf"]
    quick = ("--set", "training.epochs=2")
    output = expect(submit(*arguments[3:], *quick, options=NO_REPLANNING), 0)
    run = Warehouse(str(tmp_path / "warehouse")).published_run()
    assert run is not None
    assert run.name == "2026-11-01.1"
    assert run.recorded_rows("campaign") == 40
    events = run.step_record("build_interactions")["result"]["events"]
    assert events["dropped"]["where"] == 2
    assert "Tea tin; no. " in output


def test_files_that_are_named_exist():
    named = re.findall(
        r"`((?:conf|jobs|notebooks|ncf_spark)/[\w./-]+\.(?:yaml|conf|py|ipynb|txt))`", TEXT
    )
    assert len(set(named)) >= 8
    for name in set(named) - {"conf/my_shop.yaml"}:
        assert (ROOT / name).is_file(), name


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).is_file(), (page, target)


def test_every_page_is_named_by_the_readme():
    for page in PAGES[1:]:
        assert f"(docs/{page.name})" in README, page
    assert len(README.splitlines()) <= 220
