"""How a job ends: one message, and the exit status that schedulers go by."""

import pytest

from ncf_spark.errors import ConfigError, DataError, LockedError, RefusedError, SchemaError
from ncf_spark.pipeline.command_line import reporting


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ConfigError("run.seed: is not set."), 2, "error: run.seed: is not set."),
        (DataError("input.path: none"), 2, "error: input.path: none"),
        (SchemaError("a column is missing"), 2, "error: a column is missing"),
        (RefusedError("gates.volume: too low"), 3, "refused: gates.volume: too low"),
        (LockedError("another run writes"), 1, "error: another run writes"),
        (OSError("[Errno 28] No space left on device"), 1, "error: there is no space left where"),
        (RuntimeError("file:/in/a.parquet is not a Parquet file"), 2, "error: file:/in/a.parquet"),
    ],
)
def test_an_error_that_a_person_can_mend_ends_with_its_message_and_status(
    capsys, error, status, message
):
    with pytest.raises(SystemExit) as raised, reporting():
        raise error
    assert raised.value.code == status
    assert capsys.readouterr().err.startswith(message)


def test_a_bug_is_not_explained_away():
    with pytest.raises(KeyError, match="user_index"), reporting():
        raise KeyError("user_index")
