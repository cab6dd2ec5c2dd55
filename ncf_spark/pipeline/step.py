"""The declaration of a step: order, reruns, clean-up and documents derive from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ncf_spark.config import Config, Source
from ncf_spark.schemas.results import Result

if TYPE_CHECKING:
    from ncf_spark.pipeline.context import Job

# Other runs whose tables a step reads, by their keys in its record.
OtherRun = Literal["based_on", "night_before"]


class UndeclaredError(Exception):
    """A step reads or writes a table that it does not declare: a bug of ours."""


def _no_inputs(config: Config) -> dict[str, Source]:
    return {}


@dataclass(frozen=True)
class Step:
    """A step of a night.

    Args:
        name: of the step and of its job, `jobs/<name>.py`.
        run: does the work of the step; what it returns stands in its record.
        writes: tables, which are deleted before it runs again. Of a table with others below it
            (`compared/als/user_vectors`) the first part.
        reads: tables of earlier steps of the same run.
        settings: what decides, beside tables and inputs, what the step writes: settings, or
            sections with all that is in them. When one changes, the step runs again.
        except_settings: settings in these sections that decide nothing.
        inputs: the customer's tables that it reads, by the section that names them.
        must_match: earlier steps, with settings that must be what they were there, since the step
            would misread tables otherwise.
        other_runs: `based_on`, the run that ids go on from, or `night_before`.
    """

    name: str
    run: Callable[[Job], Result | None]
    writes: tuple[str, ...]
    reads: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    except_settings: tuple[str, ...] = ()
    inputs: Callable[[Config], dict[str, Source]] = _no_inputs
    must_match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    other_runs: tuple[OtherRun, ...] = ()

    def check_writes(self, table: str) -> None:
        """Raises UndeclaredError when the step does not declare that it writes a table."""
        if table.split("/")[0] not in self.writes:
            raise UndeclaredError(f"step {self.name} writes {table}, but declares {self.writes}")

    def check_reads(self, table: str) -> None:
        """Raises UndeclaredError when the step does not declare that it reads a table."""
        if table.split("/")[0] not in (*self.reads, *self.writes):
            raise UndeclaredError(f"step {self.name} reads {table}, but declares {self.reads}")


def writer_of(steps: Iterable[Step], table: str) -> str:
    """The step that writes a table."""
    return next(step.name for step in steps if table.split("/")[0] in step.writes)


def setting(config: Mapping[str, Any], name: str) -> Any:
    """The value of a setting in a dumped configuration; None where it is not there."""
    found: Any = config
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
