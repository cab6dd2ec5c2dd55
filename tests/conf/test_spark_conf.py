"""The files of conf/spark/, read as Spark reads them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import IllegalArgumentException
from pyspark.sql import SparkSession

from tests.jobs.conftest import ROOT

FILES = sorted((ROOT / "conf" / "spark").glob("*.conf"))
# Where Spark registers its settings, those of other masters than the tests' own too.
REGISTERS = (
    "org.apache.spark.internal.config.package$",
    "org.apache.spark.internal.config.Worker$",
    "org.apache.spark.deploy.yarn.config.package$",
    "org.apache.spark.deploy.k8s.Config$",
    "org.apache.spark.sql.internal.SQLConf$",
)
# Settings that Spark reads without registering them, such as those with a name of the user's own.
UNREGISTERED = {
    "spark.master",
    "spark.files.fetchTimeout",
    "spark.executorEnv.PYTHONPATH",
    "spark.executor.resource.gpu.amount",
    "spark.task.resource.gpu.amount",
}


def read(spark: SparkSession, path: Path) -> dict[str, str]:
    """The settings of a file, as spark-submit takes them."""
    utils = spark._jvm.org.apache.spark.util.Utils
    found = utils.getPropertiesFromFile(str(path))
    return {entry._1(): entry._2() for entry in _each(found.iterator())}


def _each(iterator) -> Iterator:
    while iterator.hasNext():
        yield iterator.next()


def refusal(spark: SparkSession, name: str, value: str) -> str | None:
    """Why Spark would not take a setting; None: it would."""
    jvm = spark._jvm
    entry = jvm.org.apache.spark.internal.config.ConfigEntry.findEntry(name)
    if entry is None:
        return "unknown to Spark"
    try:
        entry.valueConverter().apply(value)
    except (IllegalArgumentException, Py4JJavaError) as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def registered(spark: SparkSession) -> SparkSession:
    loader = spark._jvm.Thread.currentThread().getContextClassLoader()
    for name in REGISTERS:
        spark._jvm.java.lang.Class.forName(name, True, loader)
    return spark


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_spark_knows_every_setting_and_takes_its_value(registered: SparkSession, path: Path):
    settings = read(registered, path)
    assert len(settings) >= 9
    names = settings.keys() - UNREGISTERED
    assert {n: why for n in names if (why := refusal(registered, n, settings[n]))} == {}


def test_a_misspelt_setting_and_a_wrong_value_are_found(registered: SparkSession):
    assert refusal(registered, "spark.executor.memroy", "1g") == "unknown to Spark"
    assert "executor.cores should be int" in str(refusal(registered, "spark.executor.cores", "x"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_setting_stands_there_twice(path: Path):
    names = [line.split()[0] for line in path.read_text().splitlines() if line[:1] not in ("", "#")]
    assert sorted(names) == sorted(set(names))


def test_every_setting_has_its_reason_in_some_file():
    """A comment speaks for the settings below it, up to a blank line or the next comment."""
    found, explained = set(), set()
    for path in FILES:
        reason = False
        for line in path.read_text().splitlines():
            if not line or line.startswith("#"):
                reason = bool(line)
                continue
            found.add(line.split()[0])
            if reason:
                explained.add(line.split()[0])
    assert found - explained == set()


def test_files_that_are_named_in_a_setting_exist(registered: SparkSession):
    made = {"build/environment.tar.gz#environment", "build/ncf_spark.zip", ".venv/bin/python"}
    for path in FILES:
        for value in read(registered, path).values():
            for place in [value, *value.split("=")[1:]]:
                if place.startswith(("conf/", "build/", ".venv/")) and place not in made:
                    assert (ROOT / place).is_file(), (path.name, place)


@pytest.mark.parametrize(("listed", "addresses"), [("0", ["0"]), ("0\n1\n11", ["0", "1", "11"])])
def test_the_discovery_script_names_the_gpus(tmp_path: Path, listed: str, addresses: list[str]):
    """With what NVIDIA's tool prints replaced."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '%s\\n' '{listed}'\n")
    tool.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    script = ROOT / "conf" / "spark" / "discover_gpus.sh"
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"name": "gpu", "addresses": addresses}
