"""A U-Net as a denoiser, and to diffusers' files and back."""

import json
from pathlib import Path

import pytest
import torch

from twinsplit.diffusion.schedule import Schedule
from twinsplit.errors import InputError
from twinsplit.networks import noise_denoiser
from twinsplit.networks.unet import UNet
from twinsplit.networks.unet_denoiser import UNetDenoiser
from twinsplit.noise.reference import Noise

SCHEDULE = Schedule.diffusion_lm(100)
NETWORK = UNet(1, 8, (8, 8), 1, (1,), 4, 0.1)


@pytest.fixture(scope="module")
def twins() -> tuple[UNetDenoiser, UNetDenoiser]:
    first, second = (UNetDenoiser.initial(NETWORK, SCHEDULE, Noise(seed)) for seed in (0, 1))
    return first, second


def states(n: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    x_t = Noise(7).normal(0, torch.arange(n), (1, 8, 8), torch.float32)
    return x_t, torch.tensor([1, 3, 50, 99, 100])[:n]


def test_the_published_denoiser_has_the_published_size_and_process() -> None:
    published = UNetDenoiser.published()
    assert sum(value.numel() for value in published.parameters.values()) == 4_023_233
    beta = 1 - published.schedule.alpha_bar[1:] / published.schedule.alpha_bar[:-1]
    assert torch.allclose(beta, torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), rtol=1e-9)


def test_the_posterior_is_the_noise_prediction_read_backwards(twins: tuple[UNetDenoiser, UNetDenoiser]) -> None:
    x_t, t = states()
    posterior, eps = twins[0](x_t, t), twins[0].noise_prediction(x_t, t)
    assert torch.allclose(SCHEDULE.noised(posterior.mean, t, eps), x_t, atol=1e-5)
    ab = SCHEDULE.alpha_bar[t]
    assert torch.allclose(posterior.variance, (1 - ab) / ab)


def test_divergence_of_twins_is_half_the_squared_difference_of_their_predictions(twins: tuple[UNetDenoiser, UNetDenoiser]) -> None:
    x_t, t = states()
    a, b = twins
    expected = (a.noise_prediction(x_t, t) - b.noise_prediction(x_t, t)).square().flatten(1).sum(1) / 2
    assert torch.allclose(a(x_t, t).kl(b(x_t, t)), expected, rtol=1e-3)


def test_batches_do_not_matter(twins: tuple[UNetDenoiser, UNetDenoiser], monkeypatch: pytest.MonkeyPatch) -> None:
    x_t, t = states()
    whole = twins[0].noise_prediction(x_t, t)
    monkeypatch.setattr(noise_denoiser, "CHUNK", 2)
    assert torch.allclose(twins[0].noise_prediction(x_t, t), whole, atol=1e-6)
    assert twins[0].noise_prediction(x_t[:0], t[:0]).shape == (0, 1, 8, 8)


@pytest.mark.parametrize("t", [-1, 101])
def test_times_of_another_schedule_are_refused(twins: tuple[UNetDenoiser, UNetDenoiser], t: int) -> None:
    with pytest.raises(InputError, match=r"outside 0\.\.100"):
        twins[0].noise_prediction(states()[0], t)


def test_diffusers_loads_what_is_saved(twins: tuple[UNetDenoiser, UNetDenoiser], tmp_path: Path) -> None:
    from diffusers import DDPMScheduler, UNet2DModel

    twins[0].save_pretrained(tmp_path)
    assert {path.name for path in (tmp_path / "unet").iterdir()} == {"config.json", "diffusion_pytorch_model.safetensors"}
    model = UNet2DModel.from_pretrained(tmp_path / "unet").eval()
    x_t, t = states()
    with torch.no_grad():
        theirs = model(x_t, t - 1).sample
    assert torch.allclose(twins[0].noise_prediction(x_t, t), theirs, atol=1e-5)
    scheduler = DDPMScheduler.from_pretrained(tmp_path / "scheduler")
    assert torch.allclose(scheduler.alphas_cumprod.double(), SCHEDULE.alpha_bar[1:], atol=1e-6)


def test_diffusers_loads_the_whole_as_a_pipeline(twins: tuple[UNetDenoiser, UNetDenoiser], tmp_path: Path) -> None:
    """Its network predicts the same, and what its scheduler reads from that as the image is our posterior mean."""
    from diffusers import DDPMPipeline

    twins[1].save_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["_class_name"] == "DDPMPipeline"
    pipeline = DDPMPipeline.from_pretrained(tmp_path, local_files_only=True)
    x_t, t = states()
    with torch.no_grad():
        theirs = pipeline.unet(x_t, t - 1).sample
    assert torch.allclose(twins[1].noise_prediction(x_t, t), theirs, atol=1e-5)
    assert pipeline.scheduler.config.num_train_timesteps == SCHEDULE.T
    assert not pipeline.scheduler.config.clip_sample
    x_0 = pipeline.scheduler.step(theirs[2:3], 49, x_t[2:3]).pred_original_sample
    assert torch.allclose(twins[1](x_t[2:3], 50).mean, x_0, atol=1e-4)


