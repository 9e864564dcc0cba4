"""Files in the layouts of the published code, written with plain NumPy and PyTorch: what `twinsplit import` reads."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from twinsplit.data.grammar import TreeGrammar

GRAMMAR = TreeGrammar.random(4, 2, 2, 1.0, 0)
GRAMMAR_WORDS = ("--vocab-size", "4", "--depth", "2", "--rules-per-symbol", "2")
PARAMS: dict[str, Any] = {"q": 4, "l": 2, "T": 50, "d_model": 16, "num_layers": 2, "nhead": 2, "n": 6, "batch_size": 4}


class PlainNetwork(nn.Module):
    """PROTOCOL section 2's network in plain torch.nn, written apart from ours."""

    def __init__(self, q: int, length: int, d: int, layers: int, heads: int) -> None:
        super().__init__()
        self.input_proj = nn.Linear(q, d)
        self.pos_embedding = nn.Parameter(torch.randn(1, length, d))
        self.time_proj = nn.Linear(32, d)
        layer = nn.TransformerEncoderLayer(d, heads, 2 * d, dropout=0.1, activation="relu", batch_first=True, norm_first=False)
        self.transformer_encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.output_proj = nn.Linear(d, q)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        rates = torch.tensor([10_000.0 ** (-i / 16) for i in range(16)])
        angle = t.float()[:, None] * rates[None]
        time = self.time_proj(torch.cat([angle.cos(), angle.sin()], dim=1))
        return self.output_proj(self.transformer_encoder(self.input_proj(x_t) + self.pos_embedding + time[:, None]))


def plain_network(seed: int, params: dict[str, Any] | None = None) -> PlainNetwork:
    """In evaluation mode; PyTorch copies one layer `layers` times, so every weight is shaken."""
    p = PARAMS | (params or {})
    torch.manual_seed(seed)
    network = PlainNetwork(p["q"], 2 ** p["l"], p["d_model"], p["num_layers"], p["nhead"])
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3 * torch.randn_like(weight) / math.sqrt(weight.shape[-1]))
    return network.eval()


def object_array(sequences: Any) -> Any:
    """(N,) objects, as a list of ragged things becomes one."""
    array = np.empty(len(sequences), dtype=object)
    for i, sequence in enumerate(sequences):
        array[i] = sequence
    return array


def write_data(path: Path, rows: int = 60, seed: int = 1, grammar: TreeGrammar = GRAMMAR) -> np.ndarray:
    """The authors' data file: an object array of lists of integers; returns the tokens."""
    tokens = grammar.sample(rows, seed).numpy()
    np.save(path, object_array(tokens.tolist()), allow_pickle=True)
    return tokens


def write_member(folder: Path, split: int, epochs: tuple[int, ...], prefix: str = "", **params: Any) -> list[PlainNetwork]:
    """One network's folder: full_params.json and a .pt per epoch."""
    folder.mkdir(parents=True)
    (folder / "full_params.json").write_text(json.dumps(PARAMS | {"seed": split, "lr": 3e-4} | params))
    networks = [plain_network(1000 * split + epoch, params) for epoch in epochs]
    for epoch, network in zip(epochs, networks, strict=True):
        state = {prefix + name: value for name, value in network.state_dict().items()}
        torch.save({"epoch": epoch, "model_state_dict": state, "loss": 0.5}, folder / f"model_epoch_{epoch}.pt")
    return networks
