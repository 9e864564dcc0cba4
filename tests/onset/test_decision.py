"""The decision: on simulated curves with a known answer, at a stated false-alarm rate; and what it must not depend on."""

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from simulated_curves import DIPPED, PHASE, WITHOUT_PHASE, Drawn, World, simulate
from twinsplit.errors import InputError
from twinsplit.onset.decision import Curves, Onset, find_onset, usable_from

SEQUENCES, DRAWS = 200, 400
REPEATS = 40
FALSE_ALARMS = 0.05  # the rate of docs/onset.md; 40 repeats exceed the bound below by chance with probability 0.3%


def decide(world: World, members: int, seed: int) -> tuple[Drawn, Onset]:
    drawn = simulate(world, members, SEQUENCES, seed)
    return drawn, find_onset(drawn.curves, draws=DRAWS, seed=seed)


def checkpoints_apart(d: Drawn, o: Onset) -> float:
    if o.onset.step is None or d.onset is None:
        return np.inf
    steps = np.log(d.curves.steps)
    found, true = (int(np.argmin(np.abs(steps - np.log(v)))) for v in (o.onset.step, d.onset))
    return abs(found - true)


@pytest.mark.parametrize("members", [2, 4])
@pytest.mark.parametrize("name", WITHOUT_PHASE)
def test_false_alarms_are_at_most_five_in_a_hundred(name, members):
    verdicts = Counter(decide(WITHOUT_PHASE[name], members, seed)[1].verdict for seed in range(REPEATS))
    assert verdicts["bias_precedes_test_minimum"] <= binom.ppf(0.997, REPEATS, FALSE_ALARMS)


def test_a_clear_phase_is_found_within_one_checkpoint_and_called_so():
    runs = [decide(PHASE, 4, seed) for seed in range(REPEATS)]
    assert np.mean([checkpoints_apart(d, o) <= 1 for d, o in runs]) >= 0.9
    assert np.mean([o.verdict == "bias_precedes_test_minimum" for _, o in runs]) >= 0.85  # 40 repeats of a rate of about 0.95


def test_two_networks_are_enough_for_a_verdict_on_themselves():
    runs = [decide(PHASE, 2, seed) for seed in range(60)]
    assert np.mean([o.verdict == "bias_precedes_test_minimum" for _, o in runs]) >= 0.85  # 40 repeats of a rate of about 0.95
    inside = [(o.onset.interval[0] or 0) <= d.onset <= (o.onset.interval[1] or np.inf) for d, o in runs]
    assert np.mean(inside) >= 0.85
    assert all(o.conditional and "exactly these networks" in o.reason for _, o in runs)


def test_a_test_loss_that_turns_while_twins_converge_is_no_bias():
    verdicts = Counter(decide(WITHOUT_PHASE["only the loss turns"], 4, seed)[1].verdict for seed in range(40))
    assert verdicts["no_bias_before_test_minimum"] >= 38


def test_twins_that_part_while_the_test_loss_still_falls_are_biased():
    _, o = decide(replace(PHASE, loss_turn=50_000.0), 6, 0)
    assert o.verdict == "bias_precedes_test_minimum"
    assert not o.test_loss_minimum.reached
    assert o.test_loss_minimum.step is None
    assert o.gap.log is None
    assert o.gap.log_interval[1] is None
    assert "still falling" in o.reason


@pytest.mark.parametrize("members", [2, 4])
def test_the_dip_of_networks_that_have_learned_nothing_is_never_the_onset(members):
    """Wherever checkpoints begin and end; where both dip and turn are seen, the turn is found."""
    for seed in range(4):
        c = simulate(DIPPED, members, 30, seed).curves
        for first, end in [(f, len(c.steps)) for f in range(0, 24, 4)] + [(0, e) for e in range(8, len(c.steps), 3)]:
            cut = slice(first, end)
            o = find_onset(Curves(c.steps[cut], c.divergence[cut], c.pairs, c.test_loss[cut]), draws=200)
            before = c.steps[end - 1] < 400
            assert o.onset.step is None or o.onset.step > 60, (seed, first, end)
            assert not (before and o.verdict == "bias_precedes_test_minimum"), (seed, first, end)
        whole = find_onset(c, draws=200)
        assert 250 < whole.onset.step < 800
        assert whole.loss_drop_at_onset > 0.8


