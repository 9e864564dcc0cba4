"""From the tensors of a plain PyTorch encoder to the parameters of `networks.transformer`, name by name.

An encoder layer is `nn.TransformerEncoderLayer`'s, whose names PyTorch fixes. The layers around it are named by whoever wrote the
model: the likely names are listed, and a file of names (`--names`) says the rest: {"input.weight": "their.name", ..., "ignore": [...]},
with {i} for the number of a layer. Every tensor must be matched, and every parameter filled.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from twinsplit.errors import InputError
from twinsplit.runs.files import read_json

if TYPE_CHECKING:
    from torch import Tensor

    from twinsplit.networks.transformer import Transformer

WRAPPERS = ("_orig_mod.", "module.")
ENCODERS = ("transformer_encoder.", "encoder.", "transformer.", "transformer.encoder.", "")
LAYER = {
    "attention.qkv.weight": "self_attn.in_proj_weight",
    "attention.qkv.bias": "self_attn.in_proj_bias",
    "attention.out.weight": "self_attn.out_proj.weight",
    "attention.out.bias": "self_attn.out_proj.bias",
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "feedforward.in.weight": "linear1.weight",
    "feedforward.in.bias": "linear1.bias",
    "feedforward.out.weight": "linear2.weight",
    "feedforward.out.bias": "linear2.bias",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
}
INPUTS = (
    "input_proj",
    "input_projection",
    "input_layer",
    "input_linear",
    "token_embedding",
    "token_proj",
    "embedding",
    "embed",
    "linear_in",
)
POSITIONS = ("pos_embedding", "position_embedding", "positional_embedding", "pos_embed", "pos_emb", "pos_encoding", "positional_encoding")
TIMES = ("time_proj", "time_projection", "time_embedding", "time_embed", "time_emb", "time_linear", "time_mlp", "t_proj", "timestep_proj")
OUTPUTS = ("output_proj", "output_projection", "output_layer", "output_linear", "output", "fc_out", "head", "out", "decoder", "to_logits")
ENDS = {
    "position": (*POSITIONS, *(f"{stem}.weight" for stem in POSITIONS)),
    **{
        f"{ours}.{part}": tuple(f"{stem}.{part}" for stem in stems)
        for ours, stems in (("input", INPUTS), ("time", TIMES), ("output", OUTPUTS))
        for part in ("weight", "bias")
    },
}
REMEDY = "name them in a --names FILE.json (docs/import.md)"


@final
@dataclass(frozen=True)
class NameMap:
    """names: our name -> the names it may have in the file, with {i} for a layer; ignored: names that are no weights."""

    names: Mapping[str, tuple[str, ...]]
    ignored: tuple[str, ...] = ()

    @classmethod
    def usual(cls) -> "NameMap":
        """PyTorch's encoder layers, and the likely names around them."""
        layers = {f"layers.{{i}}.{ours}": tuple(f"{e}layers.{{i}}.{theirs}" for e in ENCODERS) for ours, theirs in LAYER.items()}
        return cls({**ENDS, **layers})

    @classmethod
    def read(cls, path: Path) -> "NameMap":
        """The usual one, overridden by a JSON file."""
        usual, chosen = cls.usual(), read_json(path, object)
        if not isinstance(chosen, dict):
            raise InputError(f"{path} is no table of names", 'write {"our name": "name in the file", "ignore": []}')
        ignored = chosen.pop("ignore", [])
        unknown = [name for name in chosen if name not in usual.names]
        if unknown:
            raise InputError(f"{path}: {unknown[0]!r} is no parameter of the network", f"choose among {', '.join(usual.names)}")
        if not all(isinstance(name, str) for name in chosen.values()) or not isinstance(ignored, list):
            raise InputError(f"{path} holds a name that is no text", 'write {"our name": "name in the file", "ignore": []}')
        return cls({**usual.names, **{ours: (theirs,) for ours, theirs in chosen.items()}}, tuple(map(str, ignored)))

    def names_of(self, parameter: str) -> tuple[str, ...]:
        """The names that a parameter such as "layers.3.norm1.weight" may have in the file."""
        layer = re.match(r"layers\.(\d+)\.", parameter)
        general = re.sub(r"^layers\.\d+\.", "layers.{i}.", parameter)
        return tuple(name.replace("{i}", layer[1]) if layer else name for name in self.names[general])


def unwrapped(tensors: "Mapping[str, Tensor]", where: Path) -> "dict[str, Tensor]":
    """Without the prefixes that torch.compile and DataParallel put before every name."""
    plain: dict[str, Tensor] = {}
    for name, value in tensors.items():
        short = name
        while short.startswith(WRAPPERS):
            short = short.removeprefix(WRAPPERS[0]).removeprefix(WRAPPERS[1])
        if short in plain:
            raise InputError(f"{where} holds {short} twice, with and without a prefix", "remove one of the two")
        plain[short] = value
    return plain


def feedforward_of(tensors: "Mapping[str, Tensor]", names: NameMap, where: Path) -> int:
    """The hidden width of the encoder layers, which the settings may leave out: rows of the first layer's linear1."""
    plain = unwrapped(tensors, where)
    found = [plain[name] for name in names.names_of("layers.0.feedforward.in.weight") if name in plain]
    if not found or found[0].ndim != 2:
        raise InputError(f"{where} holds no encoder layer of PyTorch (no layers.0.linear1.weight): it holds {_listed(plain)}", REMEDY)
    return len(found[0])


def parameters_of(tensors: "Mapping[str, Tensor]", network: "Transformer", names: NameMap, where: Path) -> "dict[str, Tensor]":
    """Our name -> tensor of our shape. InputError names what is left over, what is missing, and what has another shape."""
    plain = {name: value for name, value in unwrapped(tensors, where).items() if name not in names.ignored}
    shapes = network.shapes()
    found = {ours: [theirs for theirs in names.names_of(ours) if theirs in plain] for ours in shapes}
    missing = {ours: shapes[ours] for ours, theirs in found.items() if not theirs}
    left = {name: value for name, value in plain.items() if name not in {theirs[0] for theirs in found.values() if theirs}}
    if missing or left:
        wanted = f"missing: {_shapes(missing)}" if missing else "no parameter is missing"
        raise InputError(f"{where}: {len(left)} of {len(plain)} tensors match no parameter ({_listed(left)}); {wanted}", REMEDY)
    return {ours: _shaped(plain[theirs[0]], shapes[ours], f"{where}: {theirs[0]}", ours) for ours, theirs in found.items()}


def _shaped(value: "Tensor", shape: tuple[int, ...], where: str, ours: str) -> "Tensor":
    """A learned position may carry an axis for the batch; nothing else is reshaped."""
    tight = tuple(side for side in value.shape if side != 1)
    same = tight == tuple(side for side in shape if side != 1) if ours == "position" else tuple(value.shape) == shape
    if not same:
        raise InputError(
            f"{where} has shape {tuple(value.shape)}, {ours} of these settings {shape}", "correct full_params.json, or --names"
        )
    return value.reshape(shape)


def _listed(tensors: "Mapping[str, Tensor]") -> str:
    return _shapes({name: tuple(value.shape) for name, value in tensors.items()})


def _shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    shown = [f"{name} {shape}" for name, shape in list(shapes.items())[:12]]
    more = f" and {len(shapes) - 12} more" if len(shapes) > 12 else ""
    return ", ".join(shown) + more if shown else "nothing"
