"""Logistic regression and its folds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rows_of import rows
from rung.ladder.classical import regression


def test_rows_with_one_prompt_or_group_stay_in_one_fold() -> None:
    examples = rows((f"Row {i // 2}{'!' * (i % 2)}", "ab"[i % 4 // 2]) for i in range(40))
    examples += [replace(one, group="g") for one in rows((f"other {i}", "a") for i in range(5))]
    folds = regression.folds_of(examples, np.array([one.target == "a" for one in examples]).astype(int), 2, 0)
    assert folds[:40:2].tolist() == folds[1:40:2].tolist()
    assert len(set(folds[40:].tolist())) == 1
    assert np.bincount(folds[:40], minlength=5).min() >= 6


def test_a_label_without_rows_is_never_likely() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([0, 2] * 20)
    matrix = rng.normal(size=(40, 3)) + truth[:, None]
    ((weights, bias),) = regression.fit(matrix, truth, 3, [1.0], 100)
    logs = regression.log_softmax(matrix @ weights.T + bias)
    assert np.exp(logs).sum(1) == pytest.approx(1)
    assert (logs[:, 1] < -20).all()
    assert (logs.argmax(1) == truth).mean() > 0.8


def test_rows_left_out_are_judged_by_a_model_that_has_not_seen_them() -> None:
    rng = np.random.default_rng(0)
    matrix, truth = rng.normal(size=(60, 50)), rng.integers(0, 2, 60)  # noise: nothing to learn
    folds = np.arange(60) % 5
    (logs,) = regression.left_out(matrix, truth, 2, folds, [10.0], 100)
    assert (logs.argmax(1) == truth).mean() < 0.75
    ((weights, bias),) = regression.fit(matrix, truth, 2, [10.0], 100)
    assert ((matrix @ weights.T + bias).argmax(1) == truth).mean() > 0.95


def test_choices_are_found_by_their_label() -> None:
    logs = np.log(np.array([[0.25, 0.75]]))
    found = regression.of_choices(logs, ["no", "yes"], ["Yes", "maybe", "no"])
    assert found[0].tolist() == [np.log(0.75), regression.UNKNOWN, np.log(0.25)]