def test_a_turn_of_which_the_data_cannot_tell_is_refused_with_that_reason():
    c = simulate(DIPPED, 4, 30, 0).curves
    cuts = [find_onset(Curves(c.steps[:e], c.divergence[:e], c.pairs, c.test_loss[:e]), draws=200) for e in range(8, 18)]
    assert {o.verdict for o in cuts} == {"not_enough_power"}
    assert any("of the test loss's drop" in o.reason for o in cuts)


def test_minima_at_the_end_are_not_reached():
    _, o = decide(WITHOUT_PHASE["both falling"], 4, 0)
    assert (o.onset.step, o.onset.reached, o.test_loss_minimum.step) == (None, False, None)
    assert o.onset.interval[1] is None
    assert "train longer" in o.reason


def test_checkpoints_that_start_late_see_no_transient_and_still_find_the_turn():
    late = replace(PHASE, steps=np.geomspace(150.0, 5000.0, 19))
    runs = [decide(late, 4, seed) for seed in range(30)]
    assert np.mean([checkpoints_apart(d, o) <= 1 for d, o in runs]) >= 0.9


def test_a_divergence_that_only_rises_has_no_turn():
    drawn = simulate(PHASE, 4, SEQUENCES, 0)
    c = drawn.curves
    after = c.steps > 900
    o = find_onset(Curves(c.steps[after], c.divergence[after], c.pairs, c.test_loss[after]), draws=DRAWS)
    assert o.verdict == "not_enough_power"
    assert o.onset.interval[0] is None
    assert "measure earlier" in o.reason
    rising = np.exp(np.linspace(0.0, 1.0, 20))[:, None, None] * np.ones((1, 1, 5))
    loss = np.linspace(-2.0, 1.0, 20)[:, None, None] ** 2 * np.ones((1, 2, 5))
    o = find_onset(Curves(np.geomspace(10, 1000, 20), rising, np.array([[0, 1]]), loss), draws=DRAWS)
    assert (o.verdict, o.onset.step) == ("not_enough_power", None)
    assert "only rises" in o.reason


def test_a_high_start_and_a_first_row_at_step_zero_change_nothing():
    c = simulate(PHASE, 4, SEQUENCES, 1).curves
    zero = np.zeros((1, *c.divergence.shape[1:]))
    with_zero = Curves(np.r_[0.0, c.steps], np.r_[zero, c.divergence], c.pairs, np.r_[c.test_loss[:1], c.test_loss])
    assert find_onset(with_zero, draws=DRAWS) == find_onset(c, draws=DRAWS)


def test_networks_that_start_far_apart_turn_where_they_turn():
    """Different initial weights: the divergence falls from 5 nats instead of rising from 0."""
    c = simulate(PHASE, 4, SEQUENCES, 1).curves
    apart = 5.0 * (c.steps / c.steps[0])[:, None, None] ** -2.0
    high = find_onset(Curves(c.steps, c.divergence + apart, c.pairs, c.test_loss), draws=DRAWS)
    assert high.onset.step == pytest.approx(find_onset(c, draws=DRAWS).onset.step, rel=0.19)  # one checkpoint


def test_the_early_agreement_is_not_the_minimum():
    divergence = np.array([0.0, 0.2, 0.9, 0.8, 0.5, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8])
    loss = np.array([1.8, 1.8, 1.75, 1.6, 1.4, 1.35, 1.33, 1.32, 1.31, 1.3, 1.31])
    assert usable_from(divergence, loss) == (3, 4)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_the_order_of_sequences_members_pairs_and_twins_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    c = simulate(PHASE, 4, 60, seed % 5).curves
    s, m, p = rng.permutation(60), rng.permutation(4), rng.permutation(6)
    renamed = np.argsort(m)[c.pairs[p]]
    swapped = np.where(rng.random((6, 1)) < 0.5, renamed, renamed[:, ::-1])
    again = Curves(c.steps, c.divergence[:, p][:, :, s], swapped, c.test_loss[:, m][:, :, s])
    _same(find_onset(again, draws=DRAWS, seed=3), find_onset(c, draws=DRAWS, seed=3))


@settings(max_examples=15, deadline=None)
@given(st.floats(-5.0, 5.0), st.floats(0.01, 100.0))
def test_a_constant_added_to_the_loss_and_a_unit_of_the_divergence_move_no_step(shift, unit):
    c = simulate(PHASE, 4, 60, 1).curves
    moved = Curves(c.steps, c.divergence * unit, c.pairs, c.test_loss + shift)
    _same(find_onset(moved, draws=DRAWS), find_onset(c, draws=DRAWS))


