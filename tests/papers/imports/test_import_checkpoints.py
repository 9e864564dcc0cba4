"""The authors' checkpoints become a run folder of ours: the same network, number for number; whatever does not fit is refused."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.torch_version import TorchVersion

from authors import GRAMMAR, PARAMS, plain_network, write_member
from twinsplit.data.sequences import SequenceData
from twinsplit.errors import InputError
from twinsplit.networks.transformer import Transformer
from twinsplit.papers.imports.checkpoints import batches, epoch_of, gather
from twinsplit.papers.imports.names import NameMap, feedforward_of, parameters_of
from twinsplit.papers.imports.reader import read_weights
from twinsplit.papers.imports.run import import_run
from twinsplit.papers.imports.sandbox import answer
from twinsplit.papers.imports.settings import settings_near, settings_of
from twinsplit.runs.store import Run
from twinsplit.training.loop import load_ensemble
from twinsplit.worlds.sequences.world import HierarchicalWorld

NETWORK = Transformer(4, 4, 16, 2, 2, 32)
USUAL = NameMap.usual()
HERE = Path("model.pt")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Our data folder with 60 sequences."""
    SequenceData(GRAMMAR, GRAMMAR.sample(60, 1).numpy(), {}).save(tmp_path / "data")
    return tmp_path / "data"


def same_logits(parameters: dict[str, torch.Tensor], network: Any, transformer: Transformer) -> None:
    """Float32 accuracy, at times of both ends and between."""
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(20, transformer.length, transformer.vocab_size, generator=generator)
    t = torch.tensor([1, 2, 7, 25, 50]).repeat(4)
    with torch.no_grad():
        expected = network(x_t, t)
        found = transformer.outputs({name: value[None] for name, value in parameters.items()}, x_t[None], t[None])[0]
    assert torch.allclose(found, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module.", "module._orig_mod."])
def test_a_plain_encoder_gives_the_same_logits(prefix: str) -> None:
    network = plain_network(3)
    state = {prefix + name: value for name, value in network.state_dict().items()}
    same_logits(parameters_of(state, NETWORK, USUAL, HERE), network, NETWORK)
    assert feedforward_of(state, USUAL, HERE) == 32


def test_the_published_size_gives_the_same_logits() -> None:
    sizes = {"q": 6, "l": 4, "d_model": 512, "num_layers": 8, "nhead": 4}
    network = plain_network(1, sizes)
    same_logits(parameters_of(network.state_dict(), Transformer(), USUAL, HERE), network, Transformer())


def test_swapped_halves_of_a_layer_would_be_noticed() -> None:
    """So that the tests above can fail."""
    network = plain_network(3)
    state = network.state_dict()
    name = "transformer_encoder.layers.0.self_attn.in_proj_weight"
    swapped = state | {name: state[name].roll(16, 0)}
    with pytest.raises(AssertionError):
        same_logits(parameters_of(swapped, NETWORK, USUAL, HERE), network, NETWORK)


def test_an_imported_run_is_the_networks_that_were_given(tmp_path: Path, data: Path) -> None:
    given = {split: write_member(tmp_path / "theirs" / f"seed_{split}", split, (2, 10, 30), "_orig_mod.") for split in (3, 1)}
    story = import_run(gather([tmp_path / "theirs"]), data, tmp_path / "run", 10, USUAL)
    run = Run.open(tmp_path / "run")
    assert run.steps() == (4, 20, 60)  # 6 sequences in batches of 4: two steps an epoch
    assert (run.recipe.data.published_splits, run.recipe.members) == ((1, 3), ((0, 0), (1, 1)))
    world = HierarchicalWorld.of(run.recipe)
    assert world.splits.rows.tolist() == [list(range(6, 12)), list(range(18, 24))]
    for i, step in enumerate(run.steps()):
        ensemble = load_ensemble(run, world.network, step)
        for k, split in enumerate((1, 3)):
            same_logits({name: value[k] for name, value in ensemble.parameters.items()}, given[split][i], world.network)
    held = {tuple(row) for row in world.held_out_samples().tolist()}
    assert not held & {tuple(row) for split in world.split_samples().tolist() for row in split}
    assert [source["split"] for source in story["sources"]] == [1, 3]
    assert run.read_json("status.json")["stage"] == "imported"
    assert not list(tmp_path.glob(".*"))


def test_shared_contents_are_counted_and_not_refused(tmp_path: Path, data: Path) -> None:
    for split in (0, 1, 2):
        write_member(tmp_path / f"seed_{split}", split, (3,), n=12)
    story = import_run(gather([tmp_path / f"seed_{split}" for split in (0, 1, 2)]), data, tmp_path / "run", 3, USUAL)
    rows = GRAMMAR.sample(60, 1).numpy()
    contents = [{tuple(row) for row in rows[i * 12 : i * 12 + 12].tolist()} for i in range(3)]
    counts = {(a, b): len(contents[a] & contents[b]) for a in range(3) for b in range(a + 1, 3)}
    found = {(pair["split_a"], pair["split_b"]): pair["contents"] for pair in story["shared_contents"]}
    assert found == {pair: count for pair, count in counts.items() if count}
    assert found


def refused(tmp_path: Path, data: Path, paths: list[Path], names: NameMap = USUAL) -> str:
    """The refusal of an import, after which nothing is there."""
    with pytest.raises(InputError) as refusal:
        import_run(gather(paths), data, tmp_path / "run", 10, names)
    assert not (tmp_path / "run").exists()
    assert not list(tmp_path.glob(".run*"))
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def two_members(folder: Path, **params: Any) -> Path:
    for split in (0, 1):
        write_member(folder / f"seed_{split}", split, (2, 4), **params)
    return folder


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"q": 6}, "has vocab_size (q) 6, the data in"),
        ({"l": 3}, "has depth (l) 3, the data in"),
        ({"n": 40}, "use smaller or fewer splits, or more data"),
    ],
)
def test_settings_that_do_not_fit_the_data(tmp_path: Path, data: Path, params: dict[str, Any], says: str) -> None:
    assert says in refused(tmp_path, data, [two_members(tmp_path / "theirs", **params)])


