"""One network for diffusers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from twinsplit.errors import InputError
from twinsplit.networks.unet_denoiser import UNetDenoiser
from twinsplit.papers.gahb.ladder import SMOKE as BLIND
from twinsplit.recipes import SMOKE
from twinsplit.runs.store import Run
from twinsplit.worlds.images.export import export_network
from twinsplit.worlds.images.world import ImageWorld


def test_diffusers_gives_the_same_prediction(image_run: Run[Any], tmp_path: Path) -> None:
    from diffusers import UNet2DModel

    step = image_run.steps()[2]
    export_network(image_run, 1, step, tmp_path / "out")
    world = ImageWorld.of(image_run.recipe)
    ours = world.load(image_run, step).member(1)
    assert isinstance(ours, UNetDenoiser)
    x_t = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    model = UNet2DModel.from_pretrained(tmp_path / "out" / "unet").eval()
    with torch.no_grad():
        assert torch.allclose(model(x_t, 6).sample, ours.noise_prediction(x_t, 7), atol=1e-5)
    stored = json.loads((tmp_path / "out" / "normalisation.json").read_text())
    assert stored == json.loads(json.dumps(world.normalisations[1].to_json()))


@pytest.mark.parametrize(
    ("member", "step", "says"), [(3, None, "--member 3"), (-1, None, "--member -1"), (0, 5, "--step 5 is no kept checkpoint")]
)
def test_what_is_not_there_is_refused(image_run: Run[Any], tmp_path: Path, member: int, step: int | None, says: str) -> None:
    with pytest.raises(InputError, match=says):
        export_network(image_run, member, step, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_blind_networks_are_refused(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", BLIND)
    with pytest.raises(InputError, match="run of blind networks; export a run of U-Nets"):
        export_network(run, 0, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folders_that_hold_something_and_other_runs_are_refused(image_run: Run[Any], tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        export_network(image_run, 0, None, tmp_path)
    with pytest.raises(InputError, match="run on sequences"):
        export_network(Run.create(tmp_path / "run", SMOKE), 0, None, tmp_path / "out")
    with pytest.raises(InputError, match="no checkpoint yet"):
        export_network(Run.create(tmp_path / "empty", image_run.recipe), 0, None, tmp_path / "out")
