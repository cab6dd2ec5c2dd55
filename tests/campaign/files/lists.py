"""Small campaigns for the tests of the files."""

from collections.abc import Sequence
from datetime import date, datetime, timezone
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from ncf_spark import schemas
from ncf_spark.campaign.files.rows import Export

EXPORT = Export(
    "autumn", date(2026, 11, 23), "neumf-7", datetime(2026, 11, 24, 2, 30, 5, tzinfo=timezone.utc)
)

TEA = ("tea", 'Tea, "hot"', "https://s.example/tea", None, 2.5, 0.5, "model")
RUM = ("rum", None, "https://s.example/rum", "https://i.example/rum", None, 1e-5, "popular")
ANA = ("ana", "Ana@x.example", "de-AT", "AT", None, "model", [TEA, RUM])
BEN = ("-ben", "=b@x.example", None, None, "new", "popular", [RUM])


def campaign_lists(spark: SparkSession, rows: Sequence[tuple[Any, ...]]) -> DataFrame:
    """CAMPAIGN_LISTS of these rows."""
    return spark.createDataFrame(list(rows), schemas.CAMPAIGN_LISTS)