def _same(a: Onset, b: Onset) -> None:
    first, second = a.to_json(), b.to_json()
    assert first["verdict"] == second["verdict"]
    for name in ("onset_step", "test_loss_minimum_step", "gap_log", "rise", "rise_at_least"):
        assert first[name] == pytest.approx(second[name], rel=1e-3, abs=1e-3)
    for name in ("onset_interval", "test_loss_minimum_interval"):
        assert first[name] == pytest.approx(second[name], rel=0.03)  # one grid cell


def test_the_same_seed_gives_the_same_answer_and_another_seed_nearly():
    c = simulate(PHASE, 4, SEQUENCES, 2).curves
    first = find_onset(c, seed=5)
    assert first == find_onset(c, seed=5)
    other = find_onset(c, seed=6)
    assert other != first
    assert other.onset.step == first.onset.step
    assert other.onset.interval == pytest.approx(first.onset.interval, rel=0.25)


def test_seeds_that_share_a_split_are_not_independent_members():
    c = simulate(PHASE, 6, SEQUENCES, 0).curves
    splits = np.array([0, 0, 1, 1, 2, 2])
    across = splits[c.pairs[:, 0]] != splits[c.pairs[:, 1]]
    shared = find_onset(Curves(c.steps, c.divergence[:, across], c.pairs[across], c.test_loss, splits), draws=DRAWS)
    alone = find_onset(Curves(c.steps, c.divergence[:, across], c.pairs[across], c.test_loss), draws=DRAWS)
    assert shared.onset.step == alone.onset.step
    assert _factor(shared) > _factor(alone)


def _factor(o: Onset) -> float:
    low, high = o.onset.interval
    return (high or np.inf) / (low or 1e-9)


@pytest.mark.parametrize("name", ["phase", *WITHOUT_PHASE])
def test_json_is_strict_and_complete(name):
    world = PHASE if name == "phase" else WITHOUT_PHASE[name]
    for members in (2, 3):
        _, o = decide(world, members, 1)
        back = json.loads(json.dumps(o.to_json(), allow_nan=False))
        assert back["verdict"] == o.verdict
        assert {"onset_step", "onset_interval", "test_loss_minimum_step", "test_loss_minimum_interval", "reason"} <= set(back)
        assert back["reason"].count(".") >= 1
        assert "\n" not in back["reason"]


@pytest.mark.parametrize("level", [0.6, 0.95, 0.998, 0.9999])
@pytest.mark.parametrize("members", [2, 3])
def test_json_is_strict_at_every_level_and_rounded_to_what_is_meant(level, members):
    for world in (PHASE, replace(PHASE, steps=np.geomspace(100.0, 5000.0, 7)), WITHOUT_PHASE["plateau"]):
        found = find_onset(simulate(world, members, 30, 0).curves, draws=200, level=level).to_json()
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert all(v is None or len(f"{v:g}".replace(".", "").strip("-0")) <= 5 for v in found["onset_interval"])
        assert Onset.from_json(found).to_json() == found


def test_a_flat_bottom_is_said_to_be_flat():
    x = np.linspace(3.0, 8.0, 40)
    rng = np.random.default_rng(0)
    shape = 0.4 * np.exp(0.5 * (np.abs(x - 5.5) - 1.2).clip(0.0) ** 2)
    divergence = shape[:, None, None] * np.exp(0.03 * rng.standard_normal((40, 1, 1))) * np.ones((1, 1, 5))
    loss = 1.0 + (0.1 * (x - 7.5) ** 2)[:, None, None] * np.ones((1, 2, 5)) + 0.003 * rng.standard_normal((40, 2, 1))
    o = find_onset(Curves(np.exp(x), divergence, np.array([[0, 1]]), loss), draws=DRAWS)
    low, high = o.onset.flat or o.onset.interval
    assert (low or 0.0) < np.exp(4.7)
    assert (high or np.inf) > np.exp(6.3)


def test_checkpoints_after_a_known_drop_of_the_learning_rate_are_not_used():
    c = simulate(WITHOUT_PHASE["learning rate drops"], 4, 30, 0).curves
    whole, cut = find_onset(c, draws=DRAWS), find_onset(c, draws=DRAWS, breaks=[1500.0, 3000.0])
    assert whole.verdict != "bias_precedes_test_minimum"
    assert not cut.test_loss_minimum.reached
    assert "1,500" in cut.reason
    assert find_onset(c, draws=DRAWS, breaks=[9e9]) == whole
    with pytest.raises(InputError, match="too few"):
        find_onset(c, breaks=[25.0])


