"""Training from and to an object store: train, checkpoints and the model on a real S3 server."""

from dataclasses import replace
from pathlib import Path

import pytest

from ncf_spark.model.store import load_model
from ncf_spark.storage import files
from ncf_spark.training.checkpoint import last_checkpoint
from ncf_spark.training.task import TrainingTask
from ncf_spark.training.worker import save_manifest
from tests.training.tasks import NUM_ITEMS, alone, on_workers, stored, without_seconds
from tests.training.test_checkpoint import LostError, fail_at  # noqa: F401


def on_s3(task: TrainingTask) -> TrainingTask:
    """The same task, its tables copied to the server; what it writes goes there too."""
    folder = Path(task.model_uri.removeprefix("file://")).parent
    for path in folder.rglob("*.parquet"):
        files.write_bytes(f"s3a://shop/a night/{path.relative_to(folder)}", path.read_bytes())
    places = ("train_uri", "validation_uri", "activity_uri", "model_uri", "checkpoints_uri")
    return replace(
        task,
        **{n: getattr(task, n).replace(f"file://{folder}", "s3a://shop/a night") for n in places},
    )


@pytest.mark.parametrize("resident_bytes", [None, 1])
def test_a_model_is_trained_as_on_the_local_disk(task, s3, resident_bytes):
    task = replace(task, resident_bytes=resident_bytes)  # 1: streamed from its files
    remote = on_s3(task)
    expected, found = on_workers(task, 2), on_workers(remote, 2)
    assert without_seconds(found[0]["history"]) == without_seconds(expected[0]["history"])
    save_manifest(remote, [{**worker, "bytes_exchanged": {}} for worker in found])
    assert load_model(remote.model_uri).model.item_vectors.shape == (NUM_ITEMS, 4)
    for name, vectors in stored(task).items():
        assert stored(remote)[name].tolist() == vectors.tolist()


def test_it_goes_on_from_a_checkpoint_and_leaves_out_one_that_is_torn(task, s3, fail_at):  # noqa: F811
    remote = replace(on_s3(task), checkpoint_epochs=1, redraw=False)
    expected = alone(replace(task, redraw=False))
    fail_at(3)
    with pytest.raises(LostError):
        alone(remote)
    assert files.list_names(remote.checkpoints_uri) == ["000001", "000002"]
    files.write_bytes(f"{remote.checkpoints_uri}/000002/users-00001.safetensors", b"torn")
    number, problems = last_checkpoint(remote.checkpoints_uri, remote.identity)
    assert number == 1
    assert "users-00001.safetensors has 4 bytes" in problems[0]
    begun = fail_at(None)
    found = alone(remote)
    assert begun == [2, 3]
    assert without_seconds(found["history"]) == without_seconds(expected["history"])
    assert stored(remote)["user"].tolist() == stored(task)["user"].tolist()
