"""Recipes are checked key by key."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from twinsplit.data.grammar import TreeGrammar
from twinsplit.data.splits import disjoint_splits
from twinsplit.errors import InputError
from twinsplit.recipes import PRESETS, QUICKSTART, Recipe, Training, preset, read_recipe, recipe_from


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name: str) -> None:
    recipe = preset(name)
    assert recipe_from(json.loads(json.dumps(recipe.to_json())), "here") == recipe


def test_the_paper_preset_is_the_published_setting() -> None:
    paper = Recipe()
    assert (paper.training.steps, paper.training.batch, paper.training.learning_rate) == (200_000, 512, 3e-4)
    assert (paper.network.width, paper.network.layers, paper.network.heads, paper.network.feedforward) == (512, 8, 4, 1024)
    assert (paper.diffusion.T, paper.measured_time, paper.training.ema_decay) == (500, 75, 0.0)


def test_checkpoints_are_log_spaced_and_end_at_the_last_step() -> None:
    steps = QUICKSTART.checkpoint_steps()
    assert steps[0] == QUICKSTART.training.first_checkpoint
    assert steps[-1] == QUICKSTART.training.steps
    ratios = [b / a for a, b in pairwise(steps)]
    assert max(ratios) / min(ratios) < 1.1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[trainning]\nsteps = 3", "unknown key 'trainning'; did you mean 'training'"),
        ("[training]\nsteps = 3.5", "give a value of type int"),
        ("[training]\nsteps = true", "give a value of type int"),
        ('[training]\nprecision = "fp8"', "choose one of float32, bfloat16"),
        ("[training]\nsteps = 10\nfirst_checkpoint = 20", "lies after the last step"),
        ("[data]\nsplits = 1", "at least 2 disjoint splits"),
        ("[data]\npublished_splits = [3]", "name 2 different splits from 0 on"),
        ("[data]\npublished_splits = [3, 3]", "name 2 different splits from 0 on"),
        ("[data]\npublished_splits = [-1, 3]", "name 2 different splits from 0 on"),
        ("[data]\npublished_splits = [1.5, 3]", "no list of integers"),
        ("[training]\ncheckpoint_list = 3", "no list of integers"),
        ("[training]\ncheckpoint_list = [true]", "no list of integers"),
        ("[training]\nsteps = 2000\ncheckpoint_list = [4, 2, 2000]", "in ascending order, the last 2000"),
        ("[training]\nsteps = 2000\ncheckpoint_list = [4, 20]", "in ascending order, the last 2000"),
        ("[training]\nsteps = 2000\ncheckpoint_list = [0, 2000]", "list steps from 1"),
        ("training = 3", "is not a table"),
        ("steps = = 3", "is not valid"),
    ],
)
def test_bad_recipes_say_what_and_where(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_recipe(path)


def flat(value: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, inner in value.items() for k, v in flat(inner, f"{prefix}.{key}" if prefix else key).items()}


def test_the_documented_table_is_the_presets() -> None:
    """Every key has a line, and every line the values of the presets."""
    page = Path(__file__).parent.parent / "docs" / "recipes.md"
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.read_text().splitlines() if line.startswith("| `")]
    documented = {key.strip("`"): cells for key, *cells, _ in rows}
    presets = [flat(preset(name).to_json()) for name in ("paper", "laptop", "smoke")]
    assert set(documented) == set(presets[0])
    for key, cells in documented.items():
        for cell, values in zip(cells, presets, strict=True):
            expected = values[key]
            assert read_as(cell, expected) == expected, key


def read_as(cell: str, like: object) -> object:
    if isinstance(like, tuple):
        return tuple(json.loads(cell))
    return cell.strip('"') if isinstance(like, str) else type(like)(cell.replace(" ", ""))


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="check the path"):
        read_recipe(tmp_path / "none.toml")


def test_toml_and_json_agree(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("seed = 4\n[training]\nlearning_rate = 1\n")
    (tmp_path / "a.json").write_text('{"seed": 4, "training": {"learning_rate": 1}}')
    assert read_recipe(tmp_path / "a.toml") == read_recipe(tmp_path / "a.json") == Recipe(seed=4, training=Training(learning_rate=1.0))


def test_members_are_splits_times_seeds() -> None:
    recipe = recipe_from({"data": {"splits": 3}, "training": {"seeds_per_split": 2}}, "here")
    assert recipe.members == ((0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5))  # every network has its own seed


def test_listed_checkpoints_replace_the_log_spaced_ones() -> None:
    recipe = recipe_from({"training": {"steps": 2000, "checkpoint_list": [3, 7, 2000]}, "data": {"published_splits": [4, 1]}}, "here")
    assert recipe.checkpoint_steps() == (3, 7, 2000)
    assert recipe.data.published_splits == (4, 1)
    assert recipe_from(json.loads(json.dumps(recipe.to_json())), "here") == recipe


@pytest.mark.parametrize(("n", "epochs"), [(5_000, 20_000), (12_000, 30_000), (70_000, 35_000)])
def test_published_recipes_are_the_protocol(n: int, epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = read_recipe(Path(f"paper-{n}.toml"))
    training, measuring = recipe.training, recipe.measuring
    per_epoch = -(-n // 512)
    assert (recipe.name, recipe.data.split_size, recipe.data.splits) == (f"paper-{n}", n, 15)
    assert (training.steps, training.first_checkpoint) == (epochs * per_epoch, 100 * per_epoch)
    assert (training.batch, training.schedule, training.precision, training.ema_decay) == (512, "published", "bfloat16", 0.0)
    assert len(recipe.checkpoint_steps()) == 25
    assert (recipe.data.held_out, measuring.noise_draws, measuring.generated) == (3_000, 5, 50_000)
    assert (measuring.sampling_steps, recipe.diffusion.T, recipe.measured_time) == (500, 500, 75)
    assert (recipe.network, training.learning_rate) == (Recipe().network, 3e-4)


def test_the_largest_published_recipe_has_sequences_enough() -> None:
    """15 x 70,000 without one in common need more than 10^6; its comment says where they end."""
    data = read_recipe(Path("paper-70000.toml")).data
    sequences = TreeGrammar.published().sample(data.samples, 0).numpy()
    assert int(disjoint_splits(sequences, data.splits, data.split_size, data.held_out).held_out.max()) == 1_194_790
    with pytest.raises(InputError, match="a split needs"):
        disjoint_splits(sequences[:1_000_000], 14, data.split_size, data.held_out)


def test_a_file_of_ones_own_comes_before_a_published_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paper-5000.toml").write_text('name = "mine"')
    assert read_recipe(Path("paper-5000.toml")).name == "mine"
    with pytest.raises(InputError, match="or name one of paper-5000"):
        read_recipe(Path("elsewhere/paper-12000.toml"))
