"""An executor that copies as an engine on other machines does: nothing that a task changes is seen anywhere but in its result."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar, final

from twinsplit.execution.local import Executor, Inline

Item = TypeVar("Item")
Result = TypeVar("Result")


@final
class Copying(Executor):
    """Function, item and result go through `pickle` at every task, in this process."""

    size = 2

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        packed = pickle.dumps(function)

        def task(item: bytes) -> bytes:
            return pickle.dumps(pickle.loads(packed)(pickle.loads(item)))

        return map(pickle.loads, Inline().map(task, map(pickle.dumps, items)))
