"""Log lines: text for a person, or JSON lines for a collector. To standard error.

spark-submit joins what Python writes there to its own standard output.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Literal

log = logging.getLogger("ncf_spark")

# Not a context variable: the threads that report progress speak for the step, too.
_working_on: dict[str, str | None] = {"step": None, "run": None}


def set_up_logging(level: str, form: Literal["text", "json"]) -> None:
    """Our own lines from `level` on, other libraries' from WARNING on.

    Spark's own lines come from the JVM; conf/spark/log4j2.properties sets their format.
    """
    handler = logging.StreamHandler()
    if form == "json":
        handler.setFormatter(JsonLines())
        sys.excepthook = lambda *error: log.critical("the job failed", exc_info=error)
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(handlers=[handler], force=True)
    with contextlib.suppress(ImportError):  # Spark 3 has none
        from pyspark.logger import PySparkLogger

        # They log a stack trace of each error in the customer's SQL; the job prints one sentence.
        for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
            PySparkLogger.getLogger(name).setLevel(logging.CRITICAL)
    log.setLevel(level)


def print_last_message(message: str) -> None:
    """Prints the last message of a job: as a JSON line where the log is JSON, else as it is."""
    if any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers):
        log.error("%s", message)
    else:
        print(message, file=sys.stderr, flush=True)


def working_on(step: str | None, run: str | None) -> None:
    """Sets the step and run of the lines from now on."""
    _working_on.update(step=step, run=run)


def numbers(**fields: Any) -> dict[str, dict[str, Any]]:
    """`log.info("…", extra=numbers(seconds=3.2))`: fields of a JSON line; a text has none."""
    return {"numbers": fields}


class JsonLines(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, step, run, message, and the numbers."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        at = datetime.fromtimestamp(record.created, timezone.utc)
        given: Mapping[str, Any] = getattr(record, "numbers", {})
        content: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            **_working_on,
            "message": record.getMessage(),
        }
        if record.name != log.name:
            content["logger"] = record.name
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        fields = {name: value for name, value in given.items() if name not in content}
        return json.dumps(content | fields, default=str, ensure_ascii=False)
