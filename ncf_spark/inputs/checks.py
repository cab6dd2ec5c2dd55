"""Whether the files of the customer's tables can be read as they are configured.

The first bytes of each file are looked at by the driver; the lines of texts by one Spark job for
all tables, since a reader of CSV or JSON says nothing of what it cannot read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from urllib.parse import unquote

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncf_spark.config import Source
from ncf_spark.errors import DataError
from ncf_spark.inputs import headers, lines, text
from ncf_spark.inputs.text import Options
from ncf_spark.pipeline.context import Job
from ncf_spark.storage import hadoop
from ncf_spark.storage.hadoop import File, Listing
from ncf_spark.storage.sources import find_files

# Formats whose readers take any text, and fill what they cannot read with nulls.
_LINES = ("csv", "json", "text")
# Of a hundred lines in another encoding than UTF-8 less than one looks like UTF-8 by chance.
_BY_CHANCE = 0.01
# Every other table without a row is a mistake.
_MAY_BE_EMPTY = ("send_log", "suppressions", "outcomes")


def check_input_files(job: Job) -> None:
    """Looks at the customer's files before they are read, in the first step at those of all steps.

    Raises:
        DataError: with all that is wrong with them.
    """
    step = job.steps[job.name]
    wanted = {name for name, source in step.inputs(job.config).items() if source.configured}
    if job.name == job.first_step:
        wanted |= job.config.sources.keys() - {"outcomes", "split.holdout"}
    sources = {n: s for n, s in job.config.sources.items() if n in wanted - job.checked}
    job.doing = "a look at the input's files"
    check_files(job.spark, sources)
    job.checked |= sources.keys()


def check_files(spark: SparkSession, sources: Mapping[str, Source]) -> None:
    """Raises DataError with all that is wrong with the files of some tables.

    Args:
        sources: by the section that names them; catalog tables are passed over.
    """
    problems, flagged = list[str](), list[DataFrame]()
    for name, source in sources.items():
        if source.path is None:
            continue
        try:
            listing = find_files(spark, source, name)
            heads = headers.read_heads(spark, source, listing)
            _check_heads(source, name, heads)
            groups = headers.group_files(source, name, heads)
        except DataError as error:
            problems.append(str(error))
            continue
        if source.format.lower() in _LINES:
            num_cells = len(next(iter(groups), ()))
            flagged.append(_flag_lines(spark, source, name, listing, num_cells))
    problems += _scan(spark, sources, flagged)
    if problems:
        raise DataError("\n".join(problems))


def _check_heads(source: Source, name: str, heads: Mapping[File, bytes]) -> None:
    """Raises DataError with what the first bytes of files tell of them."""
    options, kind = Options(source.options), source.format.lower()
    is_utf_8 = any(text.holds_utf_8(text.unpack(file.name, head)) for file, head in heads.items())
    found = [
        f"{name}.path: {file.name} {problem}"
        for file, head in heads.items()
        if (problem := text.find_problem(file.name, head, kind, options, beside_utf_8=is_utf_8))
    ]
    if found:
        more = [f"{name}.path: and {len(found) - 3:,} files more"] if len(found) > 3 else []
        raise DataError("\n".join(found[:3] + more))


def _flag_lines(
    spark: SparkSession, source: Source, name: str, listing: Listing, num_cells: int
) -> DataFrame:
    """The lines of a table's files, with what speaks against each."""
    options = Options(source.options)
    paths = [hadoop.escape(file.path) for file in listing.files]
    reader = spark.read.option("lineSep", options.line_sep) if options.line_sep else spark.read
    rows = reader.text(paths).select(
        F.lit(name).alias("source"), F.col("_metadata.file_path").alias("file"), "value"
    )
    is_list = _is_list(name)
    return lines.build_flags(rows, source.format.lower(), options, num_cells, every_cell=is_list)


def _is_list(source: str) -> bool:
    return source.startswith("suppressions.")


def _scan(
    spark: SparkSession, sources: Mapping[str, Source], flagged: Sequence[DataFrame]
) -> list[str]:
    """What is wrong with the lines of some tables; one Spark job where nothing is."""
    if not flagged:
        return []
    asked = [F.count_if("is_record").alias("records"), F.count_distinct("file").alias("files")]
    flags = [*lines.PROBLEMS, "is_utf_8", "is_other"]
    for name in flags:
        asked += [F.count_if(name).alias(name), F.min(F.when(F.col(name), F.col("file")))]
    together, problems = reduce(DataFrame.unionByName, flagged), list[str]()
    for row in together.groupBy("source").agg(*asked).orderBy("source").collect():
        name, num_records, num_files, *found = row
        counts, files = (dict(zip(flags, part, strict=True)) for part in (found[::2], found[1::2]))
        options = Options(sources[name].options)
        for problem, told in _find_problems(counts, options, _is_list(name)).items():
            where = _describe(together, name, problem, counts[problem], files[problem])
            problems.append(f"{where} {told}")
        has_header = options.flag("header")
        if num_records <= num_files * has_header and name.split(".")[0] not in _MAY_BE_EMPTY:
            problems.append(f"{name}.path: {sources[name].path} holds a header and no rows.")
    return problems


def _find_problems(counts: Mapping[str, int], options: Options, is_list: bool) -> dict[str, str]:
    """What is wrong with a table's lines, by the flag of `lines` that they have.

    Args:
        counts: of lines by flag.
        is_list: whether the table is a suppression list, of which every cell counts.
    """
    found = {name: told for name, told in lines.PROBLEMS.items() if counts[name]}
    if "open_quote" in found:
        # The lines after an open quote are short for no other reason.
        found.pop("ragged", None)
    if "ragged" in found and is_list:
        found["ragged"] = f"{lines.RAGGED}."
    if "bad_encoding" in found and counts["is_utf_8"] > _BY_CHANCE * counts["bad_encoding"]:
        found["bad_encoding"] = (
            "not UTF-8, as other lines are. Correct them, or write the files again in one "
            "encoding: another options.encoding would garble the other lines."
        )
    if not options.encoding.startswith("utf") and counts["is_utf_8"] > counts["is_other"]:
        found["is_utf_8"] = f"UTF-8, not {options.encoding}. Remove options.encoding."
    return found


def _describe(flagged: DataFrame, source: str, problem: str, count: int, file: str) -> str:
    """How many lines of a table have a problem, and where the first stand."""
    of_file = flagged.where((F.col("source") == source) & (F.col("file") == file)).coalesce(1)
    numbered = of_file.withColumn("line", F.monotonically_increasing_id() + 1).where(problem)
    first = ", ".join(f"{row[0]:,}" for row in numbered.select("line").head(3))
    name = unquote(file).rsplit("/", 1)[-1]
    what = "1 line" if count == 1 else f"{count:,} lines"
    return f"{source}.path: {name}, line {first}: in {what}"
