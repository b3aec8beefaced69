"""Wins by likelihood, by hand."""

from __future__ import annotations

import pytest

from rung.evaluation.likelihood import likelihood_measures, with_likelihoods
from rung.records import Answer


def answers(*names: str) -> list[Answer]:
    return [Answer(name, "", "ok", "x", {"rouge_l": 0.5}) for name in names]


def test_a_tie_is_half_a_win() -> None:
    pairs = {"a": (1.0, 2.0), "b": (3.0, 2.0), "c": (2.0, 2.0), "d": (0.0, 1.0)}
    found = {one.name: one for one in likelihood_measures(with_likelihoods(answers(*"abcd"), pairs))}
    assert found["answer_nats"].value == pytest.approx(1.5)
    assert found["base_answer_nats"].value == pytest.approx(1.75)
    assert found["likelihood_wins"].value == pytest.approx(2.5 / 4)
    assert not found["answer_nats"].higher_is_better
    assert found["answer_nats"].unit == "nats/token"


def test_rows_without_the_numbers_do_not_count() -> None:
    some = with_likelihoods(answers(*"ab"), {"a": (1.0, 2.0)})
    assert [one.n for one in likelihood_measures(some)] == [1, 1, 1]
    assert some[1].values == {"rouge_l": 0.5}
    assert likelihood_measures(answers("a")) == ()


def test_a_row_of_several_splits_counts_once() -> None:
    pairs = {"0/a": (1.0, 2.0), "1/a": (3.0, 2.0), "0/b": (1.0, 2.0)}
    given = with_likelihoods(answers(*pairs), pairs)
    wins = likelihood_measures(given, {"0/a": "a", "1/a": "a", "0/b": "b"})[-1]
    assert (wins.n, wins.value) == (2, pytest.approx(0.75))
