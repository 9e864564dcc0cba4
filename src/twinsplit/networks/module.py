"""Any `torch.nn.Module` as a network: called with a member's parameters, dropped out by keyed noise."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd

from twinsplit.errors import InputError
from twinsplit.networks.network import Drop, Network, Parameters, keep
from twinsplit.noise.reference import Noise, philox_key


@final
class _Dropped(nn.Module):
    """Stands where the module drops out by its own, global randomness; what it does is set for each call."""

    drop: Callable[[Tensor], Tensor] = keep

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(x)


@final
class Opened:
    """A module that is called with parameters and dropout from outside; every `nn.Dropout` in it is replaced."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.holes = _opened(module)

    def call(self, parameters: Mapping[str, Tensor], drop: Drop, *inputs: Tensor) -> Any:
        """What the module gives with these parameters (and buffers) in place of its own."""
        with self._dropping(drop):
            return torch.func.functional_call(self.module, dict(parameters), inputs)

    @contextmanager
    def _dropping(self, drop: Drop) -> Iterator[None]:
        for hole in self.holes:
            hole.drop = drop
        try:
            yield
        finally:
            for hole in self.holes:
                hole.drop = keep


def _opened(module: nn.Module) -> list[_Dropped]:
    """Every dropout of the module replaced, in order of the modules."""
    places = [
        (parent, name)
        for parent in module.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Dropout) and child.p > 0
    ]
    holes = [_Dropped() for _ in places]
    for (parent, name), hole in zip(places, holes, strict=True):
        setattr(parent, name, hole)
    return holes


@final
class ModuleNetwork(Network):
    """Wrap a module that is called as module(x_t, t), x_t (n, ...) float32 and t (n,) int64 in 1..T.

    It returns a tensor like x_t (noise or residual), or logits (n, L, q) for tokens. The module given
    is copied and never changed. Its parameters that require a gradient are what members learn; frozen
    parameters and buffers are constants that all members share. It runs in evaluation mode at all
    times: its `nn.Dropout` layers, which must share one rate, become dropout keyed by seed, step and
    member in training, so that a run resumes to the same bits.

    Members start from weights of their own, as `initial` says. Parameters of layers that cannot be
    reset (a bare `nn.Parameter` of a module without `reset_parameters`) start from the values in the
    module given, **which all twins share**: write a `reset_parameters` where that matters.

    Raises:
        InputError: for batch norm and other statistics kept over batches, for other kinds of dropout
            and several rates, for parameters that are not float32 or not yet made, and for none.

    Examples:
        >>> import torch
        >>> class Field(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layers = torch.nn.Sequential(torch.nn.Linear(3, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
        ...
        ...     def forward(self, x_t, t):
        ...         return self.layers(torch.cat([x_t, t[:, None] / 100], 1))
        >>> ModuleNetwork(Field()).parameter_count()
        194
    """

    def __init__(self, module: nn.Module) -> None:
        _refuse_unfit(module)
        self.dropout = _rate(module)
        self.module = deepcopy(module).cpu().eval()
        self.opened = Opened(self.module)
        self.constants = {name: value.detach() for name, value in self.module.named_parameters() if not value.requires_grad}
        self.constants |= dict(self.module.named_buffers())

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in _learned(self.module).items()}

    def initial(self, name: str, noise: Noise) -> Tensor:
        """As `reset_parameters` of every layer draws it, with a generator that is seeded by `noise`."""
        return _reset(self, noise)[name]

    def outputs(self, parameters: Parameters, x_t: Tensor, t: Tensor, drop: Drop = keep) -> Tensor:
        """(K, n, ...) what the module gives for each member's x_t (K, n, ...) at its t (K, n)."""
        constants = {name: _moved(value, x_t) for name, value in self.constants.items()}
        members = enumerate(zip(x_t.unbind(0), t.unbind(0), strict=True))
        return torch.stack(
            [self.opened.call(constants | {n: v[k] for n, v in parameters.items()}, drop.member(k), x, at) for k, (x, at) in members]
        )


def _learned(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def _moved(value: Tensor, x_t: Tensor) -> Tensor:
    """A constant beside x_t; float32 becomes the type of x_t, so that the whole computes in one precision."""
    return value.to(x_t.device, x_t.dtype if value.dtype == torch.float32 else value.dtype)


@lru_cache(maxsize=2)
def _reset(network: ModuleNetwork, noise: Noise) -> dict[str, Tensor]:
    """Layers before the modules that hold them, as constructors go. The one generator that layers draw from is left as it was."""
    module = deepcopy(network.module)
    high, low = philox_key(noise.seed, noise.stream)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed((high << 31) ^ low)
        for layer in reversed(list(module.modules())):
            reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
            if callable(reset):
                reset()
    return {name: value.detach() for name, value in _learned(module).items()}


def _refuse_unfit(module: nn.Module) -> None:
    """One line and a remedy for what would make members depend on each other, on batches, or on global randomness."""
    for name, layer in module.named_modules():
        what = f"{name or 'the module'} ({type(layer).__name__})"
        if isinstance(layer, _BatchNorm) or (isinstance(layer, _NormBase) and layer.track_running_stats):
            raise InputError(f"{what} keeps statistics of its batches", "use GroupNorm or LayerNorm in its place")
        if isinstance(layer, _DropoutNd) and not isinstance(layer, nn.Dropout) and layer.p > 0:
            raise InputError(f"{what} drops out by global randomness", "use nn.Dropout in its place, or p = 0")
        if isinstance(layer, nn.MultiheadAttention | nn.RNNBase) and layer.dropout > 0:
            raise InputError(f"{what} drops out within, by global randomness", "build it with dropout = 0")
    learned = _learned(module)
    if not learned:
        raise InputError(f"{type(module).__name__} has no parameters to learn", "give a module some of whose parameters require a gradient")
    for name, value in learned.items():
        if nn.parameter.is_lazy(value):
            raise InputError(f"parameter {name} has no shape yet", "call the module once before you hand it over")
        if value.dtype != torch.float32:
            raise InputError(f"parameter {name} is {value.dtype}".replace("torch.", ""), "call module.float() first")


def _rate(module: nn.Module) -> float:
    rates = sorted({layer.p for layer in module.modules() if isinstance(layer, nn.Dropout)} - {0.0})
    if len(rates) > 1 or rates == [1.0]:
        raise InputError(f"dropout at rates {', '.join(map(str, rates))}", "use one rate below 1 for all nn.Dropout layers")
    return rates[0] if rates else 0.0
