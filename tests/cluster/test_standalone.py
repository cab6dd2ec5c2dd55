"""A whole night on a standalone cluster whose workers know no Python but what they are sent."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from pyspark.sql import SparkSession

from ncf_spark.night import STEPS
from ncf_spark.storage import files
from tests.cluster.standalone import Cluster, Machine, standalone
from tests.conftest import JVM_OPTIONS
from tests.jobs.conftest import ROOT, RUN_DATE, Night, expect, small_config, write_config
from tests.jobs.in_process import run_job
from tests.jobs.processes import NO_REPLANNING, submit

pytestmark = pytest.mark.slow

# conf/spark/standalone.conf, for a cluster as small as this one.
SIZES = {
    "spark.executor.cores": "1",
    "spark.executor.memory": "700m",
    "spark.cores.max": "2",
    "spark.driver.memory": "1g",
    "spark.executor.extraJavaOptions": JVM_OPTIONS,
}


@dataclass
class Seen:
    """What ran below the workers, as the operating system tells.

    Args:
        pythons: (number of the worker, module that was run, path of the interpreter).
        libraries: (number of the worker, folder of site-packages that a library was loaded from).
    """

    pythons: set[tuple[int, str, str]] = field(default_factory=set)
    libraries: set[tuple[int, str]] = field(default_factory=set)

    @contextmanager
    def looking(self, cluster: Cluster) -> Iterator[None]:
        """While the block runs, looks several times a second."""
        stop = threading.Event()

        def look_on() -> None:
            while not stop.wait(0.3):
                self._look(cluster)

        thread = threading.Thread(target=look_on, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _look(self, cluster: Cluster) -> None:
        for number in range(len(cluster.workers)):
            for process in cluster.below(number):
                with suppress(psutil.Error, OSError, IndexError):  # some end meanwhile
                    self._note(number, process)

    def _note(self, number: int, process: psutil.Process) -> None:
        command = process.cmdline()
        if not Path(command[0]).name.startswith("python") or "-m" not in command:
            return
        module = command[command.index("-m") + 1]
        interpreter = Path(process.cwd()) / command[0]
        self.pythons.add((number, module, str(interpreter.parent.resolve())))
        for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines():
            place, found, _ = line.partition("/site-packages/")
            if found:
                self.libraries.add((number, place[place.index("/") :]))


@dataclass(frozen=True)
class ClusterNight:
    """A night on the cluster, and what was seen of it."""

    night: Night
    seen: Seen
    folders: list[Path]

    def unpacked(self, worker: int) -> Path:
        """Where an executor of the worker unpacked the archive."""
        [environment] = self.folders[worker].glob("app-*/*/environment")
        return environment


@pytest.fixture(scope="module")
def finished(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterNight]:
    folder = tmp_path_factory.mktemp("standalone")
    training = {"epochs": 2, "num_workers": 2, "num_shards": 5, "batch_size": 256}
    evaluation = {"baselines": ["popularity"], "bootstrap_samples": 50}
    changes = {"training": training, "evaluation": evaluation}
    config = write_config(folder / "conf", small_config(folder, **changes))
    subprocess.run([sys.executable, ".ci/pack.py"], cwd=ROOT, check=True)
    expect(run_job("generate_events", "--config", config), 0)
    sizes = [part for s in SIZES.items() for part in ("--conf", "=".join(s))]
    seen = Seen()
    with standalone(folder, Machine(), [Machine(), Machine()]) as cluster:
        with seen.looking(cluster):
            done = submit(
                "jobs/nightly.py",
                *("--config", config, "--run-date", RUN_DATE),
                conf="standalone",
                options=("--master", cluster.master, *sizes, *NO_REPLANNING),
            )
        night = Night(config, folder, expect(done, 0))
        yield ClusterNight(night, seen, cluster.folders)
    # The environments that executors unpacked take gigabytes, and pytest keeps what it finds.
    for path in [*cluster.folders, *folder.glob("*-local")]:
        shutil.rmtree(path, ignore_errors=True)


def test_the_night_is_published_whole(finished: ClusterNight):
    run = finished.night.run
    assert run.name == f"{RUN_DATE}.1"
    assert list(files.read_json(f"{run.uri}/manifest.json")["steps"]) == list(STEPS)
    assert run.recorded_rows("campaign") > 200
    assert f"Published: {run.uri}" in finished.night.output


def test_both_workers_trained_and_prepared(finished: ClusterNight):
    ran = {(number, module) for number, module, _ in finished.seen.pythons}
    for number in (0, 1):
        assert (number, "pyspark.daemon") in ran
        assert (number, "horovod.spark.task.gloo_exec_fn") in ran
    manifest = files.read_json(f"{finished.night.run.uri}/model/manifest.json")
    assert manifest["num_workers"] == len(manifest["hosts"]) == 2


def test_executors_run_the_python_of_the_archive(finished: ClusterNight):
    for number in (0, 1):
        own = finished.unpacked(number)
        ran = {place for worker, _, place in finished.seen.pythons if worker == number}
        assert ran == {str(own / "bin")}
        [loaded] = {place for worker, place in finished.seen.libraries if worker == number}
        assert Path(loaded).parents[1] == own


def test_the_archive_holds_what_executors_need_and_no_more(finished: ClusterNight):
    [packages] = finished.unpacked(0).glob("lib/python3.*/site-packages")
    there = {path.name for path in packages.iterdir()}
    assert {"torch", "horovod", "petastorm", "pyarrow", "pydantic"} <= there
    assert not there & {"pytest", "mypy", "ruff", "hypothesis", "duckdb", "cmake", "scipy"}
    # An editable install leads to the checkout, which other machines do not have.
    assert not [name for name in there if "ncf_spark" in name]
    assert not (packages / "pyspark" / "jars").exists()
    assert (finished.unpacked(0).parent / "ncf_spark.zip").is_file()
