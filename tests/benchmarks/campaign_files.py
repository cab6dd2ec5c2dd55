"""A million recipients with ten items each as the files of every profile: seconds, and the driver.

python -m tests.benchmarks.campaign_files                       # about 10 minutes on 2 cores
python -m tests.benchmarks.campaign_files --recipients 100000 --profile klaviyo

Spark generates the lists and writes them to Parquet, which is not measured; each profile then
reads, formats and writes them. The seconds of the processors are told too, which other programs on
the machine lengthen less. On `local[2]`, as here, the JVM is driver and executor, and its heap is
filled by the tasks; what the driver's own Python holds is told apart.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timezone
from pathlib import Path

import psutil
from pyspark.sql import DataFrame, SparkSession

from ncf_spark import schemas
from ncf_spark.campaign.files.profiles import PROFILES, Profile, header
from ncf_spark.campaign.files.rows import Export, build_rows
from ncf_spark.storage.parts import Part, PartsFolder
from tests.benchmarks.contenders.sessions import start_spark

K = 10
EXPORT = Export(
    "autumn", date(2026, 11, 23), "neumf-7", datetime(2026, 11, 24, 2, tzinfo=timezone.utc)
)
ITEMS = 20_000


def build_lists(spark: SparkSession, recipients: int) -> DataFrame:
    """CAMPAIGN_LISTS of hashed items; every hundredth title has quotes and letters of two bytes."""

    def slot(user: str, nth: int) -> str:
        item = f"pmod(xxhash64({user}, {nth}), {ITEMS})"
        return f"""named_struct(
            'item_id', concat('item-', {item}),
            'title', if({item} % 100 = 0, concat('Müller''s "best" tea, no ', {item}),
                        concat('A title of the usual length, number ', {item})),
            'url', concat('https://shop.example/catalogue/item/', {item}, '?campaign=autumn'),
            'image_url', concat('https://images.shop.example/', {item}, '/large.jpg'),
            'price', {item} / 100.0D,
            'score', float(1.0D / ({nth} + 1 + pmod({user}, 97) / 97.0D)),
            'source', 'model')"""

    slots = ", ".join(slot("id", nth) for nth in range(K))
    return spark.range(recipients).selectExpr(
        "concat('user-', id) as user_id",
        "concat('person.', id, '@mail.example') as email",
        "'de-DE' as locale",
        "if(id % 3 = 0, null, 'DE') as country",
        "'many' as segment",
        "if(id % 10 = 0, 'popular', 'model') as arm",
        f"array({slots}) as slots",
    )


def write(lists: DataFrame, profile: Profile, uri: str) -> list[Part]:
    """The files of one profile."""
    rows = build_rows(lists, profile, export=EXPORT, k=K)
    with PartsFolder(uri, {"profile": profile.name}) as folder:
        if profile.suffix == "parquet":
            return folder.write_parquet(rows, group="campaign")
        return folder.write_lines(
            rows,
            group="campaign",
            suffix=profile.suffix,
            line_end=profile.line_end,
            header=header(profile, K),
            max_bytes=profile.max_bytes,
            profile=profile.name,
        )


@contextmanager
def sampled(peaks: dict[str, int]) -> Iterator[None]:
    """The largest resident sizes while the body runs: of this process, and of those below it.

    They are its JVM, the JVMs of executors where these are processes of their own, and the Python
    workers.
    """
    done = threading.Event()

    def sample() -> None:
        me = psutil.Process()
        while not done.wait(0.25):
            sizes = {"driver": me.memory_info().rss, "jvm": 0, "executor": 0, "worker": 0}
            for process in me.children(recursive=True):
                try:
                    is_own = process.ppid() == me.pid
                    java = "jvm" if is_own else "executor"
                    kind = java if process.name() == "java" else "worker"
                    sizes[kind] = max(sizes[kind], process.memory_info().rss)
                except psutil.Error:  # it has just ended
                    continue
            peaks.update({kind: max(size, peaks.get(kind, 0)) for kind, size in sizes.items()})

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def processor_seconds() -> float:
    """Of all processes of this program so far."""
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipients", type=int, default=1_000_000)
    parser.add_argument("--profile", choices=list(PROFILES), action="append")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        spark = start_spark("campaign_files")
        uri = f"file://{Path(name)}"
        build_lists(spark, arguments.recipients).write.parquet(f"{uri}/lists")
        lists = schemas.conform(
            spark.read.parquet(f"{uri}/lists"), schemas.CAMPAIGN_LISTS, "campaign_lists"
        )
        for profile in arguments.profile or PROFILES:
            peaks: dict[str, int] = {}
            started, worked = time.perf_counter(), processor_seconds()
            with sampled(peaks):
                parts = write(lists, PROFILES[profile], f"{uri}/{profile}")
            seconds = time.perf_counter() - started
            worked = processor_seconds() - worked
            rows, megabytes = (
                sum(part.rows for part in parts),
                sum(part.bytes for part in parts) / 1e6,
            )
            sizes = ", ".join(f"{kind} {size / 1e6:.0f} MB" for kind, size in peaks.items())
            print(
                f"{profile}: {seconds:.1f} s ({worked:.0f} s of processors), {rows:,} rows, "
                f"{megabytes:.0f} MB in {len(parts)} files; {sizes}",
                flush=True,
            )
        spark.stop()


if __name__ == "__main__":
    main()
