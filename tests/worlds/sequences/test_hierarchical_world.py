"""Worlds of level-k data: what they hold, and that a run is judged by the posterior that is exact for them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reference import all_sequences, enumerated_log_marginals, factorised_joint
from twinsplit.data.grammar import TreeGrammar
from twinsplit.data.sequences import SequenceData, load_sequences
from twinsplit.errors import InputError
from twinsplit.exact.tree import leaf_log_likelihood
from twinsplit.execution.local import Inline
from twinsplit.pipeline import stages as pipeline
from twinsplit.recipes import SMOKE, Diffusion, Recipe
from twinsplit.worlds.sequences.predictions import STANDARD, SequenceEvaluator
from twinsplit.worlds.sequences.world import HierarchicalWorld


def of_level(k: int) -> Recipe:
    return replace(SMOKE, data=replace(SMOKE.data, factorised=k))


def law(world: HierarchicalWorld, k: int) -> np.ndarray:
    """(2_000,) probability of each sequence of the world when the top k levels are factorised."""
    return factorised_joint(world.grammar.rules, world.data.sequences.astype(int), k)


def test_sequences_come_from_the_level_they_are_asked_from() -> None:
    worlds = [HierarchicalWorld.of(of_level(k)) for k in range(3)]
    assert all((law(world, k) > 0).all() for k, world in enumerate(worlds))
    assert (law(worlds[1], 0) == 0).any()
    assert (law(worlds[2], 1) == 0).any()
    assert [world.data.factorised for world in worlds] == [0, 1, 2]


@pytest.mark.parametrize("depth", [2, 3])
def test_the_posterior_that_judges_a_run_is_exact_for_its_data(depth: int) -> None:
    """Bayes' rule over every sequence there is, with the law the data were drawn from."""
    recipe = replace(of_level(1), data=replace(SMOKE.data, factorised=1, depth=depth, vocab_size=3))
    world = HierarchicalWorld.of(recipe)
    probes = world.probes()
    probe = probes.held_out_fixed
    h = leaf_log_likelihood(probe.x_t.double(), probe.t, world.schedule).numpy()
    expected = enumerated_log_marginals(world.grammar.rules, h, 1).astype(float)
    np.testing.assert_allclose(probes.exact_held_out_fixed.exp(), np.exp(expected), atol=1e-6)
    another = enumerated_log_marginals(world.grammar.rules, h, 0).astype(float)
    assert np.abs(np.exp(another) - np.exp(expected)).max() > 0.01
    assert torch.equal(probes.exact_held_out_fixed, probes.oracles[1])


def test_a_law_enumerated_sums_to_one() -> None:
    """The yardstick of the tests above."""
    grammar = TreeGrammar.random(3, 2, 2, 1.0, 0)
    assert float(factorised_joint(grammar.rules, all_sequences(3, 4), 1).sum()) == pytest.approx(1)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_no_other_oracle_has_a_lower_loss_on_level_k_data(k: int) -> None:
    """The exact posterior minimises the expected cross-entropy; on 1,500 held-out sequences it is lowest of BP_0..BP_2."""
    recipe = replace(of_level(k), data=replace(SMOKE.data, vocab_size=6, rules_per_symbol=4, factorised=k, held_out=1_500, samples=20_000))
    probes = HierarchicalWorld.of(recipe).probes()
    tokens = probes.held_out_fixed.tokens[..., None]
    losses = [-float(log_probs.gather(-1, tokens).mean()) for log_probs in probes.oracles]
    assert int(np.argmin(losses)) == k
    assert SequenceEvaluator(probes).lowest_losses()["fixed_time_loss"] == pytest.approx(losses[k], rel=1e-5)


def test_networks_that_know_one_time_are_judged_at_it() -> None:
    """Every probe, divergences and losses alike; with many times each sequence has its own."""
    training = replace(SMOKE.training, times="fixed", fixed_time=7)
    probes = HierarchicalWorld.of(replace(SMOKE, training=training)).probes()
    later = (probes.held_out_later, *probes.splits_later)
    for probe in (probes.held_out_fixed, probes.held_out, *probes.splits_fixed, *probes.splits, *later):
        assert set(probe.t.tolist()) == {7}
    assert len(set(HierarchicalWorld.of(SMOKE).probes().held_out.t.tolist())) > 5


def test_level_0_leaves_the_description_of_the_data_as_it_was() -> None:
    assert HierarchicalWorld.of(SMOKE).data.origin == {"grammar_seed": 0, "sample_seed": 0}
    assert HierarchicalWorld.of(of_level(1)).data.origin == {"grammar_seed": 0, "sample_seed": 0, "factorised": 1}


def test_a_prepared_folder_keeps_its_level(tmp_path: Path) -> None:
    grammar = TreeGrammar.random(4, 2, 2, 1.0, 0)
    SequenceData.drawn(grammar, 500, 0, 1, {}).save(tmp_path / "data")
    assert load_sequences(tmp_path / "data").factorised == 1
    recipe = replace(SMOKE, data=replace(SMOKE.data, path=str(tmp_path / "data")))
    assert HierarchicalWorld.of(recipe).oracle().truncation == 1
    with pytest.raises(InputError, match="level 1; leave the key out"):
        HierarchicalWorld.of(replace(recipe, data=replace(recipe.data, factorised=2)))


@pytest.mark.parametrize("k", [-1, 3])
def test_a_level_outside_the_tree_is_refused(k: int) -> None:
    with pytest.raises(InputError, match="choose 0 to the depth, 2"):
        of_level(k)


@pytest.mark.parametrize("name", ["level-1 data", "second noise schedule"])
def test_a_whole_run_of_another_world(tmp_path: Path, name: str) -> None:
    """Trained, measured, decided and drawn; the parts of the loss still sum to it, and the page names the exact posterior."""
    recipe = of_level(1) if name == "level-1 data" else replace(SMOKE, diffusion=Diffusion("one_minus_sqrt", 50))
    session = pipeline.begin(tmp_path / "run", recipe, Inline())
    pipeline.train_stage(session)
    pipeline.measure_stage(session)
    pipeline.sampling_stage(session, pipeline.moments(session.run, pipeline.decide(session.run)))
    run = session.run
    assert all(len(run.measured(measure)) == len(run.steps()) for measure in STANDARD)
    bayes = run.read_json("measurements/bayes.json")
    assert 0 < bayes["fixed_time_loss"] < np.log(4)
    pytest.importorskip("plotly")
    from twinsplit.report.from_run import report_of

    panel = next(panel for panel in report_of(run).panels if panel.key == "oracle")
    assert [line.label for line in panel.lines].index(f"exact (k = {recipe.data.factorised})") == recipe.data.factorised
