"""Choices are made on dev; test is answered once, the way that was chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contexts import context_of
from rows_of import task_of
from rung.config import make_settings
from rung.errors import UsageError
from rung.evaluation.judging import Evaluation, judge
from rung.evaluation.label_rules import LabelRule
from rung.ladder import answer_by, prompting, trials
from rung.ladder.prepare import Prepared
from rung.ladder.prompting import Prompted
from rung.ladder.rungs import RUNGS, Rung
from rung.ladder.rungs.few_shot import FewShot
from rung.ladder.watch import Silent, Watcher
from rung.ladder.ways import Asker, Similarity, Way
from rung.records import Choice, Completion, Example

ZERO, FEW = RUNGS["zero-shot"], FewShot()
HOWS = ("likelihood", "calibrated likelihood")
Shares = Callable[[str, Way], float]  # how an answer is read, the way to ask -> share of right answers


def right(examples: Sequence[Example], share: float) -> list[Completion]:
    """Answers of which the first `share` are right."""
    count = round(share * len(examples))
    return [
        Completion(one.id, one.target if i < count else "neither", tokens=1) for i, one in enumerate(examples)
    ]


class Model:
    """Stands in for the model: a share of right answers by each way, and what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, shares: Shares) -> None:
        self.asked: list[tuple[str, str, int]] = []  # (way, writing or labels, rows)
        self.shares = shares
        self.way = Way("")
        real = Asker.ids

        def ids(asker: Asker, examples: Sequence[Example]) -> list[list[int]]:
            self.way = asker.way
            return real(asker, examples)

        monkeypatch.setattr(Asker, "ids", ids)
        for module in (trials, answer_by):
            monkeypatch.setattr(module, "write", self.write)
        monkeypatch.setattr(answer_by, "pick_labels", self.pick)
        monkeypatch.setattr(trials, "Picked", lambda *given: FakePicked(self, *given))

    def write(self, _: Any, examples: Sequence[Example], *__: Any, **___: Any) -> list[Completion]:
        self.asked.append((self.way.name, "writing", len(examples)))
        return right(examples, self.shares("writing", self.way))

    def pick(
        self, _: Any, __: Any, rule: LabelRule, examples: Sequence[Example], *___: Any
    ) -> list[Completion]:
        self.asked.append((self.way.name, "labels", len(examples)))
        return right(examples, self.shares(HOWS[bool(rule.offsets)], self.way))


class FakePicked(trials.Trial):
    """Labels that stand-in answers give."""

    writes, first = False, HOWS[0]

    def __init__(self, model: Model, asker: Asker, dev: Sequence[Example], begin: Any, _: Any) -> None:
        super().__init__(asker, dev, begin)
        self.model = model

    def rules(self) -> dict[str, LabelRule]:
        return {HOWS[0]: LabelRule(), HOWS[1]: LabelRule(offsets=(0.0, 0.0))}

    def _read(self, examples: Sequence[Example], watch: Any) -> None:
        self.model.asked.append((self.asker.way.name, "labels", len(examples)))

    def _texts(self) -> dict[str, list[str]]:
        read, way = self.dev[: self.rows or None], self.asker.way
        return {how: [one.text for one in right(read, self.model.shares(how, way))] for how in HOWS}


@dataclass
class Asked:
    """What a prompting rung chose, and its answers to test."""

    evaluation: Evaluation
    choices: dict[str, Choice]
    responder: Prompted

    def chosen(self, name: str) -> str:
        return self.choices[name].chosen


@pytest.fixture(autouse=True)
def all_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Few dev rows leave no way out; features are kept in a folder of the test's own."""
    monkeypatch.setattr("rung.ladder.rungs.few_shot.FEW_DEV", 0)
    monkeypatch.chdir(tmp_path)


def prompt(prepared: Prepared, rung: Rung, watcher: Watcher | None = None, rows: int = 30) -> Asked:
    dev, test = prepared.split.dev[:rows], prepared.split.test[:rows]
    split = replace(prepared.split, dev=dev, test=test)
    context = context_of(prepared, split=split, watcher=watcher or Silent())
    outcome = rung.run(context, None)
    answers = outcome.responder.answer(test)
    responder = outcome.responder
    assert isinstance(responder, Prompted)
    return Asked(judge(prepared.task, test, answers), {one.name: one for one in outcome.choices}, responder)


@pytest.mark.parametrize("best", ["writing", *HOWS])
def test_the_best_way_to_answer_on_dev_answers_test_once(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, best: str
) -> None:
    model = Model(monkeypatch, lambda how, _: 0.8 if how == best else 0.4)
    found = prompt(prepared, ZERO)
    assert found.chosen("answer by") == best
    assert found.choices["answer by"].tried[best] == pytest.approx(0.8, abs=0.05)
    assert found.evaluation.primary.value == pytest.approx(0.8, abs=0.02)
    family = "writing" if best == "writing" else "labels"
    assert model.asked[-1] == ("with instruction", family, 30)


