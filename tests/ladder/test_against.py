"""The right answer against the answers of other rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rows_of import rows as rows_of_pairs
from rung.config import make_settings
from rung.ladder import against
from rung.ladder.against import against_others, chosen, groups
from rung.ladder.responder import Responder, Scores
from rung.ladder.watch import Late, Silent
from rung.records import Completion, Example, Task

ROWS = rows_of_pairs((f"Who is number {i}?", f"It is {'very ' * (i % 3)}person {i}") for i in range(23))


class Table(Responder):
    """Gives each choice the log-probability that `of` says, for as many tokens as it has words."""

    def __init__(self, of: Any) -> None:
        self.of = of
        self.asked: list[tuple[int, int]] = []

    def answer(self, examples: Sequence[Example], watcher: Any = None) -> list[Completion]:
        return [Completion(one.id, "", 0) for one in examples]

    def save(self, folder: Path) -> None: ...

    def score(self, examples: Sequence[Example], choices: Sequence[str]) -> Scores:
        self.asked.append((len(examples), len(choices)))
        return np.array([[self.of(one, choice) for choice in choices] for one in examples])

    def tokens(self, choices: Sequence[str]) -> list[int]:
        return [len(choice.split()) for choice in choices]


class Context:
    """What is used of one."""

    def __init__(self, kind: str = "knowledge", budget: str = "none", watcher: Any = None) -> None:
        self.task = Task(kind, "", ("rouge_l",))
        self.settings = make_settings({"budget": budget})
        self.watcher = watcher or Silent()


def values(responder: Responder, context: Any, rows: Sequence[Example] = ROWS) -> dict[str, float]:
    given = [Completion(one.id, "x", 1) for one in rows]
    found = against_others(context, responder, rows, given)
    assert [one.example_id for one in found] == [one.id for one in rows]
    return {one.example_id: one.values["choice"] for one in found if "choice" in one.values}


def test_each_row_is_in_one_group_of_five_different_answers() -> None:
    found = list(groups(ROWS, 0))
    assert sorted(one.id for rows, _ in found for one in rows) == sorted(one.id for one in ROWS)
    assert [len(rows) for rows, _ in found] == [5, 5, 5, 5, 3]
    for rows, answers in found:
        assert len(set(answers)) == 5
        assert [one.target for one in rows] == answers[: len(rows)]
    assert list(groups(ROWS[::-1], 0)) == found
    assert list(groups(ROWS, 1)) != found


def test_paraphrases_with_one_answer_are_never_in_one_group() -> None:
    pairs = [(f"Way {way} to ask {i}?", f"Answer {i}{'.' * way}") for i in range(6) for way in range(3)]
    found = list(groups(rows_of_pairs(pairs), 0))
    assert sum(len(rows) for rows, _ in found) == 18
    for _, answers in found:
        assert len({answer.rstrip(".") for answer in answers}) == 5


def test_too_few_different_answers_are_no_choice() -> None:
    assert list(groups(rows_of_pairs((f"Q {i}?", f"A {i % 4}") for i in range(20)), 0)) == []


def test_the_mean_over_tokens_decides_by_hand() -> None:
    short, long = rows_of_pairs([("a?", "one"), ("b?", "one two three")])
    # Sums -2 and -3: a short answer has the larger sum, but by token -2 loses against -1.
    table = Table(lambda one, choice: {"one": -2.0, "one two three": -3.0}[choice])
    assert chosen(table, [short, long], ["one", "one two three"]) == {short.id: 0.0, long.id: 1.0}


def test_equally_likely_is_not_right() -> None:
    table = Table(lambda one, choice: -float(len(choice.split())))
    assert set(values(table, Context()).values()) == {0.0}


def test_who_knows_all_and_who_knows_nothing() -> None:
    knows = Table(lambda one, choice: 0.0 if choice == one.target else -math.inf)
    assert set(values(knows, Context()).values()) == {1.0}
    assert len(values(knows, Context())) == len(ROWS)
    wrong = Table(lambda one, choice: -9.0 if choice == one.target else -1.0)
    assert set(values(wrong, Context()).values()) == {0.0}
    assert wrong.asked == [(5, 5)] * 4 + [(3, 5)]


def test_only_some_kinds_and_some_responders_are_asked() -> None:
    table = Table(lambda one, choice: 0.0)
    assert values(table, Context("generation")) == {}
    assert table.asked == []

    class Silent(Table):
        def tokens(self, choices: Sequence[str]) -> None:  # type: ignore[override]
            return None

    assert values(Silent(lambda one, choice: 0.0), Context()) == {}


def test_limits_of_rows_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(lambda one, choice: 0.0)
    monkeypatch.setattr(against, "MOST_ROWS", 10)
    assert len(values(table, Context())) == 10
    monkeypatch.undo()
    monkeypatch.setattr(against, "SHARE", -1.0)
    assert len(values(table, Context(budget="10m"))) == 5
    monkeypatch.undo()

    class Stops(Silent):
        def rows(self, done: int, total: int) -> None:
            raise Late

    assert len(values(table, Context(watcher=Stops()))) == 5
