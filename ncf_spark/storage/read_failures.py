"""Why Spark could not read something, in a sentence for a person."""

from __future__ import annotations

import re

from py4j.protocol import Py4JJavaError

# Up to a known ending, since names may have blanks in them; else up to a blank or a quote.
_FILE = (
    r"(?:file|hdfs|s3a?|gs|abfss?):/(?:[^\n'\"]+?\.(?:parquet|csv|json|txt|dat|orc|avro)"
    r"(?:\.\w+)?(?![\w/-]|\.\w)|[^\s,;'\"\]]+)"
)
_MISMATCH = r"Parquet column \[[^\]]*\]\. Expected Spark type .*?actual Parquet type \w+"
_UNREADABLE = (
    r"FAILED_READ_FILE|CANNOT_READ_FILE|is not a Parquet file|MALFORMED_RECORD|"
    r"Could not read footer|Checksum error|Unexpected end of (?:ZLIB )?input stream|"
    r"not a gzip file|CSVHeaderChecker"
)


def describe_read_failure(error: BaseException) -> str | None:
    """What to tell a person when a query failed over the input; None if that is not why."""
    text = str(error)
    if re.search(_UNREADABLE, text):
        found = re.search(_FILE, text)
        if mismatch := re.search(_MISMATCH, text):
            return (
                f"{found.group(0) if found else 'a file of the input'}: {mismatch.group(0)}: its "
                "columns are of other types than in the other files. Write it again with their "
                "types, or leave it out."
            )
        # Spark 3 does not name a compressed text file.
        path = found.group(0).rstrip(".") if found else "a file of the input"
        what = "damaged, cut short or of another format"
        if "Unexpected end of" in text and (path.endswith(".gz") or not found):
            what = "cut short (gzip)"
        return f"{path}: cannot be read; it is {what}. Replace it."
    if found := re.search(r"\[CAST_INVALID_INPUT\] (.*?cannot be cast.*?malformed)", text):
        return (
            f"{found.group(1)}. A condition of the configuration (input.where, catalogue.where …) "
            "asks for this; write try_cast(… AS …) there, which gives null instead."
        )
    return None


def describe(error: BaseException) -> str:
    """What an error is and the first line of what it says; of one in the JVM, what it was there."""
    if isinstance(error, Py4JJavaError):
        return str(error.java_exception.toString()).splitlines()[0]
    return f"{type(error).__name__}: {first_line(error)}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message; of an error in the JVM, what it said there."""
    java = error.java_exception.getMessage() if isinstance(error, Py4JJavaError) else None
    return str(java or error).strip().splitlines()[0]


def cannot_read(key: str, path: str, error: Exception) -> str:
    """A sentence about a path that a reader failed on.

    Args:
        key: the setting that names the path.
    """
    if re.search(r"PATH_NOT_FOUND|TABLE_OR_VIEW_NOT_FOUND|does not exist", str(error)):
        return f"{key}: {path} does not exist."
    damaged = describe_read_failure(error)
    return f"{key}: {path} cannot be read. " + (damaged or first_line(error))