def test_curves_without_noise_are_located_exactly():
    x = np.linspace(3.0, 8.0, 26)
    divergence = np.exp(0.2 * (x - 6.0) ** 2)[:, None, None] * np.ones((1, 1, 5))
    loss = (x - 7.0)[:, None, None] ** 2 * np.ones((1, 2, 5))
    o = find_onset(Curves(np.exp(x), divergence, np.array([[0, 1]]), loss), draws=DRAWS)
    assert np.log(o.onset.step) == pytest.approx(6.0, abs=0.02)
    assert np.log(o.test_loss_minimum.step) == pytest.approx(7.0, abs=0.02)
    assert o.verdict == "bias_precedes_test_minimum"
    assert o.rise.growth == pytest.approx(np.expm1(0.2), rel=0.05)


def test_the_fewest_checkpoints_still_give_an_answer():
    c = simulate(replace(PHASE, steps=np.geomspace(100.0, 5000.0, 6)), 3, SEQUENCES, 0).curves
    json.dumps(find_onset(c, draws=DRAWS).to_json(), allow_nan=False)


def test_full_size_takes_under_three_seconds():
    c = simulate(replace(PHASE, steps=np.geomspace(20.0, 5000.0, 40)), 4, 4000, 0).curves
    start = time.process_time()
    find_onset(c, draws=2000)
    assert time.process_time() - start < 3.0


def _good() -> dict[str, np.ndarray]:
    c = simulate(PHASE, 3, 5, 0).curves
    return {"steps": c.steps, "divergence": c.divergence, "pairs": c.pairs, "test_loss": c.test_loss}


def _with_nan(a: np.ndarray) -> np.ndarray:
    b = a.copy()
    b[3, 0, 0] = np.nan
    return b


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("steps", lambda v: v[::-1], "increasing"),
        ("steps", lambda v: v - 100, "non-negative"),
        ("steps", lambda v: v[:5], "too few"),
        ("steps", lambda v: v[:-1], "shapes disagree"),
        ("divergence", lambda v: v[:, :2], "shapes disagree"),
        ("divergence", lambda v: v[0], "axes"),
        ("divergence", _with_nan, "divergence is not finite at step"),
        ("divergence", lambda v: -v, "negative"),
        ("test_loss", _with_nan, "test_loss is not finite at step"),
        ("pairs", lambda v: v + 1, "do not name each"),
        ("pairs", lambda v: v * 0, "itself"),
        ("pairs", lambda v: np.array([[0, 1], [1, 0], [1, 2]]), "twice"),
        ("pairs", lambda v: v.astype(float), "member numbers"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_remedy(name, change, message):
    good = _good()
    with pytest.raises(InputError, match=message):
        Curves(**{**good, name: change(good[name])})


def test_pairs_within_a_split_and_no_sequences_are_refused():
    good = _good()
    with pytest.raises(InputError, match="split"):
        Curves(**good, splits=np.array([0, 0, 1]))
    with pytest.raises(InputError, match="sequences"):
        Curves(good["steps"], good["divergence"][..., :0], good["pairs"], good["test_loss"][..., :0])


def test_means_over_examples_count_the_networks_only():
    c = simulate(PHASE, 4, SEQUENCES, 0).curves
    means = Curves(c.steps, c.divergence.mean(2, keepdims=True), c.pairs, c.test_loss.mean(2, keepdims=True))
    o = find_onset(means, draws=DRAWS)
    assert o.verdict == "bias_precedes_test_minimum"
    assert "networks only" in o.reason
    assert o.sequences == 1
    assert o.onset.step == find_onset(c, draws=DRAWS).onset.step


@pytest.mark.parametrize("options", [{"level": 0.3}, {"level": 1.0}, {"draws": 10}, {"tolerance": -1.0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InputError):
        find_onset(Curves(**_good()), **options)


def test_twins_that_agree_exactly_are_refused():
    good = _good()
    with pytest.raises(InputError, match="different splits"):
        find_onset(Curves(**{**good, "divergence": good["divergence"] * 0}))


def test_importing_the_decision_needs_no_torch():
    code = "import sys; import twinsplit.onset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
