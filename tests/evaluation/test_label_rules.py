"""Rules that turn scores of labels into a choice."""

from __future__ import annotations

import numpy as np
import pytest

from rung.evaluation.label_rules import LabelRule, calibrated, matched, shares_of
from rung.records import from_json, to_json

SCORES = np.random.default_rng(3).normal(-6, 2, (40, 3)) + np.array([4.0, 0.0, -2.0])


def test_a_rule_without_numbers_leaves_scores_as_they_are() -> None:
    assert LabelRule().applied(SCORES, [1, 2, 3]).tolist() == SCORES.tolist()


def test_a_score_per_token_is_divided_by_the_length() -> None:
    found = LabelRule(per_token=True).applied(np.array([[-3.0, -4.0]]), [1, 4])
    assert found.tolist() == [[-3.0, -1.0]]


def test_calibration_takes_off_what_is_preferred_without_a_text() -> None:
    empty = np.log(np.array([[0.6, 0.3], [0.2, 0.2]]))  # as shares: 2/3 and 1/3, 1/2 and 1/2
    offsets = calibrated(empty).offsets
    assert offsets == pytest.approx((-np.log([2 / 3 * 1 / 2, 1 / 3 * 1 / 2]) / 2).tolist())


@pytest.mark.parametrize("shares", [(1 / 3, 1 / 3, 1 / 3), (0.7, 0.2, 0.1)])
def test_matched_offsets_give_labels_their_shares(shares: tuple[float, ...]) -> None:
    found = matched(SCORES, shares).applied(SCORES, [1, 1, 1])
    probabilities = np.exp(found - np.logaddexp.reduce(found, axis=1, keepdims=True))
    assert probabilities.mean(0) == pytest.approx(shares, abs=1e-3)
    assert SCORES.argmax(1).tolist().count(0) > found.argmax(1).tolist().count(0)


def test_shares_are_counts_and_none_is_zero() -> None:
    assert shares_of(["a", "b", "c"], ["a", "b", "a", "x"]) == (3 / 6, 2 / 6, 1 / 6)


def test_a_rule_is_a_record() -> None:
    rule = LabelRule(True, (0.5, -0.5))
    assert from_json(LabelRule, to_json(rule)) == rule