def rewrite(path: Path, **params: Any) -> None:
    path.write_text(json.dumps({k: v for k, v in (json.loads(path.read_text()) | params).items() if v is not None}))


def test_settings_that_do_not_fit_each_other(tmp_path: Path, data: Path) -> None:
    theirs = two_members(tmp_path / "theirs")
    second = theirs / "seed_1" / "full_params.json"
    rewrite(second, T=100)
    assert "different settings" in refused(tmp_path, data, [theirs])
    rewrite(second, T=None)
    assert "does not say T; add it as one of T, timesteps" in refused(tmp_path, data, [theirs])
    rewrite(second, T=50, seed=0)
    assert "two splits or more" in refused(tmp_path, data, [theirs])
    assert "two splits or more" in refused(tmp_path, data, [theirs / "seed_0"])
    second.unlink()
    assert "there is no full_params.json" in refused(tmp_path, data, [theirs])


def test_epochs_that_do_not_fit_each_other(tmp_path: Path, data: Path) -> None:
    theirs = two_members(tmp_path / "theirs")
    file = theirs / "seed_1" / "model_epoch_4.pt"
    file.rename(file.with_name("model_epoch_9.pt"))
    assert "epoch 4 is in only one of" in refused(tmp_path, data, [theirs])
    file.with_name("model_epoch_9.pt").rename(file.with_name("model_epoch_002.pt"))
    assert "are both of epoch 2" in refused(tmp_path, data, [theirs])
    file.with_name("model_epoch_002.pt").rename(file.with_name("model_final.pt"))
    assert "does not say its epoch" in refused(tmp_path, data, [theirs])
    assert "no folder with .pt files" in refused(tmp_path, data, [tmp_path / "nowhere"])
    assert "no checkpoint was named" in refused(tmp_path, data, [])
    for folder in ("seed_0", "seed_1"):
        for old in (theirs / folder).glob("*.pt"):
            old.unlink()
        torch.save({"model_state_dict": plain_network(0).state_dict(), "epoch": 70}, theirs / folder / "epoch_7.pt")
    assert "says inside that it is of epoch 70, its name says 7" in refused(tmp_path, data, [theirs])


def test_a_bad_last_checkpoint_leaves_nothing(tmp_path: Path, data: Path) -> None:
    """The first epoch is read and written before the second turns out to be broken."""
    theirs = two_members(tmp_path / "theirs")
    state = plain_network(0).state_dict()
    state["output_proj.bias"][1] = float("nan")
    torch.save({"model_state_dict": state}, theirs / "seed_1" / "model_epoch_4.pt")
    assert "output_proj.bias holds values that are not finite" in refused(tmp_path, data, [theirs])


@pytest.mark.parametrize(
    ("stem", "epoch"),
    [("model_epoch_100", 100), ("epoch=7-step=70", 7), ("ep12", 12), ("checkpoint_35000", 35000), ("T500_epoch_3_seed_2", 3)],
)
def test_the_epoch_is_in_the_name(stem: str, epoch: int) -> None:
    assert epoch_of(Path(f"{stem}.pt")) == epoch


