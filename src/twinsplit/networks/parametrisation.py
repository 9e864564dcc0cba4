"""What a network's output means: the noised state it sees, the target it learns, the posterior it stands for, how it is sampled.

A world, a training task and a measure of networks take one `Parametrisation` and never ask which
kind it is. There are three: token logits, the noise (the network is told the time), and the
residual (the network is blind to the noise level).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch
from torch import Tensor

from twinsplit.diffusion.ascent import Ascent
from twinsplit.diffusion.blind import Blind
from twinsplit.diffusion.denoiser import Denoiser
from twinsplit.diffusion.sampler import DDIM, Ancestral, Sampler, strided_times
from twinsplit.diffusion.schedule import Noising, Schedule, expand_like
from twinsplit.errors import InputError
from twinsplit.networks.blind_denoiser import BlindDenoiser
from twinsplit.networks.network import Network
from twinsplit.networks.network_denoiser import NetworkDenoiser
from twinsplit.networks.noise_denoiser import NoiseDenoiser, PredictsNoise
from twinsplit.networks.unet import UNet
from twinsplit.networks.unet_denoiser import UNetDenoiser
from twinsplit.noise.reference import Noise

SAMPLERS: dict[str, type[Ancestral] | type[DDIM]] = {"ancestral": Ancestral, "ddim": DDIM}
NOISE_DENOISERS: dict[type[Network], type[PredictsNoise]] = {UNet: UNetDenoiser}
"""Denoisers that can do more than any network's: those of a U-Net go to diffusers' files."""

GREY = 0.5  # what the ascent's first noise is added to: one image for all twins, where each would have another mean of its own


@final
@dataclass(frozen=True)
class Sampling:
    """Options of a sampler.

    steps: of a reverse process, at most T are taken; of an ascent, the most it may take. name: of the
    reverse process. step_size (h0), injected (beta), sigma_end: of the ascent (`Ascent`).
    """

    steps: int
    name: str = "ancestral"
    step_size: float = 0.01
    injected: float = 0.1
    sigma_end: float = 0.1


@final
@dataclass(frozen=True, eq=False)
class Drawn:
    """samples: (n, ...) float32, as a network knows them; finished: (n,) bool, whether each was drawn to its end."""

    samples: Tensor
    finished: Tensor


Draw = Callable[[Denoiser[Any], tuple[int, ...], Noise, Tensor], Drawn]
"""Draw samples of a denoiser: from the shape of a state, noise, and the samples' names (n,)."""


