"""A world of somebody else: points on a noisy ring, an MLP that predicts the noise. It knows nothing of the stages of a run."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

import twinsplit as ts
from twinsplit.networks.module import ModuleNetwork
from twinsplit.noise import Noise
from twinsplit.recipes import Diffusion, Repeating, RunRecipe, Splitting, Training

TRAINING = Training(steps=60, batch=16, schedule="constant", loss="noise", precision="float32", checkpoints=8, first_checkpoint=4)


class MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.layers(torch.cat([x_t, t[:, None].to(x_t.dtype) / 50], dim=1))


@final
@dataclass(frozen=True)
class PointsRecipe(RunRecipe):
    diffusion: Diffusion = field(default_factory=lambda: Diffusion(T=50))
    training: Training = TRAINING
    data: Splitting = field(default_factory=lambda: Splitting(splits=3, split_size=24, held_out=40))
    measuring: Repeating = field(default_factory=lambda: Repeating(generated=16, sampling_steps=10))
    width: int = 16
    world: ClassVar[str] = "points"


@ts.register
@final
@dataclass(frozen=True, eq=False)
class PointsWorld(ts.World):
    name: ClassVar[str] = "points"
    recipe_type: ClassVar[type[RunRecipe]] = PointsRecipe
    presets: ClassVar[dict[str, RunRecipe]] = {"smoke": PointsRecipe(name="smoke")}
    recipe: PointsRecipe

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", ts.Schedule.diffusion_lm(self.recipe.diffusion.T))
        object.__setattr__(self, "network", ModuleNetwork(MLP(self.recipe.width)))

    @property
    def parametrisation(self) -> ts.NoisePrediction:
        return ts.NoisePrediction(self.schedule)

    @classmethod
    def of(cls, recipe: Any) -> "PointsWorld":
        return cls(recipe)

    def points(self, first: int, count: int) -> Tensor:
        eps = Noise(self.recipe.seed, "points").normal(0, torch.arange(first, first + count), (3,), torch.float32)
        return torch.nn.functional.normalize(eps[:, :2], dim=1) * (1 + 0.1 * eps[:, 2:])

    def split_samples(self, device: torch.device | str = "cpu") -> Tensor:
        data = self.recipe.data
        return self.points(0, data.splits * data.split_size).view(data.splits, data.split_size, 2).to(device)

    def held_out_samples(self) -> Tensor:
        return self.points(10_000, self.recipe.data.held_out)
