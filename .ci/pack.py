"""Packs what executors need into build/: the environment, and this package beside it.

Writes build/environment.tar.gz, by venv-pack, which is kept while .venv stays the same, and
build/ncf_spark.zip, which is made anew each time: code changes more often than its libraries.

Left out of the environment are the tools for tests, checks and benchmarks, what only compilers
read, and Spark's jars, which a cluster has of its own. Python itself is not in it either: the
interpreter that .venv was made with must stand at the same path on every machine.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import venv_pack
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "ncf-spark"
# Of the package's requirements, the `horovod` extra is needed where it trains; petastorm and pip
# are not told what builds or tests need.
EXTRAS = ("", "horovod")
UNUSED = (
    # What leads to the checkout, which is on this machine only.
    "*/site-packages/__editable__*",
    "*/site-packages/ncf_spark-*",
    "*/site-packages/pyspark/jars/*",
    "*/site-packages/pyspark/work/*",  # what a standalone worker leaves
    "*/site-packages/pyspark/examples/*",
    "*/site-packages/torch/include/*",
    "*/site-packages/torch/test/*",
    "*/site-packages/pyarrow/include/*",
    "*/site-packages/pyarrow/tests/*",
    "*/site-packages/pandas/tests/*",
    "include/*",
    "share/*",
    "bin/*",
)


def main() -> None:
    """Writes both files, and says how large they are."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    environment = build / "environment.tar.gz"
    mark, seen = build / "environment.fingerprint", fingerprint()
    if not environment.exists() or not mark.exists() or mark.read_text() != seen:
        mark.unlink(missing_ok=True)
        pack(environment)
        mark.write_text(seen)
    code = shutil.make_archive(str(build / "ncf_spark"), "zip", ROOT, "ncf_spark")
    for path in (environment, Path(code)):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:,.1f} MB")


def pack(output: Path) -> None:
    """The environment without what executors do not need, as a packed archive."""
    started = time.monotonic()
    environment = venv_pack.Env(sys.prefix)
    for pattern in [*UNUSED, *of_other_packages()]:
        environment = environment.exclude(pattern)
    environment = environment.include("bin/python*")
    # Higher levels take several times as long for a tenth less.
    environment.pack(str(output), compress_level=1, force=True)
    print(f"packed in {time.monotonic() - started:.0f} s")


def fingerprint() -> str:
    """Changes with any package of .venv, and with this script."""
    packages = sorted(f"{d.name} {d.version}" for d in metadata.distributions())
    content = "\n".join([sys.version, sys.prefix, *packages, Path(__file__).read_text()])
    return hashlib.sha256(content.encode()).hexdigest()


def of_other_packages() -> Iterator[str]:
    """The files of packages that this one does not ask for, such as the tools for tests."""
    needed = set(required(PACKAGE, EXTRAS))
    for distribution in metadata.distributions():
        if normal(distribution.name) not in needed:
            yield from sorted(patterns(distribution))


def patterns(distribution: metadata.Distribution) -> set[str]:
    """Its folders, files and commands, as patterns below .venv."""
    names = {
        Path(*file.parts[:1]).name for file in distribution.files or [] if file.parts[0] != ".."
    }
    return {f"lib/*/site-packages/{name}" for name in names} | {
        f"lib/*/site-packages/{name}/*" for name in names if name != "__pycache__"
    }


def required(name: str, extras: tuple[str, ...]) -> Iterator[str]:
    """A package and, again and again, what it asks for."""
    todo, done = [(name, extras)], set()
    while todo:
        name, extras = todo.pop()
        if (normal(name), extras) in done:
            continue
        done.add((normal(name), extras))
        yield normal(name)
        for line in metadata.requires(name) or []:
            asked = Requirement(line)
            if asked.marker is None or any(asked.marker.evaluate({"extra": e}) for e in extras):
                todo.append((asked.name, ("", *sorted(asked.extras))))


def normal(name: str) -> str:
    """One spelling for a name that may be written with -, _ and capitals."""
    return name.lower().replace("_", "-")


if __name__ == "__main__":
    main()