class Parametrisation(ABC):
    """Samples are (K, n, *sample), states and noise (K, n, *state), scales (K, n), for any shape of a sample."""

    @property
    @abstractmethod
    def noising(self) -> Noising:
        """The process that noises the samples."""

    @abstractmethod
    def state(self, sample: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a noised state, from that of a sample."""

    @abstractmethod
    def noised(self, samples: Tensor, eps: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
        """x_t = signal x_0 + sigma eps."""

    @abstractmethod
    def target(self, samples: Tensor, eps: Tensor, sigma: Tensor) -> Tensor:
        """What the training loss compares the output with."""

    @abstractmethod
    def denoiser(self, network: Network, parameters: Mapping[str, Tensor]) -> Denoiser[Any]:
        """Read one member's outputs as a posterior. parameters: name -> (1, *shape)."""

    @abstractmethod
    def losses(self, denoiser: Denoiser[Any], x_0: Tensor, x_t: Tensor, t: int | Tensor, eps: Tensor) -> Tensor:
        """Training loss of any denoiser, (n,) one for each sample, averaged over its entries.

        Args:
            denoiser: a network of this kind, an exact denoiser, a foreign model.
            x_0: (n, *sample) samples.
            x_t: (n, *state) their noised states at t, an int or (n,) in 1..T.
            eps: (n, *state) the noise in x_t.
        """

    @abstractmethod
    def sampler(self, sampling: Sampling) -> Draw:
        """The sampler that suits the kind. It travels to worker processes."""

    @abstractmethod
    def sampling_steps(self, most: int) -> int:
        """Steps that the sampler takes of `most`; an ascent may end earlier."""


def noised_one_hot(tokens: Tensor, eps: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
    """x_t (..., L, q) from tokens (..., L) int64, eps (..., L, q) and scales (...,): signal at the token, noise everywhere."""
    x_t = eps * sigma[..., None, None]
    at_token = signal[..., None, None].expand(*tokens.shape, 1)
    return x_t.scatter_add_(-1, tokens[..., None], at_token.to(x_t.dtype))


@final
@dataclass(frozen=True, eq=False)
class TokenLogits(Parametrisation):
    """Logits of the symbol at every site: tokens (L,), noised as one-hot rows (L, vocab_size)."""

    vocab_size: int
    schedule: Schedule

    @property
    def noising(self) -> Schedule:
        return self.schedule

    def state(self, sample: tuple[int, ...]) -> tuple[int, ...]:
        return (*sample, self.vocab_size)

    def noised(self, samples: Tensor, eps: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
        return noised_one_hot(samples, eps, signal, sigma)

    def target(self, samples: Tensor, eps: Tensor, sigma: Tensor) -> Tensor:
        return samples

    def denoiser(self, network: Network, parameters: Mapping[str, Tensor]) -> NetworkDenoiser:
        return NetworkDenoiser(network, parameters)

    def losses(self, denoiser: Denoiser[Any], x_0: Tensor, x_t: Tensor, t: int | Tensor, eps: Tensor) -> Tensor:
        """-log p(x_0 | x_t) in nats, averaged over tokens."""
        log_prob: Tensor = denoiser(x_t, t).log_prob(x_0)
        return -log_prob / x_0[0].numel()

    def sampler(self, sampling: Sampling) -> Draw:
        return reverse_process(self.schedule, sampling)

    def sampling_steps(self, most: int) -> int:
        return min(most, self.schedule.T)


class Continuous(Parametrisation):
    """Samples of real numbers in any shape, (D,), (C, L), (C, H, W) or (C, D, H, W), noised as they are."""

    @abstractmethod
    def noise(self, denoiser: Denoiser[Any], x_t: Tensor, t: int | Tensor) -> Tensor:
        """What a denoiser says of the standard normal noise in x_t (n, ...) at t, like x_t; without gradient.

        A network of this kind says so itself; of any other denoiser the posterior mean does.
        """

    @abstractmethod
    def weight(self, t: int | Tensor) -> Tensor:
        """Of the squared error of that noise in the training loss, like t."""

    def state(self, sample: tuple[int, ...]) -> tuple[int, ...]:
        return sample

    def noised(self, samples: Tensor, eps: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
        return torch.addcmul(expand_like(signal, samples) * samples, expand_like(sigma, eps), eps)

    def losses(self, denoiser: Denoiser[Any], x_0: Tensor, x_t: Tensor, t: int | Tensor, eps: Tensor) -> Tensor:
        """Squared error of the predicted noise, averaged over entries, times its weight."""
        errors = (self.noise(denoiser, x_t, t) - eps).square().flatten(1).mean(1)
        return errors * self.weight(t).to(errors)


@final
@dataclass(frozen=True, eq=False)
class NoisePrediction(Continuous):
    """The noise in a state whose time is told (Ho et al. 2020, eq. 14)."""

    schedule: Schedule

    @property
    def noising(self) -> Schedule:
        return self.schedule

    def target(self, samples: Tensor, eps: Tensor, sigma: Tensor) -> Tensor:
        return eps

    def denoiser(self, network: Network, parameters: Mapping[str, Tensor]) -> PredictsNoise:
        return NOISE_DENOISERS.get(type(network), NoiseDenoiser)(network, parameters, self.schedule)

    @torch.no_grad()
    def noise(self, denoiser: Denoiser[Any], x_t: Tensor, t: int | Tensor) -> Tensor:
        if isinstance(denoiser, PredictsNoise):
            return denoiser.noise_prediction(x_t, t)
        return self.schedule.noise_prediction(x_t, denoiser(x_t, t).mean, t)

    def weight(self, t: int | Tensor) -> Tensor:
        """1: all times count alike."""
        return torch.ones(torch.as_tensor(t).shape, dtype=torch.float64)

    def sampler(self, sampling: Sampling) -> Draw:
        return reverse_process(self.schedule, sampling)

    def sampling_steps(self, most: int) -> int:
        return min(most, self.schedule.T)


@final
@dataclass(frozen=True, eq=False)
class Residual(Continuous):
    """The noise as it was added: y - x = sigma eps for y = x + sigma eps, sigma not told ([GAHB] eq. 3).

    For a process that only adds noise (`diffusion.exploding`); what is compared is what the published code compares.
    """

    process: Noising

    @property
    def noising(self) -> Noising:
        return self.process

    def target(self, samples: Tensor, eps: Tensor, sigma: Tensor) -> Tensor:
        return expand_like(sigma, eps) * eps

    def denoiser(self, network: Network, parameters: Mapping[str, Tensor]) -> BlindDenoiser:
        return BlindDenoiser(network, parameters)

    @torch.no_grad()
    def noise(self, denoiser: Denoiser[Any], x_t: Tensor, t: int | Tensor) -> Tensor:
        """The residual, in units of the sigma that was used and not told."""
        if isinstance(denoiser, Blind):
            return denoiser.residual(x_t) / expand_like(self.process.scales(t)[1], x_t)
        return self.process.noise_prediction(x_t, denoiser(x_t, t).mean, t)

    def weight(self, t: int | Tensor) -> Tensor:
        """sigma^2: the squared error of the denoised sample is what a blind network is trained on."""
        return self.process.scales(t)[1].square()

    def sampler(self, sampling: Sampling) -> Draw:
        """Stochastic ascent from grey; samples that do not get to sigma_end are kept and flagged."""
        return partial(_ascended, Ascent(sampling.step_size, sampling.injected, sampling.sigma_end, max_steps=sampling.steps))

    def sampling_steps(self, most: int) -> int:
        return most


def reverse_process(schedule: Schedule, sampling: Sampling) -> Draw:
    """The named reverse process, in evenly spaced steps from the same x_T for all networks."""
    if sampling.name not in SAMPLERS:
        raise InputError(f"the sampler {sampling.name!r}", f"choose one of {', '.join(SAMPLERS)}")
    times = strided_times(schedule.T, min(sampling.steps, schedule.T))
    return partial(_reversed, SAMPLERS[sampling.name](schedule, times))


def _reversed(sampler: Sampler, denoiser: Denoiser[Any], shape: tuple[int, ...], noise: Noise, ids: Tensor) -> Drawn:
    x_T = noise.child("x_T").normal(0, ids, shape, torch.float32)
    return Drawn(sampler(denoiser, x_T, noise.child("steps"), sample_ids=ids), torch.ones(len(ids), dtype=torch.bool))


def _ascended(ascent: Ascent, denoiser: Denoiser[Any], shape: tuple[int, ...], noise: Noise, ids: Tensor) -> Drawn:
    assert isinstance(denoiser, Blind)
    start = GREY + ascent.sigma_start * noise.child("start").normal(0, ids, shape, torch.float32)
    found = ascent.ascend(denoiser, start, noise, ids)
    return Drawn(found.samples, found.finished)
