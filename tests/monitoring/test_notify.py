import pytest

from ncf_spark.config import load_config
from ncf_spark.errors import ConfigError, DataError
from ncf_spark.monitoring.notify import check_monitoring


def config(path: object):
    return load_config("conf/base.yaml", ["input.path=x", f"monitoring.openmetrics_path={path}"])


def test_a_place_for_the_figures_is_tried_and_left_as_it_was(tmp_path):
    check_monitoring(config("null"))
    (tmp_path / "ncf.prom").write_text("of last night")
    check_monitoring(config(tmp_path / "ncf.prom"))
    assert [path.name for path in tmp_path.iterdir()] == ["ncf.prom"]
    assert (tmp_path / "ncf.prom").read_text() == "of last night"


def test_a_place_that_cannot_be_written_to_is_named_before_the_night(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"monitoring\.openmetrics_path: cannot write to /.*/file/"):
        check_monitoring(config(tmp_path / "file" / "ncf.prom"))


def test_a_name_that_node_exporter_would_not_read_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"monitoring\.openmetrics_path is '.*ncf\.txt'.*prom"):
        config(tmp_path / "ncf.txt")
