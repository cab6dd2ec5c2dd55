"""How much is said, and to whom beside the log."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ncf_spark.config.sections import Section, Text


class Logging(Section):
    """How much is said, and how."""

    level: Literal["DEBUG", "INFO", "WARNING"]
    format: Literal["text", "json"]


class Monitoring(Section):
    """Where the night's figures go."""

    openmetrics_path: Annotated[str, Field(pattern=r"\.prom$")] | None
    mlflow_tracking_uri: Text | None
    mlflow_experiment: Text
