"""What a run takes after training: counts are what is asked and kept, hours are measured times multiplied out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.execution.local import Inline
from twinsplit.networks.network import Network
from twinsplit.papers.gahb.ladder import SMOKE as BLIND
from twinsplit.pipeline import sampling_cost as afterwards
from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.sampling_cost import pace, sampling_cost_of, sampling_steps
from twinsplit.recipes import DIGITS_SMOKE, SMOKE, RunRecipe
from twinsplit.training.ensemble import Ensemble
from twinsplit.worlds.registry import world_of


def short(recipe: Any, **measuring: Any) -> Any:
    training = replace(recipe.training, steps=3, first_checkpoint=3, checkpoints=1)
    return replace(recipe, training=training, measuring=replace(recipe.measuring, generated=3, sampling_steps=4, **measuring))


RECIPES: dict[str, RunRecipe] = {
    "sequences": short(replace(SMOKE, data=replace(SMOKE.data, splits=3, split_size=5, held_out=30)), noise_draws=2),
    "images": short(DIGITS_SMOKE, times=(3, 8), noise_draws=2),
    "images at the fixed time": short(DIGITS_SMOKE, times=(5,), train_images=99),
    "blind": short(BLIND),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_toll_is_what_is_asked_and_kept(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of every evaluation of a network, and numbers in every table, counted on a real checkpoint."""
    if name.startswith("images"):
        pytest.importorskip("diffusers", reason="needs diffusers: pip install 'twinsplit[images]'")
    session = pipeline.begin(tmp_path / "run", RECIPES[name], Inline())
    pipeline.train_stage(session)
    options = counted(monkeypatch, type(session.world.network))
    pipeline.measure_stage(session)
    measurement_cost = session.world.measurement_cost()
    assert sum(options) == measurement_cost.answers
    pipeline.sampling_stage(session, session.run.steps())
    kept = sum(len(row["values"]) for row in every_row(session.run.path))
    pictures = (session.run.path / "measurements").rglob("*.safetensors")
    assert measurement_cost.kept == 4 * kept + sum(tensor.numel() for file in pictures for tensor in loaded(file).values())


def counted(monkeypatch: pytest.MonkeyPatch, network: type[Network]) -> list[int]:
    """Samples of every evaluation from now on, by the general path."""
    rows: list[int] = []
    outputs = network.outputs

    def noted(self: Any, parameters: Any, x_t: Tensor, t: Tensor, *drop: Any) -> Tensor:
        rows.append(x_t.shape[0] * x_t.shape[1])
        return outputs(self, parameters, x_t, t, *drop)

    monkeypatch.setattr(network, "outputs", noted)
    monkeypatch.setattr("twinsplit.networks.fused.evaluates", lambda network, weight: False)
    return rows


def every_row(path: Path) -> list[dict[str, Any]]:
    return [row for file in sorted((path / "measurements").glob("*.parquet/step_*.parquet")) for row in pq.read_table(file).to_pylist()]


def loaded(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    found: dict[str, Tensor] = load_file(file)
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_a_short_drawing_is_of_the_same_kind(name: str) -> None:
    """As many samples as asked for, and one evaluation of the network a step (an ascent looks once more at its end)."""
    if name.startswith("images"):
        pytest.importorskip("diffusers", reason="needs diffusers: pip install 'twinsplit[images]'")
    world = world_of(RECIPES[name])
    with pytest.MonkeyPatch.context() as patched:
        options = counted(patched, type(world.network))
        samples = world.drawing(5, 3)(Ensemble.initial(world.network, world.members, world.root, world.parametrisation.denoiser).member(1))
    assert getattr(samples, "images", samples).shape == (5, *world.sample_shape)
    assert options == [5] * (4 if name == "blind" else 3)


def test_steps_of_a_sample() -> None:
    """A reverse process has T of them; an ascent as many as it is given."""
    assert sampling_steps(world_of(replace(SMOKE, measuring=replace(SMOKE.measuring, sampling_steps=900)))) == 50
    assert sampling_steps(world_of(BLIND)) == 2_000


def test_rows_are_doubled_until_they_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    monkeypatch.setattr(afterwards, "_seconds", lambda work, denoiser: (work(denoiser), 0.1 * done[-1])[1])
    ladder = {rows: (lambda denoiser, rows=rows: done.append(rows)) for rows in (2, 4, 8, 16)}
    nobody: Any = None
    assert pace(ladder, nobody) == (8, pytest.approx(0.1))
    assert done == [2, 2, 4, 8, 8, 8, 8]
    monkeypatch.setattr(afterwards, "LONG", 100)
    assert pace(ladder, nobody)[0] == 16


@pytest.mark.parametrize("size", [1, 2])
def test_hours_are_rounds_of_measured_times(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 networks and 1 checkpoint; 3 samples of 4 steps from each network."""

    def measured(executor: Inline, ladder: dict[int, Any], networks: list[Denoiser[Any]]) -> tuple[int, float]:
        assert len(networks) == size
        next(iter(ladder.values()))(networks[0])
        return max(ladder), 8.0 if max(ladder) == 3 else 0.5

    monkeypatch.setattr(afterwards, "_slowest", measured)
    world, executor = world_of(RECIPES["sequences"]), Inline()
    executor.size = size
    found = sampling_cost_of(world, executor)
    assert (found.rows, found.drawing, found.answering, found.at_once) == (3, 2.0, 0.5, size)
    assert found.hours_drawing == pytest.approx({1: 3, 2: 2}[size] * 3 * 4 * 2.0 / 3600)
    assert found.hours_answering == pytest.approx(world.measurement_cost().answers * 0.5 / 3600)


def test_more_workers_than_networks_share_their_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """3 networks, 3 samples of each, 2 at once: 6 tasks of 1.5 samples on average, which 4 workers do in two rounds."""
    world, executor = world_of(RECIPES["sequences"]), Inline()
    executor.size = 4
    monkeypatch.setattr(type(world), "drawn_at_once", lambda self, device: 2)
    seen: list[int] = []

    def measured(executor: Inline, ladder: dict[int, Any], networks: list[Denoiser[Any]]) -> tuple[int, float]:
        seen.append(len(networks))
        return max(ladder), 8.0

    monkeypatch.setattr(afterwards, "_slowest", measured)
    found = sampling_cost_of(world, executor)
    assert seen == [4, 4]
    assert found.hours_drawing == pytest.approx(2 * 1.5 * 4 * 2.0 / 3600)


def test_measured_times_are_positive() -> None:
    found = sampling_cost_of(world_of(RECIPES["sequences"]), Inline())
    assert min(found.drawing, found.answering, found.hours_drawing) > 0
    assert torch.isfinite(torch.tensor(found.hours_answering))
