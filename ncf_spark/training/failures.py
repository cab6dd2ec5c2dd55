"""Why workers failed. Each says so in a file: Horovod hands on no more than an exit status.

What comes again in the same way ends the training; what may pass, such as a worker that is lost and
with it the connections of the others, lets it start again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from ncf_spark.errors import ConfigError, DataError, SchemaError, WorkerError
from ncf_spark.storage import files

_LONGEST_MESSAGE = 500

# What is wrong with the settings or the tables, and as what the driver raises it. A loss that is
# not finite asks for another learning rate.
_RAISED_AS = {
    "ConfigError": ConfigError,
    "FloatingPointError": ConfigError,
    "DataError": DataError,
    "SchemaError": SchemaError,
}

# Of the storage: the others may be a moment's trouble.
_LASTING = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


@dataclass(frozen=True)
class Failure:
    """What one worker said before it ended.

    Args:
        worker: its rank.
        error: the type of the exception.
        message: its first line.
        may_pass: whether another attempt may do better.
    """

    worker: int
    error: str
    message: str
    may_pass: bool

    def __str__(self) -> str:
        return f"worker {self.worker}: {self.error}: {self.message}"


class Failures:
    """What the workers of one attempt say, in files of their own.

    Args:
        uri: a folder that no other attempt writes to.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @contextmanager
    def told(self, worker: int, lost: type[Exception]) -> Iterator[None]:
        """Writes down what ends the block, and hands it on.

        Args:
            worker: its rank.
            lost: the error that a worker meets when another one is gone.
        """
        try:
            yield
        except Exception as error:
            may_pass = isinstance(error, (lost, OSError)) and not isinstance(error, _LASTING)
            failure = Failure(worker, type(error).__name__, first_line(error), may_pass)
            files.write_json(f"{self.uri}/worker-{worker:05d}.json", asdict(failure))
            raise

    def read(self) -> list[Failure]:
        """What was told, by rank."""
        names = files.list_names(self.uri)
        return [Failure(**files.read_json(f"{self.uri}/{name}")) for name in names]

    def check(self, model: str) -> None:
        """Raises what will come again.

        Args:
            model: its name.

        Raises:
            ConfigError, DataError, SchemaError: when the settings or the tables are wrong.
            WorkerError: when a worker failed for any other reason that does not pass.
        """
        for failure in self.read():
            if failure.may_pass:
                continue
            if failure.error in _RAISED_AS:
                message = f"{model}: {failure.message.rstrip('.')}."
                raise _RAISED_AS[failure.error](message) from None
            raise WorkerError(
                f"{model}: {failure}. The same would come again, so training is not restarted."
            ) from None


def summary(reported: Sequence[Failure], num_workers: int) -> str:
    """`worker 0 is lost; worker 1: HorovodInternalError: …`; empty when nothing was reported.

    Args:
        reported: what the workers of one attempt said, of whichever model.
    """
    said = {failure.worker: str(failure) for failure in reported}
    lost = [f"worker {rank} is lost" for rank in range(num_workers) if rank not in said]
    return "; ".join([*lost, *(said[rank] for rank in sorted(said))]) if said else ""


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """Makes what goes wrong in reading a table an error of the data: it would come again.

    Raises:
        DataError: naming the table; a lost connection is handed on as it is.
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
    """Of its message, cut where it is very long; its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:_LONGEST_MESSAGE] if lines else type(error).__name__
