import pytest

from ncf_spark.config import load_config
from ncf_spark.errors import ConfigError
from ncf_spark.monitoring import tracking
from ncf_spark.monitoring.tracking import check_installed, metrics, parameters, track
from tests.monitoring.night_facts import facts

BASE = "conf/base.yaml"


def config(uri: object):
    return load_config(BASE, ["input.path=x", f"monitoring.mlflow_tracking_uri={uri}"])


def test_a_night_is_a_run_in_mlflows_local_store(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    uri = f"file://{tmp_path}/store"
    for _ in range(2):  # the second finds the experiment there
        run_id = track(config(uri), facts(), {"summary.txt": "one page", "report.html": "<p>é"})
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("ncf_spark")
    assert len(client.search_runs([experiment.experiment_id])) == 2
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "2026-11-23.2"
    assert run.data.tags["published"] == "True"
    assert run.data.metrics["neumf/full/ndcg_at_10"] == 0.25
    assert run.data.metrics["rows/campaign"] == 1234
    assert run.data.metrics["seconds/train"] == 100
    assert run.data.params["training.epochs"] == str(config(uri).training.epochs)
    assert len(run.data.params) > 100  # more than a server takes at once
    artifacts = {a.path for a in client.list_artifacts(run_id)}
    assert artifacts == {"summary.txt", "report.html"}


def test_a_server_that_is_down_raises_soon(monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        track(config("http://127.0.0.1:9"), facts(), {})


def test_without_mlflow_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    check_installed(config("null"))
    with pytest.raises(ConfigError, match=r"mlflow_tracking_uri is set, .*ncf-spark\[mlflow\]"):
        check_installed(config("http://mlflow.example"))


def test_parameters_are_flat_and_hold_no_secrets():
    settings = {
        "input": {"format": "jdbc", "options": {"password": "x"}, "event_weights": {}},
        "training": {"pretraining": {"gmf": {"epochs": 3}}},
        "evaluation": {"compared": {"a b": {"model.kind": "mf", "ü@": 1}}},
        "monitoring": {"mlflow_tracking_uri": "http://me:secret@mlflow.example"},
    }
    assert dict(parameters(settings)) == {
        "input.format": "jdbc",
        "input.event_weights": "{}",
        "training.pretraining.gmf.epochs": "3",
        "evaluation.compared.a b.model.kind": "mf",
        "evaluation.compared.a b.ü_": "1",
    }
    assert all("@" not in name for name in metrics(facts()))
