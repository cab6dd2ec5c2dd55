"""Training across hosts with addresses and names of their own, and the check before it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from ncf_spark.storage import files
from ncf_spark.storage.warehouse import Warehouse
from tests.cluster.namespaces import NamedHost, named_hosts, why_not
from tests.cluster.standalone import SPARK_HOME, Cluster, Machine, standalone
from tests.conftest import JVM_OPTIONS
from tests.jobs.conftest import ROOT, RUN_DATE, expect, small_config, write_config
from tests.jobs.in_process import run_job
from tests.jobs.processes import FIRST_COMPILER, NO_REPLANNING

WHY_NOT = why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(WHY_NOT is not None, reason=f"hosts of their own: {WHY_NOT}"),
]

Hosts = dict[str, NamedHost]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with named_hosts("alpha", "beta", "gamma") as found:
        yield found
    assert not list(Path("/run/netns").glob(f"ncf-{os.getpid()}*"))


@pytest.fixture(scope="module")
def config(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a small night whose events are prepared for training."""
    folder = tmp_path_factory.mktemp("hosts")
    training = {"epochs": 2, "num_workers": 2, "num_shards": 5, "batch_size": 256}
    evaluation = {"baselines": ["popularity"], "bootstrap_samples": 50}
    changes = {"training": training, "evaluation": evaluation}
    written = write_config(folder / "conf", small_config(folder, **changes))
    for job in ("generate_events", "build_interactions", "score_item_activity"):
        expect(run_job(job, "--config", written, "--run-date", RUN_DATE), 0)
    return written


@pytest.fixture(scope="module")
def cluster(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Its processes reach each other by name."""
    master, *workers = (host.machine() for host in hosts.values())
    with standalone(tmp_path_factory.mktemp("named"), master, workers) as found:
        yield found


def run(
    job: str, cluster: Cluster, driver: Machine, config: str, changes: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs a job on a cluster, with the driver on one of the hosts."""
    settings = {
        "spark.driver.host": driver.host,
        "spark.driver.bindAddress": driver.address,
        "spark.executor.memory": "700m",
        "spark.executorEnv.PYTHONPATH": str(ROOT),
        "spark.pyspark.python": sys.executable,
        "spark.executor.extraJavaOptions": JVM_OPTIONS,
    }
    command = [*driver.prefix, str(SPARK_HOME / "bin" / "spark-submit")]
    command += ["--properties-file", "conf/spark/local-cluster.conf", "--master", cluster.master]
    command += [part for s in settings.items() for part in ("--conf", "=".join(s))]
    command += [*FIRST_COMPILER, *NO_REPLANNING]
    command += [f"jobs/{job}.py", "--config", config, "--run-date", RUN_DATE, *changes]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_LOCAL_IP": driver.address,
        "SPARK_LOCAL_HOSTNAME": driver.host,
    }
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
    )


def test_training_runs_across_hosts_with_user_shards_on_each(
    hosts: Hosts, cluster: Cluster, config: str
):
    output = expect(run("train", cluster, hosts["alpha"].machine(), config), 0)
    assert "task slots by host: beta (10.77.0.2) 1; gamma (10.77.0.3) 1" in output
    warehouse = Warehouse(str(Path(config).parents[1] / "ware house"))
    trained = warehouse.newest_run(date.fromisoformat(RUN_DATE))
    assert trained is not None
    manifest = files.read_json(f"{trained.uri}/model/manifest.json")
    # Worker 0 has shards 0, 2 and 4, and worker 1 has 1 and 3.
    assert sorted(manifest["hosts"]) == ["beta", "gamma"]
    assert all(positives["num_positives"] > 1000 for positives in manifest["positives"])
    assert manifest["bytes_exchanged"]["shared_gradients"] > 0


def test_a_name_that_one_host_does_not_know_is_told(hosts: Hosts, cluster: Cluster, config: str):
    known = {host.name: host.address for host in hosts.values()}
    hosts["gamma"].write_hosts({n: a for n, a in known.items() if n != "beta"})
    try:
        output = expect(run("nightly", cluster, hosts["alpha"].machine(), config), 2)
    finally:
        hosts["gamma"].write_hosts(known)
    assert "error: host gamma (10.77.0.3) cannot resolve beta. Every host must" in output
    assert "build_interactions" not in output


def test_hosts_without_a_usable_name_of_their_own_are_told(
    hosts: Hosts, config: str, tmp_path: Path
):
    """Reached by address, all else would go well until Gloo aborts."""
    workers = [hosts[name].machine("delta") for name in ("beta", "gamma")]
    driver = hosts["alpha"].machine()
    with standalone(tmp_path, driver, workers) as unnamed:
        changes = ("--set", "training.network_interfaces=[eth7]")
        output = expect(run("nightly", unnamed, driver, config, changes), 2)
    told = output[output.index("error: ") :].splitlines()
    for address in ("10.77.0.2", "10.77.0.3"):
        assert any(f"host delta ({address}) cannot resolve delta." in line for line in told)
        assert any(f"host delta ({address}) has no network interface eth7" in line for line in told)
    assert any("the hosts 10.77.0.2, 10.77.0.3 are all named delta." in line for line in told)
    assert "Traceback" not in output
