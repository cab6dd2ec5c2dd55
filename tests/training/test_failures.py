import pytest

from ncf_spark.errors import ConfigError, DataError, SchemaError, WorkerError
from ncf_spark.training.failures import Failures, reading, summary


class LostError(RuntimeError):
    """Stands for what a worker meets when another one is gone."""


@pytest.fixture
def failures(tmp_path) -> Failures:
    return Failures(f"file://{tmp_path}/failures/attempt-0")


def fail(failures: Failures, worker: int, error: BaseException) -> None:
    with pytest.raises(type(error)), failures.recorded(worker, LostError):
        raise error


def test_workers_that_end_well_say_nothing(failures):
    with failures.recorded(0, LostError):
        pass
    assert failures.read() == []
    failures.check("model")
    assert summary(failures.read(), 2) == ""


@pytest.mark.parametrize(
    ("told", "raised"),
    [
        (ConfigError("training.device is cuda; set auto."), ConfigError),
        (FloatingPointError("training.device is cuda; set auto."), ConfigError),
        (DataError("training.device is cuda; set auto."), DataError),
        (SchemaError("training.device is cuda; set auto."), SchemaError),
    ],
)
def test_what_is_wrong_with_settings_or_tables_is_raised_as_such(failures, told, raised):
    fail(failures, 1, told)
    with pytest.raises(raised, match=r"^neumf: training.device is cuda; set auto\.$"):
        failures.check("neumf")


@pytest.mark.parametrize(
    "error",
    [TypeError("an int"), ValueError("an int"), RuntimeError("an int"), MemoryError("an int")],
)
def test_a_bug_is_told_with_its_type_and_worker(failures, error):
    fail(failures, 3, error)
    expected = rf"^neumf: worker 3: {type(error).__name__}: an int\. Permanent failures"
    with pytest.raises(WorkerError, match=expected):
        failures.check("neumf")


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "no such file"), PermissionError(13, "not allowed")]
)
def test_files_that_are_not_there_will_not_come(failures, error):
    fail(failures, 0, error)
    with pytest.raises(WorkerError, match=r"worker 0: \w+Error: \[Errno"):
        failures.check("neumf")


@pytest.mark.parametrize(
    "error", [LostError("shut down"), ConnectionResetError("reset"), OSError("no answer")]
)
def test_transient_failures_are_not_raised(failures, error):
    fail(failures, 1, error)
    failures.check("neumf")
    told = f"worker 1: {type(error).__name__}: {error}"
    assert summary(failures.read(), 3) == f"worker 0 is lost; worker 2 is lost; {told}"


def test_the_cause_is_raised_and_not_what_it_did_to_the_others(failures):
    fail(failures, 0, LostError("shut down"))
    fail(failures, 1, TypeError("an int"))
    with pytest.raises(WorkerError, match="worker 1: TypeError: an int"):
        failures.check("neumf")


def test_a_message_is_its_first_line_and_not_too_long(failures):
    fail(failures, 0, LostError("x" * 2_000 + "\nuser 7"))
    fail(failures, 1, LostError())
    first, second = failures.read()
    assert first.message == "x" * 500
    assert second.message == "LostError"


def test_attempts_do_not_hear_each_other(tmp_path, failures):
    fail(failures, 0, TypeError("an int"))
    Failures(f"file://{tmp_path}/failures/attempt-1").check("neumf")


@pytest.mark.parametrize(
    "error", [ValueError("cut short"), OSError("cut short"), FileNotFoundError("cut short")]
)
def test_a_table_that_cannot_be_read_is_an_error_of_the_data(error):
    expected = r"^file:///run/train: cannot be read \(cut short\)\. Run the step that writes it"
    with pytest.raises(DataError, match=expected), reading("file:///run/train"):
        raise error


@pytest.mark.parametrize(
    "error", [ConnectionResetError("reset"), TimeoutError("late"), KeyError(1)]
)
def test_a_lost_connection_or_a_bug_is_no_error_of_the_data(error):
    with pytest.raises(type(error)), reading("file:///run/train"):
        raise error
