from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from ncf_spark.model import store
from ncf_spark.model.recommender import (
    Architecture,
    Recommender,
    initialise_shared,
    initialise_users,
)
from ncf_spark.storage import arrays
from tests.model.architectures import KINDS, build_architecture

SHARD_USERS = {0: np.array([0, 2, 4]), 1: np.array([1, 3])}


def architecture(kind: str) -> Architecture:
    # What only some kinds have is set for all: it must come back for those that have it.
    return build_architecture(
        kind,
        num_items=6,
        factors=3,
        tower=(8, 5, 2),
        dropout=(0.1, 0.2),
        activation="leaky_relu",
        similarity="cosine",
        temperature=0.2,
    )


def save(kind: str, uri: str) -> Recommender:
    """A model of 5 users, whose rows stand by shard: users 0, 2, 4, then 1, 3."""
    model = Recommender(architecture(kind), 5)
    initialise_shared(model, architecture(kind), seed=3)
    initialise_users(model, architecture(kind), [(0, 3), (1, 2)], 5, seed=3)
    with torch.no_grad():  # biases too, which start at 0
        model.bias.fill_(0.5)
        for vectors in (model.user_vectors, model.item_vectors):
            vectors[:, -1] = torch.arange(len(vectors)) - 2.0
    vectors = model.user_vectors.detach().numpy()
    store.save_users(uri, 0, SHARD_USERS[0], vectors[:3])
    store.save_users(uri, 1, SHARD_USERS[1], vectors[3:])
    store.save_shared(uri, model)
    store.save_manifest(uri, architecture(kind), {"num_users": 5})
    return model.eval()


def written(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_read_back_gives_the_same_scores(kind, tmp_path):
    model = save(kind, f"file://{tmp_path}")
    loaded = store.load_model(f"file://{tmp_path}").model
    indexes, vectors = arrays.read_vectors(f"file://{tmp_path}/user_vectors", "user_index")
    assert indexes.tolist() == [0, 1, 2, 3, 4]
    rows_of_users = torch.tensor([0, 3, 1, 4, 2])
    every_item = torch.arange(6).expand(5, 6)
    expected = model(rows_of_users, every_item)
    assert len(expected.unique()) > 15
    user_vectors = torch.from_numpy(vectors)
    assert torch.equal(loaded.pairs(user_vectors, loaded.item_vectors[every_item]), expected)


def test_the_manifest_tells_what_the_model_is(tmp_path):
    save("neumf", f"file://{tmp_path}")
    stored = store.load_model(f"file://{tmp_path}")
    assert stored.architecture == architecture("neumf")
    assert stored.manifest["num_users"] == 5


def test_a_loaded_model_scores_without_dropout_and_holds_no_user(tmp_path):
    save("neumf", f"file://{tmp_path}")
    model = store.load_model(f"file://{tmp_path}").model
    assert not model.training
    assert model.user_vectors.shape == (0, 7)


def test_nothing_on_disk_is_a_pickle(tmp_path):
    save("neumf", f"file://{tmp_path}")
    assert written(tmp_path) == [
        "item_vectors/part-00000.parquet",
        "manifest.json",
        "shared.safetensors",
        "user_vectors/shard-00000.parquet",
        "user_vectors/shard-00001.parquet",
    ]
    for name in written(tmp_path):
        # A pickle starts with \x80, and torch's zip of pickles with PK.
        assert (tmp_path / name).read_bytes()[:2] not in (b"\x80\x02", b"\x80\x04", b"PK")


def test_vectors_are_tables_of_our_schema(tmp_path):
    save("gmf", f"file://{tmp_path}")
    users = pq.read_table(tmp_path / "user_vectors" / "shard-00001.parquet")
    assert users.column("user_index").to_pylist() == [1, 3]
    types = {field.name: str(field.type) for field in users.schema}
    assert types["user_index"] == "int32"
    assert types["vector"].startswith("list<")
    assert "float" in types["vector"]


def test_a_model_without_its_manifest_is_refused(tmp_path):
    save("gmf", f"file://{tmp_path}")
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"manifest\.json"):
        store.load_model(f"file://{tmp_path}")


def test_a_model_with_too_few_item_vectors_is_refused(tmp_path):
    save("gmf", f"file://{tmp_path}")
    place = f"file://{tmp_path}/item_vectors/part-00000.parquet"
    arrays.write_vectors(place, "item_index", np.arange(4), np.zeros((4, 3), np.float32))
    with pytest.raises(RuntimeError, match="size mismatch for item_vectors"):
        store.load_model(f"file://{tmp_path}")
