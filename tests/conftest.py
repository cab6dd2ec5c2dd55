"""What all tests share: one Spark session for the whole run, and small helpers.

The helpers are plain functions: `from tests.conftest import rows`.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from pyarrow import fs
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from tests.s3 import Relay, s3_server

# Timestamps pass between Python and Spark in the process's own zone.
os.environ["TZ"] = "UTC"
time.tzset()
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
# Of torch, in this process and those that it starts: the tests run in as many processes as cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Of a short run's JVM: the second compiler does not pay, and without it Java reserves too little
# room for code.
JVM_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC"

# One example may run a Spark job; the same examples in every run, so that a failure comes back.
settings.register_profile("ncf_spark", deadline=None, derandomize=True, database=None)
settings.load_profile("ncf_spark")

# Tiny queries: starting, compiling and replanning them takes longer than running them. What needs
# two partitions asks for them. The tests that run spark-submit have their own settings.
SESSION = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.extraJavaOptions": JVM_OPTIONS,
    # Where in Python each column was made, which takes three calls a column.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.shuffle.partitions": "1",
    # As in the files of conf/spark/.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # As in ncf_spark.pipeline.session.
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    "spark.sql.legacy.javaCharsets": "true",
}


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The one session of the run: one core, one shuffle partition, UTC."""
    builder = SparkSession.builder.master("local[1]").appName("tests")
    for key, value in SESSION.items():
        builder = builder.config(key, value)
    # Catalog tables go to a temporary folder, not into the checkout.
    builder = builder.config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("catalog")))
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    if session.version >= "4":  # 3.5 makes no DataFrames of Arrow tables
        session.createDataFrame = partial(_create_dataframe, session.createDataFrame)
    yield session
    session.stop()


@pytest.fixture
def two_partitions(spark: SparkSession) -> Iterator[None]:
    """Two shuffle partitions instead of one: for what must hold wherever a row lies."""
    spark.conf.set("spark.sql.shuffle.partitions", "2")
    yield
    spark.conf.set("spark.sql.shuffle.partitions", SESSION["spark.sql.shuffle.partitions"])


def _create_dataframe(create: Callable[..., DataFrame], data: Any, schema: Any = None) -> DataFrame:
    """A DataFrame whose plan holds the rows; Spark's own sends them through a Python worker.

    An empty one is Spark's own: a plan that holds no rows is cut down to nothing.
    """
    from pyspark.sql.conversion import LocalDataToArrowConversion

    if isinstance(data, list) and data and schema is not None:
        schema = StructType.fromDDL(schema) if isinstance(schema, str) else schema
        data = LocalDataToArrowConversion.convert(data, schema, use_large_var_types=False)
    return create(data, schema)


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need the S3 server are slow: its environment is made for them only."""
    for item in items:
        if "s3" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def _s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as relay:
        yield relay


@pytest.fixture
def s3(_s3: Relay, monkeypatch: pytest.MonkeyPatch) -> Relay:
    """An S3 server with an empty bucket `shop`; the environment says where, and with which keys."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", _s3.url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    _s3.refuse = lambda method, path: False
    owner = fs.S3FileSystem(
        scheme="http",
        endpoint_override=_s3.url.removeprefix("http://"),
        region="us-east-1",
        allow_bucket_creation=True,
    )
    owner.create_dir("shop")
    owner.delete_dir_contents("shop")
    _s3.requests.clear()
    return _s3


def rows(table: DataFrame) -> list[tuple[Any, ...]]:
    """The rows as sorted tuples, nulls first, so that their order in the table does not matter."""
    return sorted((tuple(row) for row in table.collect()), key=_nulls_first)


def _nulls_first(row: tuple[Any, ...]) -> list[tuple[bool, Any]]:
    return [(value is not None, value) for value in row]


def at(text: str) -> datetime:
    """`at("2026-11-23 08:00")`; without a zone, which here means UTC, as Spark collects it."""
    return datetime.fromisoformat(text)