def test_the_best_way_to_ask_on_dev_is_used(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = replace(prepared, settings=make_settings({"shots": "1,2,4"}))
    Model(monkeypatch, lambda how, way: 0.9 if (len(way.shots), way.plain) == (2, True) else 0.3)
    found = prompt(asked, FEW)
    assert found.chosen("prompt") == "2 examples, plain layout"
    assert found.responder.asker.way.plain
    tried = found.choices["prompt"].tried
    assert tried["2 examples, plain layout"] == pytest.approx(0.9, abs=0.05)
    assert len(tried) == 3 * 2 + 3  # in two layouts, then three ways to retrieve in the better one
    assert found.evaluation.primary.value == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("similarity", ["words", "states"])
def test_retrieved_examples_are_tried_in_the_better_layout_and_family(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch, similarity: str
) -> None:
    asked = replace(prepared, settings=make_settings({"shots": "2,4"}))

    def shares(how: str, way: Way) -> float:
        best = (way.retrieved, way.similarity) == (4, similarity)
        return (0.9 if best else 0.5 if way.plain else 0.2) if how == "writing" else 0.1

    model = Model(monkeypatch, shares)
    found = prompt(asked, FEW)
    by = {"words": "", "states": " by hidden states"}
    assert found.chosen("prompt") == f"4 retrieved examples{by[similarity]}, plain layout"
    retrieved = {(way, family) for way, family, _ in model.asked if "retrieved" in way}
    names = ("2 retrieved examples", "4 retrieved examples", "4 retrieved examples by hidden states")
    assert retrieved == {(f"{name}, plain layout", "writing") for name in names}
    assert found.evaluation.primary.value == pytest.approx(0.9, abs=0.02)


def test_ties_go_to_the_cheapest(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = replace(prepared, settings=make_settings({"shots": "4,2"}))
    Model(monkeypatch, lambda how, way: 0.5)
    found = prompt(asked, FEW)
    assert (found.chosen("prompt"), found.chosen("answer by")) == ("2 examples", "writing")


def test_halving_reads_fewer_rows_than_every_way_on_all(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = replace(prepared, settings=make_settings({"shots": "1,2,4,8"}))
    model = Model(monkeypatch, lambda how, way: 0.5)
    found = prompt(asked, FEW)
    assert sum(rows for *_, rows in model.asked[:-1]) < 0.75 * 12 * 2 * 30
    assert any(name.endswith("(on 16 rows)") for name in found.choices["prompt"].tried)


def test_equal_prompts_are_tried_once(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    free = replace(prepared, task=task_of(prepared.split.train, "generation"))
    model = Model(monkeypatch, lambda how, way: 0.5)
    found = prompt(free, ZERO)  # the task has no instruction
    assert {way for way, *_ in model.asked} == {"with instruction", "plain layout"}
    assert set(found.choices["prompt"].tried) == {"with instruction", "plain layout"}


def test_other_tasks_also_try_the_row_as_it_is(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    free = replace(prepared, task=task_of(prepared.split.train, "api_call"))
    model = Model(monkeypatch, lambda how, way: 0.7 if not way.instruction and not way.plain else 0.2)
    found = prompt(free, ZERO)
    assert list(found.choices) == ["prompt"]
    assert found.chosen("prompt") == "the row as it is"
    assert {family for _, family, _ in model.asked} == {"writing"}


def test_no_number_of_shots_that_can_be_shown_is_said(prepared: Prepared) -> None:
    asked = replace(prepared, settings=make_settings({"shots": "500,600"}))
    with pytest.raises(UsageError, match=r"\(500, 600\) can be shown\..*smaller numbers with --shots"):
        prompt(asked, FEW)


def test_what_is_read_is_said(prepared: Prepared) -> None:
    heard: list[str] = []

    class Ear(Silent):
        def begin(self, rung: str, phase: str) -> None:
            heard.append(f"{rung}: {phase}")

    found = prompt(prepared, FEW, Ear(), rows=5)
    assert sum(found.evaluation.counts.values()) == 5
    assert heard[0] == "few-shot: choosing on dev: 2 examples"
    plain = ", plain layout" if found.responder.asker.way.plain else ""
    assert "few-shot: reading train rows to find similar ones" in heard
    assert heard[-1] == f"few-shot: choosing on dev: 2 retrieved examples by hidden states{plain}"


@pytest.mark.parametrize(("plain", "similarity"), [(False, "words"), (True, "words"), (True, "states")])
@pytest.mark.parametrize("rule", [None, LabelRule(offsets=(-1.0, 1.0)), LabelRule(per_token=True)])
def test_it_answers_the_same_after_loading(
    prepared: Prepared, tmp_path: Path, plain: bool, similarity: Similarity, rule: LabelRule | None
) -> None:
    context = context_of(prepared)
    chosen = prompting._Choosing(
        prepared, "few-shot", prepared.split.dev, Silent(), lambda way: FEW.pool(context, way)
    )
    asker = chosen._asker(Way("2 retrieved examples", retrieved=2, plain=plain, similarity=similarity))
    assert asker is not None
    made = Prompted(asker, rule, "how", 4, prompting.base_of(prepared))
    made.save(tmp_path / "answer")
    loaded = prompting.load(tmp_path / "answer")
    rows = prepared.split.test[:8]
    assert loaded.answer(rows) == made.answer(rows)
    labels = prepared.task.labels
    scores, again = made.score(rows, labels), loaded.score(rows, labels)
    assert scores is not None
    assert again is not None
    np.testing.assert_allclose(scores, again, atol=1e-5)
    if rule is not None:
        assert np.logaddexp.reduce(scores, axis=1) == pytest.approx(0.0, abs=1e-9)
        assert [labels[at] for at in scores.argmax(1)] == [one.text for one in made.answer(rows)]
    alone = [loaded.answer([row])[0] for row in rows]
    assert alone == made.answer(rows)
