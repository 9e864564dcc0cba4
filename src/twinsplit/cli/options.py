"""Options that several verbs of the command line share: each is declared, and checked, once."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, final

from tyro.conf import Positional, arg

from twinsplit.errors import InputError

if TYPE_CHECKING:
    from twinsplit.data.grammar import TreeGrammar
    from twinsplit.execution.local import Executor

Scale = Literal["smoke", "laptop", "paper"]
BuiltIn = str  # checked by the registry of worlds, which packages may add to
RunFolder = Positional[Annotated[Path, arg(metavar="RUN", help="a run folder, as `train` or `quickstart` wrote it")]]
DryRun = Annotated[bool, arg(help="write nothing; say what the run takes: steps, FLOPs, disk, memory, hours")]


def processes(workers: int) -> int:
    """Return how many processes `--workers` asks for; InputError below 0."""
    from twinsplit.execution.local import available_cores

    if workers < 0:
        raise InputError(f"--workers {workers}", "give 1 or more, or 0 for one per core")
    return workers or available_cores()


@final
@dataclass(frozen=True)
class Compute:
    """Where the work runs."""

    workers: Annotated[int, arg(help="one-thread worker processes; 0 takes one per core, and the results are the same for any number")] = 0
    device: Annotated[
        str,
        arg(help="where networks compute: cpu, or an accelerator such as cuda, which one process uses (no GPU has run this so far)"),
    ] = "cpu"

    def executor(self, tasks: int | None = None) -> "AbstractContextManager[Executor]":
        """Open the executor, with no more processes than tasks; InputError where the device does
        not work.
        """
        from twinsplit.execution.local import available_cores, open_executor

        return open_executor(min(processes(self.workers), available_cores() if tasks is None else tasks), self.device)


HERE = Compute()


@final
@dataclass(frozen=True)
class GrammarOptions:
    """The tree grammar that sequences are drawn from. The defaults are the published grammar."""

    vocab_size: int = 6
    """symbols (q)"""
    depth: int = 4
    """levels of the tree (l); a sequence has 2^depth tokens"""
    rules_per_symbol: int = 4
    """allowed productions of each symbol (q_eff)"""
    sigma: float = 1.0
    """spread of the logits of the productions"""
    grammar_seed: int = 0
    """of the rules"""

    def drawn(self) -> "TreeGrammar":
        """Draw the rules."""
        from twinsplit.data.grammar import TreeGrammar

        return TreeGrammar.random(self.vocab_size, self.depth, self.rules_per_symbol, self.sigma, self.grammar_seed)


PUBLISHED = GrammarOptions()
