"""Why workers failed: each records its error in a file, as Horovod returns only an exit status.

Transient failures, such as a lost worker and the connections to it, let the training start again.
Permanent failures are not retried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from ncf_spark.errors import ConfigError, DataError, SchemaError, WorkerError
from ncf_spark.storage import files

_LONGEST_MESSAGE = 500

# Errors of settings or tables, and what the driver raises for them. A loss that is not finite needs
# another learning rate.
_RAISED_AS = {
    "ConfigError": ConfigError,
    "FloatingPointError": ConfigError,
    "DataError": DataError,
    "SchemaError": SchemaError,
}

# Errors of the storage that are permanent; other OSErrors are transient.
_PERMANENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


@dataclass(frozen=True)
class Failure:
    """The error that ended a worker.

    Args:
        worker: its rank.
        error: the type of the exception.
        message: its first line.
        is_transient: whether another attempt may succeed.
    """

    worker: int
    error: str
    message: str
    is_transient: bool

    def __str__(self) -> str:
        return f"worker {self.worker}: {self.error}: {self.message}"


class Failures:
    """The failures of the workers of one attempt, a file each.

    Args:
        uri: a folder that no other attempt writes to.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @contextmanager
    def recorded(self, worker: int, lost: type[Exception]) -> Iterator[None]:
        """Records the exception that ends the block, and raises it again.

        Args:
            worker: its rank.
            lost: the error of a worker that lost the connection to another.
        """
        try:
            yield
        except Exception as error:
            is_transient = isinstance(error, (lost, OSError)) and not isinstance(error, _PERMANENT)
            failure = Failure(worker, type(error).__name__, first_line(error), is_transient)
            files.write_json(f"{self.uri}/worker-{worker:05d}.json", asdict(failure))
            raise

    def read(self) -> list[Failure]:
        """The recorded failures, by rank."""
        names = files.list_names(self.uri)
        return [Failure(**files.read_json(f"{self.uri}/{name}")) for name in names]

    def check(self, model: str) -> None:
        """Raises the first permanent failure.

        Args:
            model: its name.

        Raises:
            ConfigError, DataError, SchemaError: when the settings or the tables are wrong.
            WorkerError: when a worker failed permanently for any other reason.
        """
        for failure in self.read():
            if failure.is_transient:
                continue
            if failure.error in _RAISED_AS:
                message = f"{model}: {failure.message.rstrip('.')}."
                raise _RAISED_AS[failure.error](message) from None
            raise WorkerError(f"{model}: {failure}. Permanent failures are not retried.") from None


def summary(reported: Sequence[Failure], num_workers: int) -> str:
    """`worker 0 is lost; worker 1: HorovodInternalError: …`; empty when nothing was reported.

    Args:
        reported: the failures of one attempt, of all models.
    """
    by_worker = {failure.worker: str(failure) for failure in reported}
    lost = [f"worker {rank} is lost" for rank in range(num_workers) if rank not in by_worker]
    return "; ".join([*lost, *(by_worker[rank] for rank in sorted(by_worker))]) if by_worker else ""


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Raises errors in reading a table as errors of the data, which are permanent.

    Raises:
        DataError: naming the table; a lost connection is raised as it is.
    """
    try:
        yield
    except (ConnectionError, TimeoutError):
        raise
    except (OSError, ValueError) as error:  # pyarrow's errors are one of the two
        raise DataError(
            f"{uri}: cannot be read ({first_line(error)}). Run the step that writes it again."
        ) from error


def first_line(error: Exception) -> str:
    """Of its message, cut if very long; its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:_LONGEST_MESSAGE] if lines else type(error).__name__
