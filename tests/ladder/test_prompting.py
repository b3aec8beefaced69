"""Choices are made on dev; test is answered once, the way that was chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from contexts import context_of
from rows_of import task_of
from rung.config import make_settings
from rung.errors import UsageError
from rung.evaluation.judging import Evaluation, judge
from rung.ladder import prompting
from rung.ladder.prepare import Prepared
from rung.ladder.rungs import RUNGS, Rung
from rung.ladder.watch import Silent, Watcher
from rung.records import Choice, Completion, Example

ZERO, FEW = RUNGS["zero-shot"], RUNGS["few-shot"]


def right(examples: Sequence[Example], share: float = 1.0) -> list[Completion]:
    """Answers of which the first `share` are right."""
    count = round(share * len(examples))
    return [
        Completion(one.id, one.target if i < count else "neither", tokens=1) for i, one in enumerate(examples)
    ]


class Model:
    """Stands in for the model: answers each way with a share of right answers, and keeps count."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, shares: Callable[[str, int], float]) -> None:
        self.asked: list[tuple[str, int]] = []  # (way of answering, rows)

        def complete(_: Any, examples: Any, prompts: Any, *__: Any) -> list[Completion]:
            self.asked.append(("writing", len(examples)))
            return right(examples, shares("writing", len(prompts[0])))

        def pick_labels(_: Any, __: Any, examples: Any, prompts: Any, *___: Any) -> dict[str, Any]:
            self.asked.append(("labels", len(examples)))
            return {
                how: right(examples, shares(how, len(prompts[0])))
                for how in ("likelihood", "calibrated likelihood")
            }

        monkeypatch.setattr(prompting, "complete", complete)
        monkeypatch.setattr(prompting, "pick_labels", pick_labels)


@dataclass
class Prompted:
    """What a prompting rung chose, and its answers to test."""

    evaluation: Evaluation
    choices: tuple[Choice, ...]


def prompt(
    prepared: Prepared, rung: Rung, dev: Sequence[Example], test: Sequence[Example], watcher: Watcher
) -> Prompted:
    split = replace(prepared.split, dev=tuple(dev), test=tuple(test))
    context = context_of(prepared, split=split, watcher=watcher)
    outcome = rung.run(context, None)
    answers = outcome.responder.answer(test, watcher)
    return Prompted(judge(prepared.task, test, answers), outcome.choices)


def parts(prepared: Prepared) -> tuple[Sequence[Example], Sequence[Example]]:
    return prepared.split.dev, prepared.split.test


@pytest.mark.parametrize("best", ["writing", "likelihood", "calibrated likelihood"])
def test_the_best_way_to_answer_on_dev_answers_test_once(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, best: str
) -> None:
    model = Model(monkeypatch, lambda how, _: 0.8 if how == best else 0.4)
    dev, test = parts(prepared)
    found = prompt(prepared, ZERO, dev, test, Silent())
    (choice,) = found.choices
    assert (choice.name, choice.chosen) == ("answer by", best)
    assert choice.tried[best] == pytest.approx(0.8, abs=0.02)
    assert set(choice.tried) == {"writing", "likelihood", "calibrated likelihood"}
    assert found.evaluation.primary.value == pytest.approx(0.8, abs=0.02)
    assert [count for _, count in model.asked] == [len(dev), len(dev), len(test)]
    assert model.asked[-1][0] == ("writing" if best == "writing" else "labels")


def test_the_best_number_of_shots_on_dev_is_used(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = replace(prepared, settings=make_settings({"shots": "1,2,4"}))
    turns = {1: 4, 2: 6, 4: 10}  # a system turn, two a shot, the row's own
    good = turns[2]
    Model(monkeypatch, lambda how, length: 0.9 if (length, how) == (good, "writing") else 0.3)
    found = prompt(asked, FEW, *parts(prepared), Silent())
    shots, how = found.choices
    assert (shots.name, shots.chosen) == ("k", "2")
    assert list(shots.tried) == ["1", "2", "4"]
    assert shots.tried["2"] == pytest.approx(0.9, abs=0.02)
    assert (how.chosen, how.tried["writing"]) == ("writing", shots.tried["2"])
    assert found.evaluation.primary.value == pytest.approx(0.9, abs=0.02)


def test_ties_go_to_the_cheapest(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = replace(prepared, settings=make_settings({"shots": "4,2"}))
    Model(monkeypatch, lambda how, length: 0.5)
    shots, how = prompt(asked, FEW, *parts(prepared), Silent()).choices
    assert (shots.chosen, how.chosen) == ("2", "writing")


def test_the_one_number_of_shots_there_is_needs_no_choosing_but_is_told(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = replace(prepared, settings=make_settings({"shots": "2"}))
    Model(monkeypatch, lambda how, length: 0.5)
    shots = prompt(asked, FEW, *parts(prepared), Silent()).choices[0]
    assert (shots.name, shots.chosen, shots.tried) == ("k", "2", {})


def test_other_tasks_also_try_the_row_as_it_is(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    free = replace(prepared, task=task_of(prepared.split.train, "api_call"))
    model = Model(monkeypatch, lambda how, length: 0.7 if length == 1 else 0.2)
    dev, test = parts(prepared)
    (choice,) = prompt(free, ZERO, dev, test, Silent()).choices
    assert (choice.name, choice.chosen) == ("prompt", "the row as it is")
    assert set(choice.tried) == {"with instruction", "the row as it is"}
    assert model.asked == [("writing", len(dev))] * 2 + [("writing", len(test))]


def test_no_number_of_shots_that_can_be_shown_is_said(prepared: Prepared) -> None:
    asked = replace(prepared, settings=make_settings({"shots": "500,600"}))
    with pytest.raises(UsageError, match=r"\(500, 600\) can be shown\..*smaller numbers with --shots"):
        prompt(asked, FEW, *parts(prepared), Silent())


def test_a_real_model_is_asked_by_all_three_ways(prepared: Prepared) -> None:
    dev, test = parts(prepared)
    heard: list[str] = []

    class Ear(Silent):
        def begin(self, rung: str, phase: str) -> None:
            heard.append(f"{rung}: {phase}")

    found = prompt(prepared, FEW, dev[:5], test[:5], Ear())
    assert [answer.example_id for answer in found.evaluation.answers] == [one.id for one in test[:5]]
    assert heard == ["few-shot: choosing on dev"]
    assert sum(found.evaluation.counts.values()) == 5
