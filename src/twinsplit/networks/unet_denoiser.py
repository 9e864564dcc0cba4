"""A U-Net as a denoiser that predicts the noise; to diffusers' own files and back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, final

from twinsplit.diffusion.schedule import Schedule
from twinsplit.errors import InputError
from twinsplit.networks.noise_denoiser import PredictsNoise
from twinsplit.networks.unet import UNet, diffusers
from twinsplit.noise.reference import Noise


@final
@dataclass(frozen=True, eq=False)
class UNetDenoiser(PredictsNoise):
    """One U-Net of diffusers' kind. parameters: name -> (1, *shape); schedule: its noising process."""

    network: UNet

    @classmethod
    def published(cls, noise: Noise | None = None) -> "UNetDenoiser":
        """[BG]'s network for 32 x 32 grey faces, untrained: 4,023,233 parameters; T = 1000, beta from 1e-4 to 0.02."""
        return cls.initial(UNet(), Schedule.diffusion_lm(1_000), noise or Noise(0, "published"))

    def save_pretrained(self, folder: Path) -> None:
        """FOLDER/unet, FOLDER/scheduler and FOLDER/model_index.json, as diffusers writes a `DDPMPipeline` and loads it or its parts."""
        model = self.network.module()
        model.load_state_dict({name: value[0] for name, value in self.parameters.items()})
        diffusers().DDPMPipeline(model, self.scheduler()).save_pretrained(folder)

    def scheduler(self) -> Any:
        """The same process as diffusers' `DDPMScheduler`, which counts times from 0."""
        beta = 1.0 - self.schedule.alpha_bar[1:] / self.schedule.alpha_bar[:-1]
        return diffusers().DDPMScheduler(self.schedule.T, trained_betas=beta.tolist(), clip_sample=False)

    @classmethod
    def from_pretrained(cls, folder: Path) -> "UNetDenoiser":
        """What `save_pretrained` wrote, here or by diffusers for a U-Net of this family that predicts the noise; InputError for another."""
        library = diffusers()
        with _reading(folder):
            network = _family(_whole(library.UNet2DModel, library.UNet2DModel.load_config(folder / "unet")))
            schedule = _process(library.DDPMScheduler.from_pretrained(folder / "scheduler"))
            model = library.UNet2DModel.from_pretrained(folder / "unet", use_safetensors=True)
        return cls(network, {name: value.detach()[None] for name, value in model.named_parameters()}, schedule)


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """What the library trips over within becomes one line."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{folder} holds no U-Net and scheduler: {what}", "give a folder of `save_pretrained`") from error


def _whole(kind: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """A stored configuration with the library's defaults where it is silent, without the library's private notes."""
    defaults = {name: known.default for name, known in signature(kind.__init__).parameters.items() if name != "self"}
    return {name: _plain(value) for name, value in (defaults | dict(config)).items() if not name.startswith("_")}


def _process(scheduler: Any) -> Schedule:
    """The noising process of a diffusers scheduler whose networks predict the noise."""
    kind = scheduler.config["prediction_type"]
    if kind != "epsilon":
        raise InputError(f"a scheduler whose prediction_type is {kind!r}", "use a network that predicts the noise (epsilon)")
    return Schedule.from_beta(scheduler.betas.double())


def _family(config: Mapping[str, Any]) -> UNet:
    """The `UNet` with this whole configuration, or InputError where it is another kind of model: no key may differ from ours."""
    numbers = ("in_channels", "sample_size", "layers_per_block", "norm_num_groups")
    for key in (key for key in numbers if type(config[key]) is not int):
        raise _another(config, key)
    network = UNet(
        config["in_channels"],
        config["sample_size"],
        tuple(config["block_out_channels"]),
        config["layers_per_block"],
        tuple(i for i, kind in enumerate(config["down_block_types"]) if kind == "AttnDownBlock2D"),
        config["norm_num_groups"],
        config["dropout"],
    )
    ours = _whole(diffusers().UNet2DModel, network.configuration())
    for key in (key for key, value in config.items() if key not in ours or value != ours[key]):
        raise _another(config, key)
    return network


def _another(config: Mapping[str, Any], key: str) -> InputError:
    return InputError(
        f"a U-Net whose {key} is {config[key]!r}", "use one with (Attn)DownBlock2D and (Attn)UpBlock2D only, else with diffusers' defaults"
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value
