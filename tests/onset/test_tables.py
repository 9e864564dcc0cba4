"""Curves from long tables, and the decision to JSON and back."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from simulated_curves import PHASE, simulate
from twinsplit.errors import InputError
from twinsplit.onset.checkpoints import nearest_checkpoint
from twinsplit.onset.curves import Curves
from twinsplit.onset.decision import Onset, find_onset

CURVES = simulate(PHASE, 3, 4, 0).curves


def long(curves: Curves = CURVES, means: bool = False) -> pd.DataFrame:
    rows = []
    for s, step in enumerate(curves.steps):
        for p, (a, b) in enumerate(curves.pairs):
            rows += [(step, "divergence", None, f"{a}-{b}", n, v) for n, v in enumerate(curves.divergence[s, p])]
        for k in range(curves.members):
            rows += [(step, "test_loss", k, None, n, v) for n, v in enumerate(curves.test_loss[s, k])]
    table = pd.DataFrame(rows, columns=["step", "kind", "network", "pair", "example", "value"])
    if not means:
        return table
    return table.groupby(["step", "kind", "network", "pair"], dropna=False)["value"].mean().reset_index()


def same(a: Curves, b: Curves) -> None:
    for name in ("steps", "divergence", "pairs", "test_loss"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name))


def test_a_long_table_gives_the_curves_whatever_its_order_and_library() -> None:
    shuffled = long().sample(frac=1.0, random_state=0)
    same(Curves.from_table(shuffled), CURVES)
    same(Curves.from_table(pa.Table.from_pandas(long(), preserve_index=False)), CURVES)


def test_networks_of_a_pair_may_have_columns_of_their_own_and_names_be_words() -> None:
    table = long()
    ends = table["pair"].str.split("-", expand=True)
    named = table.drop(columns="pair").assign(network_a="run" + ends[0], network_b="run" + ends[1])
    named["network"] = [None if pd.isna(v) else f"run{int(v)}" for v in table["network"]]
    same(Curves.from_table(named), CURVES)


def test_one_value_per_step_is_enough() -> None:
    found = Curves.from_table(long(means=True))
    assert found.sequences == 1
    assert "networks only" in find_onset(found, draws=200).reason


def test_splits_are_read() -> None:
    table = long()
    table["split"] = [None if pd.isna(v) else "abc"[int(v)] for v in table["network"]]
    np.testing.assert_array_equal(Curves.from_table(table).splits, [0, 1, 2])


@pytest.mark.parametrize(
    ("spoil", "key"),
    [
        (lambda t: t.drop(columns="step"), "column step"),
        (lambda t: t.drop(columns="network"), "column network"),
        (lambda t: t.drop(columns="pair"), "network_a"),
        (lambda t: t[t["kind"] == "test_loss"], "divergence"),
        (lambda t: t.drop(index=7), "no value at step"),
        (lambda t: t.assign(value=t["value"].where(t.index != 7)), "not finite"),
        (lambda t: t.assign(value=t["value"].astype(object).where(t.index != 7, "high")), "numbers"),
        (lambda t: pd.concat([t, t[:1]]), "twice"),
        (lambda t: t.assign(pair=t["pair"].replace("0-1", "01")), "two networks"),
        (lambda t: t.assign(pair=t["pair"].replace("0-1", "0-9")), "network 9"),
        (lambda t: t.assign(kind=t["kind"].replace("test_loss", "loss")), "'loss'"),
        (lambda t: t.assign(example=t["example"].where(t.index != 7)), "example"),
        (lambda t: t.to_numpy(), "no table"),
    ],
)
def test_what_is_missing_is_named(spoil, key) -> None:
    with pytest.raises(InputError, match=key):
        Curves.from_table(spoil(long()))


def test_an_onset_is_read_from_its_json() -> None:
    o = find_onset(CURVES, draws=200)
    stored = json.loads(json.dumps(o.to_json(), allow_nan=False))
    assert isinstance(Onset.from_json(stored), Onset)
    assert Onset.from_json(stored).to_json() == o.to_json()


@pytest.mark.parametrize("name", find_onset(CURVES, draws=200).to_json())
def test_a_wrong_or_missing_key_is_named(name) -> None:
    good = find_onset(CURVES, draws=200).to_json()
    with pytest.raises(ValueError, match=name):
        Onset.from_json({k: v for k, v in good.items() if k != name})
    with pytest.raises(ValueError, match=name):
        Onset.from_json(good | {name: ["x"]})
    with pytest.raises(ValueError, match="surprise"):
        Onset.from_json(good | {"surprise": 1})


def test_the_nearest_checkpoint_is_nearest_in_log_step() -> None:
    assert nearest_checkpoint([0, 10, 100, 1000], np.log(400.0)) == 1000
    assert nearest_checkpoint((10, 1000), np.log(90.0)) == 10
    with pytest.raises(InputError):
        nearest_checkpoint([0], 1.0)
