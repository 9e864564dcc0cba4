"""Training of U-Nets: the step written out, the same bits after a stop, the same numbers in any company; fixed times; folders.

That worker processes change no bit is tested where a whole run is made: tests/worlds/images/test_image_commands.py.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from pictures import file_of, smooth
from twinsplit.data.images.builtin import IMAGES, write_faces
from twinsplit.data.images.drawn_faces import FaceSet
from twinsplit.data.images.frame import Frame
from twinsplit.data.images.preparing import prepare
from twinsplit.data.images.sources import FolderSource
from twinsplit.execution.local import Inline
from twinsplit.pipeline import stages as pipeline
from twinsplit.recipes import DIGITS_SMOKE, ImageRecipe, Images, Training
from twinsplit.runs.store import Run
from twinsplit.training.batches import batch_rows, draw_times
from twinsplit.training.loop import _shard, deal, train
from twinsplit.training.step import Shard, Stepper, advance
from twinsplit.worlds.images.world import ImageWorld

CPU = torch.device("cpu")
SHORT = replace(
    DIGITS_SMOKE,
    data=replace(DIGITS_SMOKE.data, splits=2, split_size=6, held_out=4),
    training=replace(DIGITS_SMOKE.training, steps=7, batch=4, first_checkpoint=1, checkpoint_list=(3, 7), save_every=2),
)
DROPPING = replace(SHORT, network=replace(SHORT.network, dropout=0.3))


def training(recipe: ImageRecipe, **changes: Any) -> ImageRecipe:
    return replace(recipe, training=replace(recipe.training, **changes))


def events(path: Path, recipe: ImageRecipe) -> Iterator[Any]:
    world, run = ImageWorld.of(recipe), Run.create(path, recipe)
    return train(world.ensemble(), world.split_samples(), world.task(), run, Inline())


def finish(path: Path, recipe: ImageRecipe = SHORT) -> dict[str, bytes]:
    list(events(path, recipe))
    return {p.name: p.read_bytes() for p in (path / "checkpoints").iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of SHORT."""
    path = tmp_path_factory.mktemp("unets") / "run"
    finish(path)
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (path / "checkpoints").iterdir()}


@pytest.mark.parametrize("stop", [1, 3])
def test_a_stopped_run_resumes_to_the_same_bits(whole: Path, tmp_path: Path, stop: int) -> None:
    stopped = events(tmp_path / "run", SHORT)
    steps = [next(stopped).step for _ in range(stop)]
    stopped.close()  # type: ignore[attr-defined]
    assert steps == [2, 3, 4][:stop]
    assert Run.open(tmp_path / "run").resume_step() == steps[-1]
    assert finish(tmp_path / "run") == contents(whole)


def test_dropout_resumes_to_the_same_bits(whole: Path, tmp_path: Path) -> None:
    once = finish(tmp_path / "once", DROPPING)
    stopped = events(tmp_path / "twice", DROPPING)
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    assert finish(tmp_path / "twice", DROPPING) == once
    assert once["step_00000007.safetensors"] != contents(whole)["step_00000007.safetensors"]


def test_the_first_step_is_adam_on_the_squared_error_of_the_noise(tmp_path: Path) -> None:
    """Written out with diffusers' own module and torch.optim.Adam."""
    recipe = training(SHORT, steps=2, checkpoint_list=(1, 2), ema_decay=0.0)
    world = ImageWorld.of(recipe)
    noise, member = world.members[1].noise(world.root), 1
    rows = batch_rows(noise, 1, 6, 4, CPU)
    t = draw_times(noise, 1, 4, world.schedule, CPU)
    eps = noise.child("eps").normal(1, torch.arange(4), (1, 8, 8), torch.float32)
    ab = world.schedule.alpha_bar[t].float()[:, None, None, None]
    module = world.network.module()
    module.load_state_dict({name: value[member].clone() for name, value in world.ensemble().parameters.items()})
    adam = torch.optim.Adam(module.parameters(), lr=recipe.training.learning_rate)
    x_t = ab.sqrt() * world.split_samples()[1][rows] + (1 - ab).sqrt() * eps
    loss = (module(x_t, t - 1).sample - eps).square().mean()
    loss.backward()
    gradients = {name: value.grad.clone() for name, value in module.named_parameters()}
    adam.step()
    first = next(events(tmp_path / "run", recipe))
    assert float(first.loss[1]) == pytest.approx(float(loss.detach()), rel=1e-5)
    found = Run.open(tmp_path / "run").load(1)
    for name, value in module.state_dict().items():
        sure = gradients[name].abs() > 1e-5  # Adam's first step is the sign of the gradient, which rounding decides near 0
        torch.testing.assert_close(found[f"weights.{name}"][1][sure], value[sure], rtol=1e-4, atol=1e-5)


