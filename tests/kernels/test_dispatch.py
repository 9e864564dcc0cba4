"""Which implementation serves, and how work is shared among threads."""

from collections.abc import Iterator

import pytest
import torch

from reference import implementation
from twinsplit import kernels
from twinsplit.data.grammar import TreeGrammar
from twinsplit.diffusion.schedule import Schedule
from twinsplit.errors import InputError
from twinsplit.exact.tree import TreeOracle
from twinsplit.measures.neighbours import nearest_hamming
from twinsplit.noise.reference import Noise


@pytest.fixture(autouse=True)
def _threads_and_choice() -> Iterator[None]:
    threads = torch.get_num_threads()
    kernels.backend.cache_clear()
    yield
    torch.set_num_threads(threads)
    kernels.backend.cache_clear()


def without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "find_spec", lambda name: None)


def test_numba_serves_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(kernels.VARIABLE, raising=False)
    monkeypatch.setattr(kernels, "find_spec", lambda name: name)
    assert kernels.backend() == "numba"


def test_torch_serves_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(kernels.VARIABLE, raising=False)
    without_numba(monkeypatch)
    assert kernels.backend() == "torch"


def test_the_variable_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernels.VARIABLE, "torch")
    assert kernels.backend() == "torch"


def test_asking_for_what_is_not_installed_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernels.VARIABLE, "numba")
    without_numba(monkeypatch)
    with pytest.raises(InputError, match=r"pip install 'twinsplit\[fast\]'"):
        kernels.backend()


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernels.VARIABLE, "cuda")
    with pytest.raises(InputError, match="numba or torch"):
        kernels.backend()


def test_kernels_keep_off_other_devices() -> None:
    with implementation("numba"):
        assert kernels.serves(torch.empty(0))
        assert not kernels.serves(torch.empty(0, device="meta"))


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize(("rows", "grain"), [(0, 4), (1, 4), (8, 4), (10, 4), (33, 4)])
def test_every_row_is_worked_once(threads: int, rows: int, grain: int) -> None:
    torch.set_num_threads(threads)
    ranges: list[tuple[int, int]] = []
    kernels.over_rows(lambda begin, end: ranges.append((begin, end)), rows, grain)
    assert sorted(row for begin, end in ranges for row in range(begin, end)) == list(range(rows))
    assert all(begin % grain == 0 for begin, _ in ranges)
    assert len(ranges) <= threads


def test_a_failure_in_a_thread_is_not_lost() -> None:
    torch.set_num_threads(2)

    def task(begin: int, end: int) -> None:
        if begin:
            raise MemoryError(f"rows {begin} to {end}")

    with pytest.raises(MemoryError, match="rows 4 to 8"):
        kernels.over_rows(task, 8, 4)


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    grammar, schedule = TreeGrammar.published(), Schedule.diffusion_lm()
    results = []
    with implementation("numba"):
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            tokens, noise = grammar.sample(3_000, 0), Noise(0).normal(1, torch.arange(3_000), (16, 6))
            posterior = TreeOracle(grammar, schedule)(noise, 100).log_probs
            results.append([tokens, noise, posterior, *nearest_hamming(tokens[:500], tokens[500:])])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