def test_unmatched_names_are_listed_with_their_shapes(tmp_path: Path) -> None:
    state = plain_network(0).state_dict()
    state["stem.weight"] = state.pop("input_proj.weight")
    state["betas"] = torch.ones(50)
    with pytest.raises(InputError) as refusal:
        parameters_of(state, NETWORK, USUAL, HERE)
    said = str(refusal.value)
    assert "2 of 32 tensors match no parameter (stem.weight (16, 4), betas (50,))" in said
    assert "missing: input.weight (16, 4)" in said
    (tmp_path / "names.json").write_text(json.dumps({"input.weight": "stem.weight", "ignore": ["betas"]}))
    found = parameters_of(state, NETWORK, NameMap.read(tmp_path / "names.json"), HERE)
    assert torch.equal(found["input.weight"], state["stem.weight"])
    with pytest.raises(InputError, match=r"holds input_proj\.bias twice"):
        parameters_of(state | {"module.input_proj.bias": torch.ones(16)}, NETWORK, USUAL, HERE)
    with pytest.raises(InputError, match="no encoder layer of PyTorch"):
        feedforward_of({"weight": torch.ones(2, 2)}, USUAL, HERE)


def test_layers_of_another_name(tmp_path: Path) -> None:
    network = plain_network(5)
    state = {name.replace("transformer_encoder.layers.", "blocks.b"): value for name, value in network.state_dict().items()}
    layers = {ours: names[0] for ours, names in USUAL.names.items() if ours.startswith("layers.")}
    chosen = {ours: theirs.replace("transformer_encoder.layers.", "blocks.b") for ours, theirs in layers.items()}
    (tmp_path / "names.json").write_text(json.dumps(chosen))
    same_logits(parameters_of(state, NETWORK, NameMap.read(tmp_path / "names.json"), HERE), network, NETWORK)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"nonsense": "x"}', "'nonsense' is no parameter"),
        ("[]", "no table of names"),
        ('{"position": 3}', "is no text"),
        ("{", "cannot read"),
    ],
)
def test_files_of_names_that_are_none(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "names.json").write_text(content)
    with pytest.raises(InputError, match=says):
        NameMap.read(tmp_path / "names.json")


@pytest.mark.parametrize("network", [Transformer(4, 4, 16, 2, 2, 64), Transformer(4, 8, 16, 2, 2, 32), Transformer(5, 4, 16, 2, 2, 32)])
def test_shapes_of_another_network(network: Transformer) -> None:
    with pytest.raises(InputError, match=r"has shape \(.*of these settings"):
        parameters_of(plain_network(0).state_dict(), network, USUAL, HERE)


@pytest.mark.parametrize("layers", [1, 3])
def test_another_number_of_layers(layers: int) -> None:
    with pytest.raises(InputError, match="tensors match no parameter"):
        parameters_of(plain_network(0).state_dict(), Transformer(4, 4, 16, layers, 2, 32), USUAL, HERE)


def test_settings_are_found_under_likely_names(tmp_path: Path) -> None:
    plain = settings_of(PARAMS | {"seed": 5}, HERE)
    nested = {
        "model": {"vocab_size": 4, "d_model": 16, "n_layers": 2, "n_heads": 2},
        "data": {"depth": 2, "n_train": 6, "split_index": 5},
        "training": {"batch_size": 4, "seed": 77, "timesteps": 50.0},
    }
    assert settings_of(nested, HERE) == plain
    (tmp_path / "full_params.json").write_text(json.dumps(nested))
    (tmp_path / "checkpoints").mkdir()
    assert settings_near(tmp_path / "checkpoints")[1] == plain
    assert settings_of(PARAMS | {"seed": 5, "noise_schedule": "sqrt"}, HERE).schedule == "one_minus_sqrt"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"vocab_size": 5}, "says two things: vocab_size = 5, q = 4"),
        ({"nhead": "two"}, "nhead = 'two' is no integer"),
        ({"nhead": True}, "is no integer"),
        ({"nhead": 0}, "heads = 0; give 1 or more"),
        ({"n": None}, "does not say n; add it as one of n, split_size"),
        ({"seed": None}, "does not say split; add it as one of split, split_index"),
        ({"noise_schedule": "cosine"}, "is not known"),
    ],
)
def test_settings_that_are_refused(change: dict[str, Any], says: str) -> None:
    values = {key: value for key, value in (PARAMS | {"seed": 0} | change).items() if value is not None}
    with pytest.raises(InputError) as refusal:
        settings_of(values, HERE)
    assert says in str(refusal.value)


