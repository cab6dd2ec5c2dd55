import pytest
import torch

from ncf_spark.config import ConfigError
from ncf_spark.training.distributed import LineLogger, _device


def test_output_is_logged_in_whole_lines():
    lines: list[str] = []
    stream = LineLogger(lambda form, line: lines.append(form % line))
    assert stream.write("one\ntw") == 6
    stream.write("o\n\n")
    stream.flush()
    stream.write("three")
    assert lines == ["train: one", "train: two"]


def test_the_cpu_is_taken_when_it_is_asked_for():
    assert _device("cpu") == torch.device("cpu")


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert _device("auto") == torch.device("cpu")


def test_a_missing_gpu_is_an_error_that_names_the_setting(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"training\.device is cuda.*set training\.device: auto"):
        _device("cuda")


@pytest.mark.parametrize(("assigned", "index"), [(["3"], 3), ([], 1)])
def test_the_gpu_is_the_one_that_spark_assigned_else_by_local_rank(monkeypatch, assigned, index):
    place = "ncf_spark.training.distributed"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(f"{place}.get_available_devices", lambda: assigned)
    monkeypatch.setattr(f"{place}.hvd.local_rank", lambda: 5)
    assert _device("auto") == torch.device("cuda", index)
