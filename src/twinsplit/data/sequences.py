"""Sequences on disk: a folder with sequences.npy (int8), grammar.json (exact rules) and data.json
(fingerprint)."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from twinsplit.data.folders import of_sequences
from twinsplit.data.grammar import TreeGrammar
from twinsplit.errors import InputError
from twinsplit.execution.local import check_memory
from twinsplit.runs.files import fingerprint, read_json, write_bytes, write_json


@final
@dataclass(frozen=True, eq=False)
class SequenceData:
    """sequences: (n, L) int8 drawn from grammar; origin: how they were drawn."""

    grammar: TreeGrammar
    sequences: NDArray[np.int8]
    origin: dict[str, Any]

    @classmethod
    def drawn(cls, grammar: TreeGrammar, samples: int, seed: int, factorised: int, origin: dict[str, Any]) -> "SequenceData":
        """Draw `samples` sequences; their `factorised` top levels are independent transitions from the root."""
        check_memory(samples * grammar.length, f"{samples:,} sequences of {grammar.length} tokens")
        level = {"factorised": factorised} if factorised else {}
        return cls(grammar, grammar.sample(samples, seed, factorised=factorised).numpy(), origin | {"sample_seed": seed} | level)

    @property
    def factorised(self) -> int:
        """The number k of factorised levels of the data; BP_k is their exact posterior."""
        return int(self.origin.get("factorised", 0))

    def describe(self) -> dict[str, Any]:
        """Shape, origin and SHA-256 of content and rules."""
        return {
            "kind": "tree grammar sequences",
            "shape": list(self.sequences.shape),
            "vocab_size": self.grammar.vocab_size,
            "depth": self.grammar.depth,
            "origin": self.origin,
            "order": "rows of sequences.npy",
            "normalisation": "none (tokens)",
            "sha256": fingerprint(np.ascontiguousarray(self.sequences).tobytes()),
            "rules_sha256": fingerprint(np.ascontiguousarray(self.grammar.rules).tobytes()),
        }

    def save(self, folder: Path) -> None:
        """Write the three files; data.json last, so that a folder without it is unfinished."""
        if (folder / "data.json").exists() and read_json(folder / "data.json") == self.describe():
            return
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} exists and holds something else", "choose another --out, or remove it")
        buffer = io.BytesIO()
        np.save(buffer, self.sequences, allow_pickle=False)
        write_bytes(folder / "sequences.npy", buffer.getvalue())
        write_json(folder / "grammar.json", {"depth": self.grammar.depth, "rules": self.grammar.rules.tolist()})
        write_json(folder / "data.json", self.describe())


def load_sequences(folder: Path) -> SequenceData:
    """Open a folder that `SequenceData.save` wrote; raise InputError where its content was altered."""
    description = of_sequences(folder)
    rules = read_json(folder / "grammar.json")
    try:
        sequences = np.load(folder / "sequences.npy", allow_pickle=False)
        grammar = TreeGrammar(np.array(rules["rules"], dtype=np.float64), int(rules["depth"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} is not a readable data folder: {error}", "make it again with `twinsplit data grammar`") from error
    data = SequenceData(grammar, sequences, description["origin"])
    if data.describe() != description:
        raise InputError(
            f"the data in {folder} changed since it was made (fingerprints differ)", "make it again with `twinsplit data grammar`"
        )
    return data