class Program:
    """Pickles as a call."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def bomb() -> bytes:
    """A checkpoint whose tensors are compressed a thousandfold."""
    plain, packed = io.BytesIO(), io.BytesIO()
    torch.save({"model_state_dict": {"weight": torch.zeros(4_000_000)}}, plain)
    with zipfile.ZipFile(plain) as before, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as after:
        for entry in before.namelist():
            after.writestr(entry, before.read(entry))
    return packed.getvalue()


def saved(payload: Any, **options: Any) -> bytes:
    content = io.BytesIO()
    torch.save(payload, content, **options)
    return content.getvalue()


def hostile(sentinel: Path) -> dict[str, tuple[bytes, str]]:
    """Name -> content of a .pt file, and what its refusal says."""
    program, weight = Program(f"touch {sentinel}"), torch.ones(3)
    return {
        "a program": (saved({"model_state_dict": {"weight": weight}, "extra": program}), "asks for posix.system"),
        "a program in the old format": (saved({"extra": program}, _use_new_zipfile_serialization=False), "asks for posix.system"),
        "a bare pickle": (pickle.dumps(program), "it is no checkpoint of weights"),
        "an old bare pickle": (pickle.dumps(program, protocol=2), "asks for posix.system"),
        "a whole module": (saved(torch.nn.Linear(2, 2)), "asks for torch.nn.modules.linear.Linear"),
        "weights without their dictionary": (saved({"weight": weight}), "a dictionary with weight, not model_state_dict"),
        "a tensor": (saved(weight), "it holds Tensor, not model_state_dict"),
        "a number among the weights": (saved({"model_state_dict": {"weight": 3}}), "no dense tensor"),
        "complex numbers": (saved({"model_state_dict": {"weight": torch.ones(3, dtype=torch.complex64)}}), "no dense tensor"),
        "a sparse tensor": (saved({"model_state_dict": {"weight": torch.eye(3).to_sparse()}}), "no dense tensor"),
        "one number seen as many": (saved({"model_state_dict": {"weight": torch.ones(1).expand(10**9)}}), "larger than the file"),
        "NaN": (saved({"model_state_dict": {"weight": torch.tensor([1.0, float("nan")])}}), "not finite"),
        "a zip bomb": (bomb(), "which PyTorch's own never do"),
        "half a file": (saved({"model_state_dict": {"weight": torch.ones(5000)}})[:9000], "it is no checkpoint of weights"),
        "nothing": (b"", "it is no checkpoint of weights"),
    }


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", hostile(Path("/nowhere")))
def test_hostile_checkpoints_are_refused_and_not_run(tmp_path: Path, name: str) -> None:
    """The reader by itself, without the walls around it: what it refuses does not rest on them."""
    content, says = hostile(tmp_path / "sentinel")[name]
    (tmp_path / "model.pt").write_bytes(content)
    (tmp_path / "out").mkdir()
    refusal = answer("checkpoint", tmp_path / "out", [tmp_path / "model.pt"])
    assert says in refusal["what"]
    assert {path.name for path in tmp_path.rglob("*")} == {"model.pt", "out", "0"}


def test_a_hostile_checkpoint_in_the_sandbox(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(hostile(tmp_path / "sentinel")["a program"][0])
    with pytest.raises(InputError, match=r"model\.pt: the file asks for posix\.system, which is no weights") as refusal:
        read_weights([tmp_path / "model.pt"])
    assert "\n" not in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_the_sentinel_would_be_left_by_an_ordinary_reader(tmp_path: Path) -> None:
    """So that the tests above can fail."""
    (tmp_path / "model.pt").write_bytes(hostile(tmp_path / "sentinel")["a program"][0])
    torch.load(tmp_path / "model.pt", weights_only=False)
    assert (tmp_path / "sentinel").exists()


def test_a_pytorch_with_a_known_hole_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.pt").write_bytes(saved({"model_state_dict": {"weight": torch.ones(3)}}))
    for version, refused in (("2.5.1", True), ("2.6.0+cpu", False), ("2.10.1", False)):
        monkeypatch.setattr(torch, "__version__", TorchVersion(version))
        (tmp_path / version).mkdir()
        said = answer("checkpoint", tmp_path / version, [tmp_path / "model.pt"])
        assert ("CVE-2025-32434" in said.get("what", "")) == refused


def test_small_epochs_share_a_sandbox(tmp_path: Path) -> None:
    series = gather([two_members(tmp_path / "theirs")])
    epoch = sum(file.stat().st_size for file in series.files(2))
    assert batches(series) == [[2, 4]]
    assert batches(series, epoch + 10) == batches(series, 1) == [[2], [4]]


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    state = {"a": torch.ones(3, dtype=torch.bfloat16), "b": torch.ones(2, 3).T, "counter": torch.tensor(7)}
    torch.save({"model_state_dict": state, "epoch": 4, "optimizer_state_dict": {"state": {0: {"step": 3}}}}, tmp_path / "a.pt")
    torch.save({"model_state_dict": {"a": torch.zeros(3)}, "epoch": "last"}, tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    first, second = read_weights([tmp_path / "a.pt", tmp_path / "b.pt"])
    assert (first.epoch, second.epoch) == (4, None)
    assert first.tensors["a"].dtype == torch.float32
    assert first.tensors["b"].shape == (3, 2)
    assert torch.equal(second.tensors["a"], torch.zeros(3))
