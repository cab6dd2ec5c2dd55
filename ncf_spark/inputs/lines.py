"""Whether each line of a text holds a record of its own: what a CSV or JSON reader passes over."""

from __future__ import annotations

import re

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncf_spark.inputs.text import REMEDY, Options

RAGGED = "another number of cells than in the first line. Mend them"
# What a file is read wrongly for, and what to do about it.
PROBLEMS = {
    "bad_encoding": f"not UTF-8. {REMEDY}",
    "open_quote": "a quoted cell does not end on its line. Set options: {multiLine: true}.",
    "bad_json": "no JSON record. Mend or remove them.",
    "ragged": f"{RAGGED}, or, to have missing cells read as empty and further ones left out, add "
    "mode: PERMISSIVE to options.",
}


def build_flags(
    lines: DataFrame,
    source_format: str,
    options: Options,
    num_cells: int,
    *,
    every_cell: bool = False,
) -> DataFrame:
    """`lines` with a flag for each of PROBLEMS, of which at most one is true, and three further.

    `is_record`; `is_utf_8`: it has letters beyond ASCII, and they are UTF-8; `is_other`: they are
    of another encoding.

    | value       | is_record | bad_encoding | open_quote | bad_json | ragged |
    |-------------|-----------|--------------|------------|----------|--------|
    | u1;"Tea tin | true      | false        | true       | false    | false  |
    | with lid"   | true      | false        | false      | false    | true   |

    Args:
        lines: (value, …), of a text read as UTF-8 or of an encoding that has ASCII in it.
        num_cells: of each record; 0: not known. For CSV alone.
        every_cell: whether lines of another number of cells are wrong also in mode PERMISSIVE.
    """
    value = F.col("value")
    is_record = F.trim(value) != ""
    if options.comment:
        is_record = is_record & ~value.startswith(options.comment)
    nothing = F.lit(False)
    flags = dict.fromkeys(PROBLEMS, nothing)
    # Java puts U+FFFD where bytes are no letter; a genuine one is found among the bytes.
    is_other = value.rlike("\ufffd") & ~F.contains(value, F.lit("\ufffd"))
    is_utf_8 = (F.octet_length(value) > F.length(value)) & ~is_other
    if options.is_utf_8:
        flags["bad_encoding"] = is_other
    if not options.flag("multiLine"):
        if source_format == "json":
            flags["bad_json"] = F.get_json_object(value, "$").isNull()
        if source_format == "csv":
            is_open, cells = _read_cells(value, options)
            flags["open_quote"] = is_open
            if num_cells and (every_cell or not options.has("mode")):
                flags["ragged"] = cells != num_cells
    earlier = ~is_record
    for name, flag in flags.items():
        flags[name] = F.coalesce(flag & ~earlier, nothing)
        earlier = earlier | flag
    return lines.withColumns(
        {"is_record": is_record, "is_utf_8": is_utf_8, "is_other": is_other, **flags}
    )


def _read_cells(value: Column, options: Options) -> tuple[Column, Column]:
    """Whether the line ends within a quoted cell, and how many cells it has."""
    sep = re.escape(options.sep)
    plain = F.size(F.split(value, sep, -1))
    if not options.quote:
        return F.lit(False), plain
    quote, escape = re.escape(options.quote), re.escape(options.escape)
    within = (
        rf"(?:[^{quote}]++|{quote}{quote})*+"
        if options.escape == options.quote
        else rf"(?:[^{quote}{escape}]++|{escape}.)*+"
    )
    to_end = rf"[^{sep}]*+" if len(options.sep) == 1 else rf"(?:(?!{sep}).)*+"
    blank = r"\s*+" if options.flag("ignoreLeadingWhiteSpace") else ""
    # A quote further on in a cell, as in 24" wide, is a letter like another.
    cell = rf"(?:{blank}{quote}{within}{quote}{to_end}|(?!{blank}{quote}){to_end})"
    has_quote = F.contains(value, F.lit(options.quote))
    is_open = value.rlike(rf"(?s)^(?:{cell}{sep})*+{blank}{quote}{within}$")
    # Each cell with the separator before it becomes one letter.
    led = F.concat(F.lit(options.sep), value)
    cells = F.length(F.regexp_replace(led, rf"(?s){sep}{cell}", "c"))
    return has_quote & is_open, F.when(has_quote, cells).otherwise(plain)
