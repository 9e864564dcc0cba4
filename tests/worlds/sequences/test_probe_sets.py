"""How often training sequences are noised: as often as held-out ones, and small splits more often."""

from dataclasses import replace

import pytest

from twinsplit.recipes import SMOKE
from twinsplit.worlds.sequences.world import HierarchicalWorld


@pytest.mark.parametrize(
    ("size", "held_out", "draws", "repeats"),
    [
        (20, 4, 5, 5),  # as at paper scale, where the splits together are larger than the held-out set
        (20, 4, 1, 1),
        (4, 48, 1, 4),  # 48 held-out sequences, 12 in all splits
        (4, 48, 2, 8),
    ],
)
def test_training_sequences_are_noised_as_often_as_held_out_ones(size: int, held_out: int, draws: int, repeats: int) -> None:
    data, measuring = replace(SMOKE.data, splits=3, split_size=size, held_out=held_out), replace(SMOKE.measuring, noise_draws=draws)
    found = HierarchicalWorld.of(replace(SMOKE, data=data, measuring=measuring)).probes()
    assert len(found.held_out.t) == len(found.held_out_fixed.t) == held_out * draws
    for probes in (found.splits, found.splits_fixed, found.splits_later):
        assert [len(probe.t) for probe in probes] == [min(size, held_out) * repeats] * 3


def test_only_what_is_asked_for_is_computed() -> None:
    """Exact posteriors take time and travel to the workers: a measure brings the ones that it reads, and no others."""
    probes = HierarchicalWorld.of(SMOKE).probes().prepare(("test_loss", "oracle_divergence"))
    computed = {name for name in vars(probes) if name.startswith(("exact", "oracles"))}
    assert computed == {"oracles", "exact_held_out_fixed"}
    probes.prepare(("loss_decomposition",))
    assert {"exact_held_out", "exact_splits", "exact_splits_fixed"} <= set(vars(probes))
    assert "oracles_splits" not in vars(probes)
