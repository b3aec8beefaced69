"""What each way of answering scores on dev, and what is chosen by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rung.evaluation import label_scores
from rung.evaluation.judging import judge
from rung.evaluation.run import write
from rung.evaluation.stats import f1_of
from rung.ladder import tuned_dev
from rung.ladder.answer_by import Answering
from rung.ladder.options import attach
from rung.ladder.prepare import Prepared
from rung.ladder.tuned_dev import DevJudge, DevScores, choose_answer
from rung.ladder.watch import Late, Silent
from rung.records import Completion, Example
from tiny_model import shake

WAYS = ["likelihood", "likelihood per token", "writing"]


@pytest.fixture
def tuned(prepared: Prepared) -> Iterator[Prepared]:
    """With LoRA of random numbers."""
    attached = attach(prepared, "lora")
    shake(attached.parameters())
    attached.updated()
    yield prepared
    attached.detach()


def scores(prepared: Prepared, rows: int = 20, **given: bool) -> DevScores:
    return DevScores(prepared, prepared.split.dev, rows, **given)


def test_the_values_are_those_of_answers_given_alone(tuned: Prepared) -> None:
    made = scores(tuned)
    values, rows = made.values(tuned.speaker), made.rows(tuned.speaker)
    assert sorted(values) == sorted(rows) == WAYS
    ids = tuned.speaker.renderer.prompts(made.examples, [row.prompt for row in made.examples])
    for way in WAYS:
        by = choice(made, tuned, way)
        answers = Answering(tuned.speaker, by, tuned.max_new_tokens).answer(made.examples, ids)
        wanted = judge(tuned.task, made.examples, answers)
        assert values[way] == wanted.primary.value
        assert rows[way] == [answer.values["accuracy"] for answer in wanted.answers]


def choice(made: DevScores, tuned: Prepared, way: str) -> Any:
    """The way of answering called `way`, as it is chosen where it is the best."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "values", lambda *_: {name: float(name == way) for name in WAYS})
        return choose_answer(made, tuned.speaker, labels_cheaper=True)[0]


def test_both_ways_come_from_one_reading(tuned: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(tuned_dev, "picks_after", lambda *_: pytest.fail("read once more"))
    real = tuned_dev.write
    monkeypatch.setattr(tuned_dev, "write", lambda *given, **more: read.append(1) or real(*given, **more))
    scores(tuned).read(tuned.speaker)
    assert read == [1]


def test_many_labels_are_searched_and_picked_the_same(
    tuned: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = scores(tuned).read(tuned.speaker)
    monkeypatch.setattr(label_scores, "FEW_NODES", 0)
    assert scores(tuned).read(tuned.speaker) == few


def test_ways_may_be_left_out(tuned: Prepared) -> None:
    assert list(scores(tuned, writes=False).values(tuned.speaker)) == WAYS[:2]
    assert list(scores(tuned, labels=False).values(tuned.speaker)) == WAYS[2:]
    assert scores(tuned, 0).values(tuned.speaker) == {}


def test_rows_of_another_function_of_totals_are_pseudo_values(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Micro F1: leaving a row out by hand gives the same parts."""
    task = replace(prepared.task, kind="extraction", metrics=("field_f1",), labels=(), fields=("x", "y"))
    targets = ['{"x": 1, "y": 2}', '{"x": 3}', '{"x": 4, "y": 5}']
    said = ['{"x": 1, "y": 9}', '{"x": 3}', '{"y": 5}']
    dev = [
        replace(one, messages=(one.messages[0], replace(one.messages[-1], content=target)))
        for one, target in zip(prepared.split.dev, targets, strict=False)
    ]
    made = DevScores(replace(prepared, task=task), dev, 3)
    made.examples = tuple(dev)
    answers = [Completion(one.id, text, 1) for one, text in zip(dev, said, strict=True)]
    monkeypatch.setattr(tuned_dev, "write", lambda *_, **__: answers)
    found = made.read(prepared.speaker)
    counts = np.array([[1, 1, 1], [1, 0, 0], [1, 0, 1]], dtype=float)  # tp, fp, fn
    whole = float(f1_of(counts.sum(0)))
    assert found.values["writing"] == pytest.approx(whole)
    without = [float(f1_of(np.delete(counts, i, 0).sum(0))) for i in range(3)]
    assert found.rows["writing"] == pytest.approx([3 * whole - 2 * other for other in without])


@pytest.mark.parametrize(
    ("values", "cheaper", "wanted"),
    [
        ({"likelihood": 0.9, "likelihood per token": 0.8, "writing": 0.7}, False, "likelihood"),
        ({"likelihood": 0.8, "likelihood per token": 0.9, "writing": 0.7}, True, "likelihood per token"),
        ({"likelihood": 0.8, "likelihood per token": 0.8, "writing": 0.9}, True, "writing"),
        ({"likelihood": 0.9, "likelihood per token": 0.9, "writing": 0.9}, True, "likelihood"),
        ({"likelihood": 0.9, "likelihood per token": 0.9, "writing": 0.9}, False, "writing"),
    ],
)
def test_the_better_way_wins_and_of_equals_the_cheaper(
    prepared: Prepared,
    monkeypatch: pytest.MonkeyPatch,
    values: Mapping[str, float],
    cheaper: bool,
    wanted: str,
) -> None:
    made = scores(prepared, 10)
    monkeypatch.setattr(made, "values", lambda *_: dict(values))
    by, kept, said = choose_answer(made, prepared.speaker, cheaper)
    assert (by.name, kept.chosen, kept.tried) == (wanted, wanted, values)
    assert (by.rule is None) == (wanted == "writing")
    assert said.startswith(f"answers by {wanted}: accuracy 90.0% on 10 dev rows (")


@pytest.mark.parametrize(("cheaper", "wanted"), [(True, "likelihood"), (False, "writing")])
def test_without_time_for_both_ways_the_cheaper_answers(
    prepared: Prepared, cheaper: bool, wanted: str
) -> None:
    class Hurry(Silent):
        def rows(self, done: int, total: int) -> None:
            raise Late

    by, kept, said = choose_answer(scores(prepared), prepared.speaker, cheaper, Hurry())
    assert by.name == wanted
    assert set(kept.tried.values()) == {None}
    assert said == f"answers by {wanted}: there was no time to try both ways on dev"


def test_a_judge_is_the_metric_of_picked_labels(tuned: Prepared) -> None:
    made = DevJudge(tuned, 20)
    assert made() == scores(tuned).values(tuned.speaker)["likelihood"]
    assert (made.rows, made.name, made.slack) == (20, "accuracy", 1 / 20)


def test_a_judge_writes_where_there_are_no_labels(tuned: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    text = replace(tuned, task=replace(tuned.task, kind="generation", metrics=("chrf",), labels=()))

    def right(_: Any, examples: Sequence[Example], *__: Any, **___: Any) -> list[Completion]:
        return [Completion(one.id, one.target, 1) for one in examples]

    monkeypatch.setattr(tuned_dev, "write", right)
    made = DevJudge(text, 25)
    assert made() == pytest.approx(100.0)
    assert made.slack == 4.0  # of 100 points


def test_writing_is_the_same_with_labels_scored_on_the_way(tuned: Prepared) -> None:
    made = scores(tuned, 9)
    ids = tuned.speaker.renderer.prompts(made.examples, [row.prompt for row in made.examples])
    plain = write(tuned.speaker, made.examples, ids, tuned.max_new_tokens)
    assert made._answers(tuned.speaker, None)["writing"] == plain
