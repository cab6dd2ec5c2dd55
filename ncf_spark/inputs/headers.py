"""The columns of CSV files, by the header of each: files of one table may order them otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from ncf_spark.config import Source
from ncf_spark.errors import DataError
from ncf_spark.inputs import text
from ncf_spark.inputs.canonical import masked, read_address
from ncf_spark.inputs.text import Options
from ncf_spark.storage import hadoop
from ncf_spark.storage.hadoop import File, Listing

# Of formats whose files name their columns themselves, the first show whether all is well.
_FEW = 20


def read_heads(spark: SparkSession, source: Source, listing: Listing) -> dict[File, bytes]:
    """The first bytes of a table's files that have any: of each text, and of some other files."""
    is_text = source.format.lower() in ("csv", "json", "text")
    files = [file for file in listing.files if file.num_bytes]
    chosen = files if is_text else files[:_FEW]
    with ThreadPoolExecutor(max_workers=8) as pool:
        heads = pool.map(lambda file: hadoop.read_head(spark, file, text.HEAD_BYTES), chosen)
        return dict(zip(chosen, heads, strict=True))


def group_files(
    source: Source, name: str, heads: Mapping[File, bytes]
) -> dict[tuple[str, ...], list[File]]:
    """The files of a CSV table by their columns in order; empty for other formats.

    Without a header the columns are `0`, `1`, … .

    Raises:
        DataError: when the files do not have the same columns, or one has a row where its header
            should be.
    """
    if source.format.lower() != "csv":
        return {}
    options = Options(source.options)
    groups = dict[tuple[str, ...], list[File]]()
    for file, head in heads.items():
        cells = text.read_header(text.unpack(file.name, head), options)
        if cells is not None:
            columns = tuple(cells if options.flag("header") else map(str, range(len(cells))))
            groups.setdefault(columns, []).append(file)
    first = next(iter(groups), ())
    for columns in groups if options.flag("header") else ():
        if is_data := [cell for cell in columns if _is_address(cell)]:
            raise DataError(
                f"{name}.path: the first line of {groups[columns][0].name} holds an address "
                f"({masked(is_data[0])}), so it is no header, and nobody would read it. Set "
                "options: {header: false}, under which columns are called _c0, _c1 and so on."
            )
    for columns in groups:
        if len(columns) != len(first) or set(map(_key, columns)) != set(map(_key, first)):
            raise DataError(
                f"{name}.path: {groups[columns][0].name} has {_shown(columns, options)}, and "
                f"{groups[first][0].name} has {_shown(first, options)}. Files of one table must "
                "have the same columns. Leave one of them out, or write it again."
            )
    return groups


def order_fields(schema: StructType, columns: Sequence[str]) -> StructType | None:
    """The fields of a schema in the order of a header; None where their names are others."""
    fields = {_key(field.name): field for field in schema}
    if fields.keys() != {_key(column) for column in columns}:
        return None
    return StructType([fields[_key(column)] for column in columns])


def _is_address(cell: str) -> bool:
    found = read_address(cell)
    return found is not None and found.address is not None


def _key(name: str) -> str:
    return name.strip().casefold()


def _shown(columns: tuple[str, ...], options: Options) -> str:
    if options.flag("header"):
        # Where there is no header after all, these are the first row's cells.
        return f"the columns {', '.join(masked(c) if '@' in c else c for c in columns)}"
    return f"{len(columns)} cells in its first line"
