"""One against the rest: the solver is scikit-learn's model, thresholds are chosen, sets are given."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from rows_of import of_targets, task_of
from rung.ladder.classical import one_vs_rest
from rung.ladder.classical.one_vs_rest import best_share, fit, folds_of, given, judged, left_out, several


def data(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(n, 6))
    truth = matrix[:, :3] + rng.normal(size=(n, 3)) > 0.3
    return matrix, truth


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_each_label_has_scikit_learns_weights(c: float) -> None:
    matrix, truth = data()
    ((weights, bias),) = fit(matrix, truth, [c], 500)
    for label in range(3):
        model = LogisticRegression(C=c, tol=1e-8, max_iter=1000).fit(matrix, truth[:, label])
        assert weights[label] == pytest.approx(model.coef_[0], abs=5e-3)
        assert bias[label] == pytest.approx(model.intercept_[0], abs=5e-3)


def test_a_row_is_judged_by_a_model_that_has_not_seen_it() -> None:
    matrix, truth = data()
    folds = np.arange(len(matrix)) % 3
    (odds,) = left_out(matrix, truth, folds, [1.0], 100)
    seen = folds != 0
    ((weights, bias),) = fit(matrix[seen], truth[seen], [1.0], 100)
    assert odds[~seen] == pytest.approx(matrix[~seen] @ weights.T + bias)


def test_labels_from_a_probability_on() -> None:
    odds = np.log(np.array([[0.8, 0.4], [0.1, 0.2]]) / np.array([[0.2, 0.6], [0.9, 0.8]]))
    assert given(odds, 0.5, empty=True).tolist() == [[True, False], [False, False]]
    assert given(odds, 0.5, empty=False).tolist() == [[True, False], [False, True]]
    assert given(odds, 0.39, empty=True).tolist() == [[True, True], [False, False]]


def test_the_threshold_that_the_metric_likes_best() -> None:
    examples = of_targets("a; b", "a", "b", times=10)
    task = task_of(examples)
    labels, truth = several(task, examples)
    assert labels == ("a", "b")
    assert truth[:3].tolist() == [[True, True], [True, False], [False, True]]
    odds = np.where(truth, -1.0, -3.0)  # all labels look unlikely, the wrong ones more so
    share, value = best_share(task, examples, labels, odds)
    assert value == 1
    assert share < 0.27
    assert judged(task, examples, labels, given(odds, 0.5, empty=True)) == 0


def test_rows_of_one_prompt_stay_in_one_fold() -> None:
    examples = of_targets("a; b", "a", "b", times=10)
    truth = several(task_of(examples), examples)[1]
    folds = folds_of([*examples, *examples], np.concatenate([truth, truth]), seed=0)
    assert (folds[:30] == folds[30:]).all()
    assert set(folds.tolist()) == {0, 1, 2, 3, 4}
    assert one_vs_rest.can_be_empty(task_of(examples)) is False
