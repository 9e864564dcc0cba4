"""FID through torchmetrics equals the Fréchet distance of the same features; local weights, and nothing else, are read."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from twinsplit.errors import InputError
from twinsplit.measures.features import fid, load_features
from twinsplit.measures.frechet import frechet_distance


class Published(nn.Module):
    """Called as the published Inception file is: 0..255, three channels, and an option."""

    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        if not return_features:
            return images.sum()
        return images.flatten(2).amax(2)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5), nn.Dropout(0.5)).eval()


def images(seed: int, n: int) -> Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def saved(folder: Path, module: nn.Module) -> Path:
    torch.jit.script(module).save(str(folder / "weights.pt"))
    return folder / "weights.pt"


def test_fid_is_the_distance_of_the_features() -> None:
    pytest.importorskip("torchmetrics")
    a, b, features = images(0, 150), images(1, 90) ** 2, network()
    with torch.no_grad():
        expected = frechet_distance(features(a), features(b))
    assert expected > 1e-5
    assert fid(a, b, features) == pytest.approx(expected, rel=1e-6)
    assert fid(a, a, features) == pytest.approx(0, abs=1e-9)


def test_fid_of_known_gaussians() -> None:
    """Two pixels as features, moved by (1/4, 0) and halved in spread: the mean's square and the spread's."""
    pytest.importorskip("torchmetrics")
    corners = torch.tensor([[0.0, 0.0], [0.0, 0.5], [0.5, 0.0], [0.5, 0.5]]).reshape(4, 1, 1, 2).repeat(25, 1, 1, 1)
    half = (corners - 0.25) / 2 + 0.25 + torch.tensor([0.25, 0.0])
    deviation = 0.25 * (100 / 99) ** 0.5
    assert fid(corners, half, nn.Flatten()) == pytest.approx(0.25**2 + 2 * (deviation / 2) ** 2, rel=1e-12)


def test_fid_leaves_the_network_as_it_was() -> None:
    pytest.importorskip("torchmetrics")
    features = network().train()
    features[1].eval()
    assert fid(images(0, 9), images(0, 9), features) == pytest.approx(0, abs=1e-9)  # no dropout while it looks
    assert [part.training for part in features] == [True, False, True, True, True]


def test_local_weights(tmp_path: Path) -> None:
    pytest.importorskip("torchmetrics")
    features, a, b = load_features(saved(tmp_path, network())), images(0, 20), images(1, 20) ** 3
    found = features(a)
    with torch.no_grad():
        torch.testing.assert_close(found, network()(a).double())
    assert not found.requires_grad
    assert fid(a, b, features) == pytest.approx(frechet_distance(features(a), features(b)), rel=1e-6)


def test_the_published_file_is_called_as_it_wants(tmp_path: Path) -> None:
    features = load_features(saved(tmp_path, Published()), white=255, channels=3, return_features=True)
    found = features(images(0, 4))
    assert found.shape == (4, 3)
    torch.testing.assert_close(found[:, 2], 255 * images(0, 4).flatten(1).amax(1).double())
    with pytest.raises(InputError, match="2 channels"):
        features(torch.ones(4, 2, 8, 8))
    with pytest.raises(InputError, match="one row"):
        load_features(tmp_path / "weights.pt")(images(0, 4))


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("not a network")
    (tmp_path / "empty.pt").write_bytes(b"")
    torch.save({"weight": torch.ones(3)}, tmp_path / "weights_only.pt")
    for name in ("text.pt", "empty.pt", "weights_only.pt"):
        with pytest.raises(InputError, match="not a TorchScript module"):
            load_features(tmp_path / name)
    for path in (tmp_path / "absent.pt", tmp_path):
        with pytest.raises(InputError, match="none is downloaded"):
            load_features(path)


def test_without_the_library_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", None)
    with pytest.raises(InputError, match=r"pip install 'twinsplit\[fid\]'"):
        fid(images(0, 4), images(1, 4), network())


@pytest.mark.parametrize(
    ("unfit", "reason"),
    [
        (torch.ones(1, 1, 8, 8), "two or more"),
        (torch.ones(4, 8, 8), "two or more"),
        (torch.ones(4, 1, 8, 8, dtype=torch.uint8), "floating point"),
        (images(0, 4) - 0.5, "add the split's mean back"),
        (images(0, 4) * float("nan"), "outside"),
    ],
)
def test_unfit_images_are_refused(unfit: Tensor, reason: str) -> None:
    pytest.importorskip("torchmetrics")
    for pair in ((unfit, images(0, 4)), (images(0, 4), unfit)):
        with pytest.raises(InputError, match=reason):
            fid(*pair, network())


def test_features_that_are_not_numbers_are_refused() -> None:
    pytest.importorskip("torchmetrics")
    broken = network()
    nn.init.constant_(broken[3].weight, float("nan"))
    with pytest.raises(InputError, match="not finite"):
        fid(images(0, 4), images(1, 4), broken)
