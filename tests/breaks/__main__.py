"""Breaks the package one line at a time, and tells which breaks the tests notice.

    python -m tests.breaks [--only TEXT] [--jobs N]

First the tests that should notice are run on the code as it is: they must pass. Then each break of
the lists beside this file is made in a copy of the repository, and its tests are run there, but
for the slow ones. The exit status is 0 when every break is noticed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from pyspark.java_gateway import launch_gateway

from tests.breaks.lists import ROOT, Break, read_breaks
from tests.conftest import JVM_OPTIONS

NOTICED, MISSED = "noticed", "NOT NOTICED"
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", ".wheels", "*cache*", ".hypothesis", "build")
_JVM = f"--conf spark.ui.enabled=false --driver-java-options '{JVM_OPTIONS}' pyspark-shell"


class Copy:
    """A copy of the repository, and a JVM for the tests that are run in it.

    Each run is a process of its own, but the JVM stays: started and warmed up anew, it would take
    most of the time.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(ROOT, root, ignore=_LEFT_OUT)
        os.environ |= {
            "PYTHONPATH": str(root),
            "PYTHONDONTWRITEBYTECODE": "1",  # or the bytecode of one break might serve the next
            "PYSPARK_SUBMIT_ARGS": _JVM,
        }
        # It ends with this process. Spark's Python workers look in its working directory first.
        self._gateway = launch_gateway(popen_kwargs={"cwd": root})
        address = self._gateway.gateway_parameters
        self._environment = {
            **os.environ,
            "PYSPARK_GATEWAY_PORT": str(address.port),
            "PYSPARK_GATEWAY_SECRET": address.auth_token,
        }

    def run(self, tests: Sequence[str]) -> tuple[int, str]:
        """pytest's exit status, and what it said."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        how = {"cwd": self.root, "env": self._environment, "stderr": subprocess.STDOUT}
        done = subprocess.run(
            [*command, "-m", "not slow", *tests], stdout=subprocess.PIPE, text=True, **how
        )
        if self._gateway.proc.poll() is not None:
            raise RuntimeError("the JVM of the tests has ended, so they say nothing of the code")
        return done.returncode, done.stdout

    def outcome(self, one: Break) -> tuple[str, str]:
        """Whether the tests notice a break, and what pytest said."""
        path = self.root / one.file
        text = path.read_text(encoding="utf-8")
        if text.count(one.old) != 1:
            return "old text not found", f"{one.old} stands there {text.count(one.old)} times"
        path.write_text(one.broken(text), encoding="utf-8")
        try:
            status, said = self.run(one.tests.split())
        finally:
            path.write_text(text, encoding="utf-8")
        if status == 1 and re.search(r"^\d+ failed", said, re.MULTILINE):
            return NOTICED, said
        return MISSED if status == 0 else "the tests did not run", said


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.breaks")
    parser.add_argument("--only", default="", help="breaks whose file or words have this text")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time (default: 1)")
    arguments = parser.parse_args()
    breaks = [b for b in read_breaks() if arguments.only in f"{b.file} {b.breaks} {b.rule}"]
    started, num_noticed = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="breaks-") as folder:
        copies: Queue[Copy] = Queue()
        for number in range(arguments.jobs):
            copies.put(Copy(Path(folder) / str(number)))
        status, said = copies.queue[0].run(sorted({t for one in breaks for t in one.tests.split()}))
        if status:
            sys.exit(f"{said}\nThese tests fail on the code as it is, so nothing was broken.")

        def outcome(one: Break) -> tuple[str, str]:
            copy = copies.get()
            try:
                return copy.outcome(one)
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(arguments.jobs) as pool:
            for one, (found, said) in zip(breaks, pool.map(outcome, breaks), strict=True):
                num_noticed += found == NOTICED
                print(f"{found}: {one.breaks} ({one.file})", flush=True)
                if found not in (NOTICED, MISSED):
                    print(said)
    print(f"{num_noticed} of {len(breaks)} noticed in {time.monotonic() - started:.0f} s")
    return 0 if breaks and num_noticed == len(breaks) else 1


if __name__ == "__main__":
    sys.exit(main())
