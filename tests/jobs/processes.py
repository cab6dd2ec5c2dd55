"""Jobs as processes of their own, started by spark-submit as the README says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import JVM_OPTIONS
from tests.jobs.conftest import ROOT

# A tiny night takes as long as Spark takes to compile its queries: the first compiler is enough.
FIRST_COMPILER = (
    "--conf",
    "spark.sql.codegen.wholeStage=false",
    "--conf",
    f"spark.executor.extraJavaOptions={JVM_OPTIONS}",
    "--driver-java-options",
    f"{JVM_OPTIONS} -Dlog4j2.configurationFile=conf/spark/log4j2.properties",
)
# For nights beside the first one, which shows that replanning does no harm.
NO_REPLANNING = (
    "--conf",
    "spark.sql.adaptive.enabled=false",
    "--conf",
    "spark.sql.shuffle.partitions=2",
)


def submit(
    script: str, *arguments: str, conf: str = "local", options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs a script by spark-submit from the root of the checkout, as the README says."""
    process = start(script, *arguments, conf=conf, options=options)
    return wait(process)


def start(
    script: str, *arguments: str, conf: str = "local", options: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """As `submit`, but does not wait for the end."""
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_HOSTNAME": "localhost",
    }
    command = [str(bin_folder / "spark-submit"), "--properties-file", f"conf/spark/{conf}.conf"]
    return subprocess.Popen(
        [*command, *FIRST_COMPILER, *options, script, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """How a process that was started ended, and what it printed."""
    try:
        stdout, stderr = process.communicate(timeout=900)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
