"""Feature functions from local weights, and FID through torchmetrics. Nothing is ever downloaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from twinsplit.errors import InputError

BATCH = 64
FEWEST = 2


@final
class LocalFeatures(nn.Module):
    """images (n, C, H, W) in [0, 1] -> (n, d) float64: scaled to [0, white], with `channels`
    channels, through `network`."""

    def __init__(self, network: nn.Module, white: float = 1.0, channels: int | None = None, **options: Any) -> None:
        super().__init__()
        self.network, self.white, self.channels, self.options = network, white, channels, options

    def forward(self, images: Tensor) -> Tensor:
        """Features of images, each of which must have 1 or `channels` channels."""
        pictures = images.to(_device(self.network), torch.float32) * self.white
        widened = _widened(pictures, self.channels)
        try:
            with torch.no_grad():
                found = self.network(widened, **self.options)
        except (RuntimeError, TypeError) as error:  # what a network says of images of another shape, or of options it does not know
            what = [line for line in str(error).splitlines() if line.strip()][-1:]
            raise InputError(
                f"a feature network that fails on images of shape {tuple(widened.shape)}: {' '.join(what)}", "give one for such images"
            ) from error
        if not isinstance(found, Tensor) or found.ndim < 2 or len(found) != len(images):
            raise InputError("a feature network that does not return one row for each image", "give one that maps (n, C, H, W) to (n, d)")
        rows: Tensor = found.flatten(1).double()
        return rows


def load_features(path: str | Path, white: float = 1.0, channels: int | None = None, **options: Any) -> LocalFeatures:
    """The TorchScript module in the local file `path` as a feature function: images (n, C, H, W) in
    [0, 1] -> (n, d) float64.

    white: what the module takes for white, 1 or 255. channels: grey images are repeated to that
    many. options: keyword arguments of its forward. The Inception network of published FID values,
    as its TorchScript file `inception-2015-12-05.pt` has it, is `load_features(path, white=255,
    channels=3, return_features=True)`, and resizes images itself. TorchScript is what such weights
    are published in; PyTorch calls it deprecated, and still reads it. A TorchScript file is a
    program: open only what you trust. Raises InputError where the file is missing or is no such
    module.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"no file {file}", "give the TorchScript file of a feature network on this machine; none is downloaded")
    try:
        network: nn.Module = torch.jit.load(str(file), map_location="cpu")  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise InputError(f"{file} is not a TorchScript module", "save one with torch.jit.script(network).save(path)") from error
    return LocalFeatures(network.eval(), white, channels, **options)


def fid(images_a: Tensor, images_b: Tensor, feature_module: nn.Module) -> float:
    """The Fréchet distance of feature_module's features of two sets of images (n, C, H, W) in [0,
    1], by torchmetrics (extra `fid`).

    It is called FID when the module is the Inception network of Heusel et al. (2017), see
    `load_features`; other features give other numbers. The module is evaluated in batches, without
    dropout, on its own device. The bias is that of `frechet_distance`. Raises InputError without
    torchmetrics, for fewer than two images, and for values outside [0, 1].
    """
    metric = _metric(feature_module, _checked(images_a))
    with torch.no_grad(), _evaluating(feature_module):
        for images, real in ((images_a, True), (_checked(images_b), False)):
            for batch in torch.split(images, BATCH):
                metric.update(batch, real=real)
        return float(metric.compute())


def _checked(images: Tensor) -> Tensor:
    if images.ndim != 4 or len(images) < FEWEST or not images.is_floating_point():
        raise InputError(f"images of shape {tuple(images.shape)} and type {images.dtype}", "give two or more, floating point, (n, C, H, W)")
    if not bool(((images >= 0) & (images <= 1)).all()):
        raise InputError("images with values outside [0, 1]", "add the split's mean back, and clamp")
    return images


def _metric(module: nn.Module, images: Tensor) -> Any:
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance
    except ImportError as error:
        raise InputError("the package `torchmetrics` is missing", "install it: pip install 'twinsplit[fid]'") from error
    with torch.no_grad(), _evaluating(module):
        return FrechetInceptionDistance(_InDouble(module, images[:1]), normalize=True)


class _InDouble(nn.Module):
    """The features in float64 on the CPU, so that torchmetrics keeps and returns float64; their
    number is found by asking once."""

    def __init__(self, module: nn.Module, image: Tensor) -> None:
        super().__init__()
        self.module = module
        self.num_features = int(self(image).shape[1])

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.module(images.to(_device(self.module))).flatten(1).double().cpu()
        if not bool(features.isfinite().all()):
            raise InputError("features that are not finite", "check the feature network on these images")
        return features


def _device(module: nn.Module) -> torch.device:
    return next((tensor.device for tensor in [*module.parameters(), *module.buffers()]), torch.device("cpu"))


def _widened(images: Tensor, channels: int | None) -> Tensor:
    if channels is None or images.shape[1] == channels:
        return images
    if images.shape[1] != 1:
        raise InputError(f"images of {images.shape[1]} channels for a network of {channels}", "give grey images, or as many channels")
    return images.expand(-1, channels, -1, -1)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Within this block every part of the module is in evaluation mode; afterwards each is as it was."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training
