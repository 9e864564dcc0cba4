"""What a world gives the pipeline to judge checkpoints with."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from twinsplit.diffusion.series import Twins
from twinsplit.runs.rows import Rows


@final
@dataclass(frozen=True)
class Measured:
    """One checkpoint measured and on disk."""

    step: int
    names: tuple[str, ...]


@final
@dataclass(frozen=True)
class Measure:
    """A measure of one checkpoint that a world adds to the generic ones; it draws itself on the page.

    Args:
        name: of its table, `measurements/NAME.parquet`.
        rows: from the predictions of a checkpoint (`worlds.generic.Predictions`) to rows: the columns `member`, `split` and `seed`
            (`Predictions.name(k)`), and `values`, the replicates, one number a sample.
        title, unit, note: of its panel; a measure without a title is stored and not drawn.
    """

    name: str
    rows: Callable[[Any], Rows]
    title: str = ""
    unit: str = ""
    note: str = ""


class Evaluator(ABC):
    """Evaluates every checkpoint on the same probes. It travels to worker processes."""

    def prepare(self, names: tuple[str, ...]) -> "Evaluator":
        """Compute what these measures need beside the networks, once, before checkpoints are evaluated."""
        return self

    @abstractmethod
    def rows(self, twins: Twins, name: str) -> Rows:
        """The measure `name` of one checkpoint: naming columns, and `values`, the replicates."""

    def lowest_losses(self) -> dict[str, float]:
        """Name of a loss -> what the exact posterior pays, where there is one: no model can be expected to do better."""
        return {}
