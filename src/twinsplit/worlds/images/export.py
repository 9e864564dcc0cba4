"""One network of a run in diffusers' own layout."""

from pathlib import Path
from typing import Any

from twinsplit.errors import InputError
from twinsplit.networks.unet_denoiser import UNetDenoiser
from twinsplit.recipes import ImageRecipe
from twinsplit.runs.files import write_json
from twinsplit.runs.store import Run
from twinsplit.worlds.images.world import ImageWorld


def export_network(run: Run[Any], member: int, step: int | None, out: Path) -> str:
    """Write OUT as diffusers writes a pipeline, and OUT/normalisation.json; what was written, in a line."""
    if not isinstance(run.recipe, ImageRecipe):
        raise InputError(f"{run.path} is a run on sequences", "export a run on images, such as `train --world digits` makes")
    if run.recipe.network.kind == "blind":
        raise InputError(f"{run.path} is a run of blind networks", "export a run of U-Nets that are told the time: diffusers has no others")
    at = _checkpoint(run, step)
    if not 0 <= member < len(run.recipe.members):
        raise InputError(f"--member {member}", f"choose 0 to {len(run.recipe.members) - 1}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and holds something else", "choose another --out, or remove it")
    world = ImageWorld.of(run.recipe)
    ensemble = world.load(run, at)
    denoiser = ensemble.member(member)
    assert isinstance(denoiser, UNetDenoiser)
    denoiser.save_pretrained(out)
    write_json(out / "normalisation.json", world.normalisations[ensemble.members[member].split].to_json())
    return (
        f"{out}: network {member} at step {at}; images are normalised by normalisation.json before the U-Net sees them, and back after it"
    )


def _checkpoint(run: Run[Any], step: int | None) -> int:
    steps = run.steps()
    if not steps:
        raise InputError(f"{run.path} has no checkpoint yet", f"train first: twinsplit train --out {run.path}")
    if step is not None and step not in steps:
        raise InputError(f"--step {step} is no kept checkpoint", f"choose one of {', '.join(map(str, steps))}")
    return steps[-1] if step is None else step