def test_there_and_back_again(twins: tuple[UNetDenoiser, UNetDenoiser], tmp_path: Path) -> None:
    twins[0].save_pretrained(tmp_path)
    again = UNetDenoiser.from_pretrained(tmp_path)
    assert again.network == NETWORK
    assert torch.allclose(again.schedule.alpha_bar, SCHEDULE.alpha_bar, atol=1e-6)
    assert all(torch.equal(again.parameters[name], value) for name, value in twins[0].parameters.items())


def test_other_folders_and_other_models_are_refused(tmp_path: Path) -> None:
    from diffusers import UNet2DModel

    with pytest.raises(InputError, match="holds no U-Net and scheduler"):
        UNetDenoiser.from_pretrained(tmp_path)
    UNetDenoiser.initial(NETWORK, SCHEDULE, Noise(0)).save_pretrained(tmp_path)
    blocks = {"down_block_types": ("DownBlock2D", "ResnetDownsampleBlock2D"), "up_block_types": ("ResnetUpsampleBlock2D", "UpBlock2D")}
    other = UNet2DModel(8, 1, 1, layers_per_block=1, block_out_channels=(8, 8), norm_num_groups=4, **blocks)
    other.save_pretrained(tmp_path / "unet")
    with pytest.raises(InputError, match="down_block_types"):
        UNetDenoiser.from_pretrained(tmp_path)


BLOCKS = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
SIZES = {"sample_size": 8, "in_channels": 1, "out_channels": 1, "layers_per_block": 1, "block_out_channels": (8, 8), "norm_num_groups": 4}


def test_a_configuration_that_is_silent_means_the_librarys_defaults(tmp_path: Path) -> None:
    """As files of earlier versions of diffusers are, which lack the keys of later ones."""
    UNetDenoiser.initial(NETWORK, SCHEDULE, Noise(0)).save_pretrained(tmp_path)
    path = tmp_path / "unet" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in config.items() if key not in ("norm_eps", "act_fn", "num_train_timesteps")}))
    assert UNetDenoiser.from_pretrained(tmp_path).network == NETWORK


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("downsample_padding", 0),
        ("mid_block_scale_factor", 2),
        ("act_fn", "gelu"),
        ("freq_shift", 1),
        ("flip_sin_to_cos", False),
        ("attention_head_dim", 4),
        ("norm_eps", 1e-6),
        ("center_input_sample", True),
        ("time_embedding_type", "fourier"),
        ("resnet_time_scale_shift", "scale_shift"),
        ("num_class_embeds", 3),
        ("mid_block_type", None),
        ("out_channels", 2),
        ("sample_size", None),
        ("sample_size", (8, 4)),
    ],
)
def test_a_network_that_would_compute_other_numbers_is_refused(tmp_path: Path, key: str, value: object) -> None:
    from diffusers import UNet2DModel

    UNetDenoiser.initial(NETWORK, SCHEDULE, Noise(0)).save_pretrained(tmp_path)
    UNet2DModel(**{**SIZES, **BLOCKS, key: value}).save_pretrained(tmp_path / "unet")
    with pytest.raises(InputError, match=f"a U-Net whose {key} is") as refused:
        UNetDenoiser.from_pretrained(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_key_of_a_later_library_is_refused(tmp_path: Path) -> None:
    UNetDenoiser.initial(NETWORK, SCHEDULE, Noise(0)).save_pretrained(tmp_path)
    path = tmp_path / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"wavelets": 3}))
    with pytest.raises(InputError, match="whose wavelets is 3"):
        UNetDenoiser.from_pretrained(tmp_path)


@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
def test_a_network_that_predicts_something_else_is_refused(tmp_path: Path, kind: str) -> None:
    from diffusers import DDPMScheduler

    UNetDenoiser.initial(NETWORK, SCHEDULE, Noise(0)).save_pretrained(tmp_path)
    DDPMScheduler(100, prediction_type=kind).save_pretrained(tmp_path / "scheduler")
    with pytest.raises(InputError, match=f"prediction_type is '{kind}'"):
        UNetDenoiser.from_pretrained(tmp_path)


def test_damaged_weights_are_refused_in_one_line(tmp_path: Path) -> None:
    UNetDenoiser.initial(NETWORK, SCHEDULE, Noise(0)).save_pretrained(tmp_path)
    weights = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match="holds no U-Net and scheduler") as refused:
        UNetDenoiser.from_pretrained(tmp_path)
    assert "\n" not in str(refused.value)
