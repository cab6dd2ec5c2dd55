import numpy as np
import pytest
import torch

from ncf_spark.model.recommender import Recommender
from ncf_spark.scoring.best import BestItems, candidates
from ncf_spark.scoring.blocks import UserBlock
from ncf_spark.scoring.exact import sizes_of_logits, sum_lengths
from tests.model.architectures import KINDS, build_architecture

NUM_ITEMS = 700
DEVICES = ["cpu", "cuda"]


def device_of(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU here")
    return torch.device(name)


def random_model(kind: str, num_items: int = NUM_ITEMS, scale: float = 0.5, **named) -> Recommender:
    """With items 10 to 19 of one vector, so that they tie."""
    sizes = {"factors": 4, "tower": (8, 16, 6), **named}
    model = Recommender(build_architecture(kind, num_items, **sizes), 0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
        model.item_vectors[10:20] = model.item_vectors[10].clone()
    return model


def random_users(model: Recommender, count: int) -> UserBlock:
    """Users who have seen up to 40 items."""
    generator = torch.Generator().manual_seed(3)
    vectors = torch.randn(count, model.head.width, generator=generator)
    num_items = len(model.item_vectors)
    seen = [torch.randperm(num_items, generator=generator)[: row % 41] for row in range(count)]
    rows = torch.arange(count).repeat_interleave(torch.tensor([len(items) for items in seen]))
    return UserBlock(vectors, (rows, torch.cat(seen)))


def naive_lists(model: Recommender, users: UserBlock, items, k: int) -> list[list[tuple]]:
    """(item, score) of each user's best, by NumPy in double precision over every pair."""
    p = {
        name.split(".", 1)[-1]: v.detach().double().numpy() for name, v in model.named_parameters()
    }
    scores = naive_scores(model, p, users.vectors.double().numpy())
    scores[users.seen[0].numpy(), users.seen[1].numpy()] = np.nan
    lists = []
    for line in scores:
        allowed = [(-line[i], i) for i in items if not np.isnan(line[i])]
        lists.append([(item, -negated) for negated, item in sorted(allowed)[:k]])
    return lists


def naive_scores(model: Recommender, p: dict[str, np.ndarray], users: np.ndarray) -> np.ndarray:
    items = p["item_vectors"]
    kind = type(model.head).__name__
    if kind == "MF":
        return users[:, :-1] @ items[:, :-1].T + users[:, -1:] + items[:, -1] + p["bias"]
    gmf = {"GMF": "", "NeuMF": "gmf."}.get(kind)
    mlp = {"MLP": "", "NeuMF": "mlp."}.get(kind)
    width = len(p[f"{gmf}output"]) if gmf is not None else 0
    scores = np.full((len(users), len(items)), p["bias"])
    if gmf is not None:
        scores += (users[:, :width] * p[f"{gmf}output"]) @ items[:, :width].T
    if mlp is not None:
        slope = model.head.slope if kind == "MLP" else model.head.mlp.slope
        sides = np.broadcast_arrays(users[:, None, width:], items[None, :, width:])
        hidden = np.concatenate(sides, axis=2)
        for layer in ("first", "layers.0"):
            hidden = hidden @ p[f"{mlp}{layer}.weight"].T + p[f"{mlp}{layer}.bias"]
            hidden = np.where(hidden > 0, hidden, slope * hidden)
        scores += hidden @ p[f"{mlp}output"]
    return scores


def found_lists(finder: BestItems, users: UserBlock, device="cpu") -> list[list[tuple]]:
    """(item, score) of each user's best."""
    moved = UserBlock(users.vectors.to(device), tuple(part.to(device) for part in users.seen))
    rows, items, scores = (column.tolist() for column in finder(moved))
    lists: list[list[tuple]] = [[] for _ in range(len(users.vectors))]
    for row, item, score in zip(rows, items, scores, strict=True):
        lists[row].append((item, score))
    return lists


def check(found: list[list[tuple]], expected: list[list[tuple]]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert [item for item, _ in ours] == [item for item, _ in theirs]
        np.testing.assert_allclose([s for _, s in ours], [s for _, s in theirs], rtol=1e-12)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("k", [1, 10, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_the_lists_are_those_of_double_precision_over_every_pair(kind, k, device):
    model, device = random_model(kind), device_of(device)
    users = random_users(model, 60)
    items = [item for item in range(NUM_ITEMS) if item % 5]
    expected = naive_lists(model, users, items, k)
    finder = BestItems(model.to(device), torch.tensor(items, device=device), k, 2**14)
    check(found_lists(finder, users, device), expected)


def test_leaky_towers_and_narrow_ones_too():
    model = random_model("mlp", activation="leaky_relu", tower=(8, 3, 2))
    users = random_users(model, 20)
    finder = BestItems(model, torch.arange(NUM_ITEMS), 10, 2**14)
    check(found_lists(finder, users), naive_lists(model, users, range(NUM_ITEMS), 10))


def test_double_precision_decides_what_single_precision_cannot_tell_apart():
    # Item i scores 1 + i · 2⁻³⁰ in double precision and 1 in single precision.
    model = random_model("gmf", factors=2)
    with torch.no_grad():
        model.head.output.fill_(1.0)
        model.bias.zero_()
        model.item_vectors[:, 0] = 1.0
        model.item_vectors[:, 1] = torch.arange(NUM_ITEMS) * 2.0**-30
    nothing = torch.empty(0, dtype=torch.int64)
    finder = BestItems(model, torch.arange(NUM_ITEMS), 3, 2**14)
    [found] = found_lists(finder, UserBlock(torch.ones(1, 2), (nothing, nothing)))
    assert [item for item, _ in found] == [699, 698, 697]


def test_an_item_that_single_precision_puts_too_low_is_found():
    # The last item scores 2, but 1 in single precision: 2²⁴ + 1 = 2²⁴. The others have 1.5.
    model = random_model("gmf")
    with torch.no_grad():
        model.head.output.fill_(1.0)
        model.bias.zero_()
        model.item_vectors.copy_(torch.tensor([0.0, 0.75, 0.0, 0.75]))
        model.item_vectors[-1] = torch.tensor([2.0**24, 1.0, -(2.0**24), 1.0])
        single = model.head.block((torch.ones(1, 4),), (model.item_vectors,))
    assert single[0, -1] < 1.5, "this device adds in another order: the test shows nothing"
    nothing = torch.empty(0, dtype=torch.int64)
    [found] = found_lists(finder_of(model, 2), UserBlock(torch.ones(1, 4), (nothing, nothing)))
    assert found == [(NUM_ITEMS - 1, 2.0), (0, 1.5)]


def test_sizes_of_a_tower_are_added_up_layer_by_layer():
    head = random_model("mlp", tower=(2, 1, 1)).head
    with torch.no_grad():
        head.layers[0].weight.fill_(-2.0)
        head.layers[0].bias.fill_(5.0)
        head.output.fill_(-4.0)
        sizes = sizes_of_logits(head, (torch.tensor([[-3.0], [1.0]]),), (torch.tensor([2.0]),))
    # What goes its own way: 3, then 3·2 + 5 = 11. Hidden: 3, then the larger of 3·2 and 11.
    # And of the second user: 1, then 7; 2, then 7.
    assert sizes.tolist() == [(11 + 11) * 4, (7 + 7) * 4]


def test_lengths_of_sums_are_those_of_the_layers_between_the_vectors_and_the_logit():
    # The tower is 8, 16 and 6 wide. Encoding did the sums of 8; those of 16 and 6 are left.
    assert sum_lengths(random_model("mlp").head) == 16 + 6
    assert sum_lengths(random_model("gmf").head) == 4
    assert sum_lengths(random_model("neumf").head) == 4 + 16 + 6


def test_fewer_items_than_k_and_users_with_few_left():
    model = random_model("neumf", num_items=25)
    seen = [(0, i) for i in range(25)] + [(1, i) for i in range(2, 25)]
    block = UserBlock(torch.ones(3, 8), tuple(torch.tensor(seen).T))
    finder = BestItems(model, torch.arange(20), 30, 2**14)
    found = found_lists(finder, block)
    assert [len(items) for items in found] == [0, 2, 20]
    check(found, naive_lists(model, block, range(20), 30))


def test_without_items_or_users_there_is_nothing():
    model = random_model("neumf")
    none = torch.empty(0, dtype=torch.int64)
    assert found_lists(BestItems(model, none, 3, 2**14), random_users(model, 2)) == [[], []]
    every = BestItems(model, torch.arange(NUM_ITEMS), 3, 2**14)
    assert found_lists(every, UserBlock(torch.empty(0, 8), (none, none))) == []


@pytest.mark.parametrize("k", [2, 10])
def test_scores_that_are_not_numbers_are_left_out(k):
    model = random_model("gmf")
    with torch.no_grad():
        model.item_vectors[5:400:3] = torch.nan
    users = random_users(model, 9)
    finder = BestItems(model, torch.arange(NUM_ITEMS), k, 2**14)
    check(found_lists(finder, users), naive_lists(model, users, range(NUM_ITEMS), k))
    with torch.no_grad():
        model.item_vectors[1:] = torch.nan
    assert all(len(items) <= 1 for items in found_lists(finder_of(model, k), users))


def finder_of(model: Recommender, k: int) -> BestItems:
    return BestItems(model, torch.arange(len(model.item_vectors)), k, 2**14)


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_gets_the_same_bits_in_any_company(kind):
    model = random_model(kind, scale=2.0)
    users, finder = random_users(model, 120), finder_of(model, 10)
    together = found_lists(finder, users)
    shuffled = torch.randperm(120, generator=torch.Generator().manual_seed(5)).tolist()
    for few in (1, 7, 64, 100):
        for low in range(0, 120, few):
            chosen = shuffled[low : low + few]
            rows, items = users.seen
            places = torch.cat([(rows == user).nonzero().flatten() for user in chosen])
            row_of = {user: row for row, user in enumerate(chosen)}
            own = torch.tensor([row_of[user] for user in rows[places].tolist()], dtype=torch.int64)
            alone = found_lists(finder, UserBlock(users.vectors[chosen], (own, items[places])))
            assert alone == [together[user] for user in chosen]


def test_single_precision_is_never_wrong_by_more_than_its_bound():
    for kind in KINDS:
        model = random_model(kind, scale=3.0)
        finder, users = finder_of(model, 1), random_users(model, 50)
        with torch.no_grad():
            encoded = finder._double.encode_users(users.vectors.double())
            rounded = tuple(part.float() for part in encoded)
            single = model.head.block(rounded, finder._rounded, 2**14)[:, :NUM_ITEMS].double()
            double = finder._double.block(encoded, finder._encoded, 2**14)
            bound = finder._relative * sizes_of_logits(finder._double, encoded, finder._largest)
        off = (single - double).abs().amax(dim=1)
        assert (off <= bound).all(), kind
        # Nor is the bound so wide that it would let everything through.
        assert bound.max() < 1e-3 * double.abs().max(), kind


def test_candidates_are_those_within_the_margin():
    scores = torch.tensor([[5.0, 1.0, 4.0, 3.9, -torch.inf], [0.0, torch.nan, 2.0, 2.0, 1.0]])
    rows, items = candidates(scores, 2, torch.tensor([0.5, 0.0]))
    assert sorted(zip(rows.tolist(), items.tolist(), strict=True)) == [
        (0, 0),
        (0, 2),
        (0, 3),
        (1, 2),
        (1, 3),
    ]