def shards(recipe: ImageRecipe) -> tuple[list[Shard], Shard]:
    """The members alone, as on a processor, and together in one shard, as on an accelerator; with their initial weights."""
    world = ImageWorld.of(recipe)
    ensemble, samples, task = world.ensemble(), world.split_samples(), world.task()
    alone, together = deal(ensemble, samples, task), _shard(ensemble, samples, task, slice(0, 2))
    state = {f"{kind}.{name}": value for kind in ("weights", "average") for name, value in ensemble.parameters.items()}
    for k, shard in enumerate(alone):
        shard.load(state, slice(k, k + 1))
    together.load(state, slice(0, 2))
    return alone, together


@pytest.mark.parametrize("recipe", [SHORT, DROPPING], ids=["plain", "dropout"])
def test_members_in_one_shard_equal_members_alone(recipe: ImageRecipe) -> None:
    alone, together = shards(recipe)
    *losses, both = (loss for _, loss in Inline().map(partial(advance, first=1, last=3), [*alone, together]))
    for k, shard in enumerate(alone):
        torch.testing.assert_close(losses[k][:, 0], both[:, k], rtol=1e-4, atol=1e-6)
        for name, value in shard.stack("average").views.items():
            torch.testing.assert_close(together.stack("average").views[name][k], value[0], rtol=1e-3, atol=1e-4, msg=name)


def test_fixed_time_training_draws_that_time_alone(tmp_path: Path) -> None:
    recipe = training(SHORT, times="fixed", fixed_time=9)
    stepper, uniform = (Stepper.on(shards(one)[0][0], 0) for one in (recipe, SHORT))
    for step in range(1, 8):
        target, x_t, t = stepper._batch(step)
        assert t.unique().tolist() == [9]
        assert torch.equal(target, uniform._batch(step)[0])  # the noise is that of any other law of times
        assert not torch.equal(x_t, uniform._batch(step)[1])
    finish(tmp_path / "fixed", recipe)
    assert Run.open(tmp_path / "fixed").recipe.training == Training(**(vars(SHORT.training) | {"times": "fixed", "fixed_time": 9}))


def test_a_folder_of_drawn_faces_trains(tmp_path: Path) -> None:
    write_faces(tmp_path / "raw", 24, FaceSet(seed=0, people=8), Inline())
    prepare(FolderSource(tmp_path / "raw" / IMAGES), Frame(8), tmp_path / "data", Inline())
    data = Images(path=str(tmp_path / "data"), splits=2, split_size=6, held_out=4)
    recipe = replace(training(SHORT, steps=3, checkpoint_list=(3,)), data=data)
    session = pipeline.begin(tmp_path / "run", recipe, Inline())
    pipeline.train_stage(session)
    pipeline.measure_stage(session)
    assert session.run.steps() == session.run.measured("test_loss") == (3,)
    assert session.run.read_json("data.json")["rows"]["splits"] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]


def test_colours_train(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    for i in range(20):
        (folder / f"{i}.png").write_bytes(file_of(smooth(8, 8, i), "PNG"))
    prepare(FolderSource(folder), Frame(8, colour="rgb"), tmp_path / "data", Inline())
    data = Images(path=str(tmp_path / "data"), splits=2, split_size=6, held_out=4)
    recipe = replace(training(SHORT, steps=3, checkpoint_list=(3,)), data=data)
    finish(tmp_path / "run", recipe)
    assert Run.open(tmp_path / "run").load(3)["weights.conv_in.weight"].shape == (2, 8, 3, 3, 3)
