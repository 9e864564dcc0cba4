"""Recipes are checked key by key."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from twinsplit.data.grammar import TreeGrammar
from twinsplit.data.splits.disjoint import disjoint_splits
from twinsplit.errors import InputError
from twinsplit.recipes import (
    IMAGE_PRESETS,
    PRESETS,
    QUICKSTART,
    ImageRecipe,
    Images,
    Recipe,
    RunRecipe,
    Training,
    preset_of,
    read_recipe,
    recipe_from,
    stored_recipe,
)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("world", ["hierarchical", "digits"])
def test_presets_survive_json(world: str, name: str) -> None:
    recipe = preset_of(world, name)
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


OF_IMAGES = 'world = "images"\n'


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
        ('[training]\ntimes = "fixed"', 'with times = "fixed" give a time from 1'),
        ("[training]\nfixed_time = 5", 'with times = "fixed" give a time from 1'),
        ('[training]\nloss = "noise"', 'choose "cross_entropy" or "squared_error"'),
        ('world = "words"', "world = 'words'; choose one of .*images, sequences"),
        ("world = 3", "world = 3; choose one of .*images, sequences"),
        ('base = "desktop"', "base = 'desktop'; choose one of smoke, laptop, paper"),
        ("base = 3", "choose one of smoke, laptop, paper"),
        ("[training]\nsteps = 2000", r'missing keys: .*diffusion.schedule.* more; write base = "smoke" .*smoke, laptop, paper'),
        (OF_IMAGES + "seed = 1", "missing keys"),
        (OF_IMAGES + '[training]\nloss = "squared_error"', 'choose "noise"'),
        (OF_IMAGES + '[training]\nweighting = "vlb"', 'choose "uniform"'),
        (OF_IMAGES + '[training]\ntimes = "fixed"\nfixed_time = 1001', "time 1001 lies after T = 1000"),
        (OF_IMAGES + "[measuring]\ntimes = [50, 2000]", "time 2000 lies after T = 1000"),
        (OF_IMAGES + "[measuring]\ntimes = [50, 20]", "in ascending order"),
        (OF_IMAGES + "[measuring]\ntimes = []", "list times from 1"),
        (OF_IMAGES + "[data]\ncomponents = 3", 'with filter = "pca", and only then'),
        (OF_IMAGES + '[data]\nfilter = "pca"', 'with filter = "pca", and only then'),
        (OF_IMAGES + "[data]\ngains = [1, 1]", "give three: coarse, medium, fine"),
        (OF_IMAGES + "[data]\ngains = [1, true, 1]", "no list of numbers"),
        (OF_IMAGES + "[data]\nscale = 0.0", "give a positive one"),
        (OF_IMAGES + "[data]\ndepth = 3", "unknown key 'depth'"),
        ("steps = = 3", "is not valid"),
        ("[training]\nbatch = 0", r"training.batch = 0 is below 1"),
        ("[training]\ncheckpoints = -1", r"training.checkpoints = -1 is below 1"),
        ("[measuring]\ngenerated = 0", r"measuring.generated = 0 is below 1"),
        ("[measuring]\nprofile_times = 0", r"measuring.profile_times = 0 is below 1"),
        ("[data]\nheld_out = 0", r"data.held_out = 0 is below 1"),
        ("[data]\ndepth = -1", r"data.depth = -1 is below 1"),
        (OF_IMAGES + "[data]\nsplit_size = 0", r"data.split_size = 0 is below 1"),
        (OF_IMAGES + "[measuring]\ntrain_images = 0", r"measuring.train_images = 0 is below 1"),
        ('[training]\ntimes = "fixed"\nfixed_time = 501', "time 501 lies after T = 500"),
        ("[training]\nlearning_rate = inf", "training: learning_rate = inf; give a finite number"),
        ("[training]\nlearning_rate = nan", "give a finite number"),
        ("[data]\nsigma = -inf", "give a finite number"),
        (OF_IMAGES + "[data]\ngains = [1, inf, 1]", "give a finite number"),
        ("[training]\nlearning_rate = " + "1" * 400, "has 400 digits"),
        ("[training]\nlearning_rate = " + "1" * 5_000, "thousands of digits"),
        ("seed = " + "1" * 19, "has 19 digits"),
        ("a = " + "[" * 5_000, "nested too deeply"),
        (OF_IMAGES + 'network = {kind = ["blind"]}', "choose one of unet, blind"),
        (OF_IMAGES + "network = {kind = {}}", "choose one of unet, blind"),
    ],
)
def test_bad_recipes_say_what_and_where(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_recipe(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"name": "\\ud800"}', "half a character"),
        ('{"training": {"learning_rate": NaN}}', "give a finite number"),
        ('{"training": {"learning_rate": 1e999}}', "give a finite number"),
        ("null", "is not a table of settings"),
    ],
)
def test_bad_json_says_what_and_where(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_recipe(path)


def test_what_no_file_could_say_is_refused_too() -> None:
    """What the command line and programs ask for is written to config.json, which must be readable again."""
    for ask in (lambda: Recipe(seed=10**18), lambda: Training(learning_rate=float("inf")), lambda: Images(scale=float("nan"))):
        with pytest.raises(InputError):
            ask()


def flat(value: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, inner in value.items() for k, v in flat(inner, f"{prefix}.{key}" if prefix else key).items()}


SEQUENCES, IMAGES = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text().split("\n## Images\n")


@pytest.mark.parametrize(("page", "presets"), [(SEQUENCES, PRESETS), (IMAGES, IMAGE_PRESETS)], ids=["sequences", "images"])
def test_the_documented_table_is_the_presets(page: str, presets: dict[str, RunRecipe]) -> None:
    """Every key has a line, and every line the values of the presets."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    documented = {key.strip("`"): cells for key, *cells, _ in rows}
    values = [flat(presets[name].to_json()) for name in ("paper", "laptop", "smoke")]
    assert set(documented) == set(values[0])
    for key, cells in documented.items():
        for cell, known in zip(cells, values, strict=True):
            assert read_as(cell, known[key]) == known[key], key


def read_as(cell: str, like: object) -> object:
    if isinstance(like, tuple):
        return tuple(json.loads(cell))
    return cell.strip('"') if isinstance(like, str) else type(like)(cell.replace(" ", ""))


def test_the_published_checkpoints_of_images_are_evenly_spaced() -> None:
    """[BG]: 50 checkpoints at epochs linspace(10, 4999), two steps each."""
    recipe = ImageRecipe()
    expected = [round(2 * (10 + i * (4_999 - 10) / 49)) for i in range(50)]
    assert list(recipe.checkpoint_steps()) == expected
    assert (expected[0], expected[-1], len(set(expected))) == (20, 9_998, 50)


def test_the_image_recipe_is_the_published_setting(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(OF_IMAGES + 'base = "paper"')
    recipe = read_recipe(tmp_path / "recipe.toml")
    assert recipe == ImageRecipe()
    training, network, data = recipe.training, recipe.network, recipe.data
    assert (data.split_size, data.held_out, data.splits, data.order, data.normalisation) == (1_024, 2_048, 15, "listed", "channel")
    assert (recipe.diffusion.T, training.batch, training.learning_rate, training.ema_decay) == (1_000, 512, 1e-4, 0.0)
    assert (network.channels, network.layers_per_block, network.attention, network.dropout) == ((32, 64, 128), 2, (1, 2), 0.1)
    assert (recipe.measuring.times, recipe.measuring.sampling_steps) == ((50, 100, 150, 200), 1_000)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="check the path"):
        read_recipe(tmp_path / "none.toml")


def test_toml_and_json_agree(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('base = "paper"\nseed = 4\n[training]\nlearning_rate = 1\n')
    (tmp_path / "a.json").write_text('{"base": "paper", "seed": 4, "training": {"learning_rate": 1}}')
    assert read_recipe(tmp_path / "a.toml") == read_recipe(tmp_path / "a.json") == Recipe(seed=4, training=Training(learning_rate=1.0))


def test_members_are_splits_times_seeds() -> None:
    recipe = recipe_from({"base": "paper", "data": {"splits": 3}, "training": {"seeds_per_split": 2}}, "here")
    assert recipe.members == ((0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5))  # every network has its own seed


def test_listed_checkpoints_replace_the_log_spaced_ones() -> None:
    recipe = recipe_from(
        {"base": "paper", "training": {"steps": 2000, "checkpoint_list": [3, 7, 2000]}, "data": {"published_splits": [4, 1]}}, "here"
    )
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
    assert (measuring.uturn_starts, measuring.uturn_repetitions) == (1_000, 100)
    assert (measuring.profile_times, measuring.profile_sequences) == (500, 2_000)
    assert training.save_every * 100 == training.steps
    assert (recipe.network, training.learning_rate) == (Recipe().network, 3e-4)


def test_the_largest_published_recipe_has_sequences_enough() -> None:
    """15 x 70,000 without one in common need more than 10^6; its comment says where they end."""
    data = read_recipe(Path("paper-70000.toml")).data
    sequences = TreeGrammar.published().sample(data.samples, 0).numpy()
    found = disjoint_splits(sequences, data.splits, data.split_size, data.held_out, data.apart)
    assert (int(found.rows.max()), int(found.held_out.max())) == (1_191_083, 1_203_677)
    with pytest.raises(InputError, match="a split needs"):
        disjoint_splits(sequences[:1_000_000], 14, data.split_size, data.held_out)


def test_a_file_of_ones_own_comes_before_a_published_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paper-5000.toml").write_text('name = "mine"\nbase = "paper"')
    assert read_recipe(Path("paper-5000.toml")).name == "mine"
    with pytest.raises(InputError, match="or name one of paper-5000"):
        read_recipe(Path("elsewhere/paper-12000.toml"))


def test_a_base_fills_up_what_is_left_out() -> None:
    """A recipe of a few keys says itself from which preset the others are."""
    recipe = recipe_from({"base": "laptop", "training": {"steps": 2_000}}, "here")
    assert recipe == replace(QUICKSTART, training=replace(QUICKSTART.training, steps=2_000))
    images = recipe_from({"world": "images", "base": "smoke", "seed": 2}, "here")
    assert images == replace(IMAGE_PRESETS["smoke"], seed=2)


def test_runs_of_before_a_key_was_there_are_still_read() -> None:
    stored = QUICKSTART.to_json()
    del stored["training"]["epoch_samples"]
    assert stored_recipe(stored, "there") == QUICKSTART
    with pytest.raises(InputError, match=r"missing keys: training\.epoch_samples;"):
        recipe_from(stored, "here")
