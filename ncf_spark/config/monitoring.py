"""The log, and where else the night's figures go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ncf_spark.config.sections import Section, Text


class Logging(Section):
    """The log."""

    level: Literal["DEBUG", "INFO", "WARNING"]
    """`DEBUG` (each table and finding), `INFO` (a line per step) or `WARNING`."""
    format: Literal["text", "json"]
    """`text`, or `json`: one object per line, with the numbers as fields."""


class Monitoring(Section):
    """Where else the night's figures go.

    They are always in the run: `summary.txt` and `metrics.prom`.
    """

    openmetrics_path: Annotated[str, Field(pattern=r"\.prom$")] | None
    """A file `NAME.prom`, for example in the folder of node_exporter's textfile collector. It is
    replaced when a night is published or refused. `null`: none.
    """
    mlflow_tracking_uri: Text | None
    """An MLflow server or store that gets settings, figures, summary and report of each night:
    `http://…`, or a folder as `file:///…`. `null`: none.
    """
    mlflow_experiment: Text
    """The MLflow experiment; created if it is missing."""
