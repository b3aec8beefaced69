"""Every kind of task through one suite: what it infers, reads, grades and says."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from rows_of import loaded_of, rows, task_of
from rung.config import make_settings
from rung.evaluation.metrics import METRICS, grade, measures, primary_rows
from rung.evaluation.prompts import few_shot, pick_shots, zero_shot
from rung.evaluation.tasks import KINDS, Grade, Kind, learn, register, tidy, understand, unreadable
from rung.records import Answer, Completion, Example, Message, Score, Task, from_json, to_json
from rung.registry import Registry


@dataclass(frozen=True)
class Sample:
    """Rows of a kind, an answer that is wrong for all of them, and a text that is no answer."""

    kind: str
    pairs: tuple[tuple[str, str], ...]
    wrong: str
    unreadable: str = " "
    inferred: bool = True  # from the rows alone


SAMPLES = (
    Sample(
        "classification",
        tuple((f"note {i}", ("good", "bad", "so-so")[i % 3]) for i in range(30)),
        "none of good, bad and so-so",
        "who knows",
    ),
    Sample(
        "multi_label",
        tuple((f"note {i}", ("cat; dog", "dog", "cat; bird; dog", "bird")[i % 4]) for i in range(30)),
        "fish; cow; cat",
        "who knows",
    ),
    Sample(
        "extraction",
        tuple((f"bill {i}", json.dumps({"to": f"n{i}", "sum": i})) for i in range(30)),
        '{"to": "nobody", "sum": -1000}',
        "{",
    ),
    Sample(
        "api_call",
        tuple((f"do {i}", f"f(x={i})\ng(y={i})") for i in range(30)),
        "f(x=-1)",
        "I cannot do that",
    ),
    Sample(
        "translation",
        tuple((f"Translate to German: my house {i} is old", f"mein Haus {i} ist alt") for i in range(30)),
        "zzz",
    ),
    Sample(
        "knowledge", tuple((f"question {i}", f"the answer {i}") for i in range(30)), "zzz", inferred=False
    ),
    Sample(
        "instructions", tuple((f"question {i}", f"the answer {i}") for i in range(30)), "zzz", inferred=False
    ),
    Sample("generation", tuple((f"question {i}", f"the answer {i}") for i in range(30)), "zzz"),
)


@pytest.fixture(params=SAMPLES, ids=lambda sample: sample.kind)
def sample(request: pytest.FixtureRequest) -> Sample:
    found: Sample = request.param
    return found


def understood(sample: Sample) -> tuple[Task, tuple[Example, ...]]:
    task, loaded = understand(loaded_of(rows(sample.pairs)), None if sample.inferred else sample.kind)
    return learn(task, loaded.examples), loaded.examples


def graded(task: Task, example: Example, text: str) -> Score:
    return grade(task, example, Completion(example.id, text, 1))


def test_every_kind_has_its_sample() -> None:
    """But preferences, whose rows hold two answers (tests/evaluation/tasks/test_preferences.py)."""
    assert {sample.kind for sample in SAMPLES} == set(KINDS) - {"preferences"}


def test_its_own_rows_are_understood(sample: Sample) -> None:
    task, examples = understood(sample)
    assert task.kind == sample.kind
    assert task.why.startswith(KINDS[sample.kind].title)
    assert not sample.inferred or "30" in task.why
    assert tidy(task, examples) == examples
    assert unreadable(task, examples) == []
    assert from_json(Task, to_json(task)) == task


def test_the_target_is_right(sample: Sample) -> None:
    task, examples = understood(sample)
    scores = [graded(task, example, example.target) for example in examples]
    assert {score.status for score in scores} == {"ok"}
    for measure in measures(task, examples, scores, [example.target for example in examples]):
        best = (100 if measure.unit == "points" else 1) if measure.higher_is_better else 0
        assert measure.value == pytest.approx(best)
    assert all(KINDS[task.kind].parse(task, example.target) for example in examples)


def test_a_wrong_answer_is_worth_less(sample: Sample) -> None:
    task, examples = understood(sample)
    wrong, right = (
        measures(task, examples, [graded(task, one, text or one.target) for one in examples], texts)[0].value
        for text, texts in ((sample.wrong, [sample.wrong] * 30), ("", [one.target for one in examples]))
    )
    assert wrong is not None
    assert right is not None
    assert wrong < 0.7 * right


def test_a_text_without_an_answer_is_unparsed_and_worth_nothing(sample: Sample) -> None:
    task, examples = understood(sample)
    for text in (sample.unreadable, ""):
        score = graded(task, examples[0], text)
        assert (score.status, score.answer) == ("unparsed", None)
        assert score.note == f"no {KINDS[task.kind].wanted} found"
        assert all(
            value == (not METRICS[name].higher_is_better) or name == "copied"  # no text is no copy
            for name, value in score.values.items()
            if name in METRICS
        )


def test_what_it_says_is_text_and_evidence_is_json(sample: Sample) -> None:
    task, examples = understood(sample)
    kind = KINDS[task.kind]
    assert isinstance(kind.instruction(task), str)
    headings = kind.headings(task)
    assert len(set(headings)) == len(headings) == 2
    assert all(name.strip() and "\n" not in name for name in headings)
    assert all(isinstance(name, str) for name in kind.features(examples[0].target))
    for text in (examples[0].target, sample.wrong, sample.unreadable):
        score = graded(task, examples[0], text)
        answer = Answer(
            score.example_id, text, score.status, score.answer, score.values, evidence=score.evidence
        )
        assert from_json(Answer, json.loads(json.dumps(to_json(answer)))) == answer


def test_its_metrics_exist_and_can_each_be_the_primary_one(sample: Sample) -> None:
    task, examples = understood(sample)
    assert set(task.metrics) <= set(METRICS)
    assert {task.row_metric, *KINDS[task.kind].metrics} <= set(task.metrics)
    scores = [graded(task, example, example.target) for example in examples]
    assert task.row_metric in scores[0].values
    texts = [example.target for example in examples]
    for name in understand(loaded_of(examples), task.kind)[0].metrics:
        other, _ = understand(loaded_of(examples), task.kind, name)
        assert other.primary == name
        totals = primary_rows(other, examples, scores, texts).sum(axis=0)
        assert float(METRICS[name].value(totals)) == pytest.approx(
            measures(other, examples, scores, texts)[0].value
        )


def test_prompts_can_be_made(sample: Sample) -> None:
    task, examples = understood(sample)
    shots = pick_shots(task, examples, 3, seed=0)
    assert len(shots) == 3
    assert zero_shot(task, examples[0])[-1] == Message("user", examples[0].prompt[-1].content)
    assert len(few_shot(task, shots, examples[0])) >= 7


class Sums(Kind):
    """A kind that rung does not have: sums, right where the number is."""

    name = "sums"
    title = "Sums"
    metrics = ("accuracy",)
    row_metric = "accuracy"
    wanted = "number"
    any_text = False

    def infer(self, loaded: object) -> str:
        return ""

    def parse(self, task: Task, text: str) -> str | None:
        return text.strip() if text.strip().isdigit() else None

    def grade(self, task: Task, example: Example, answer: str | None) -> Grade:
        right = answer == example.target
        return Grade({"accuracy": float(right)}, {"wanted": example.target, "got": answer})

    def instruction(self, task: Task) -> str:
        return "Answer with the sum."


def test_a_kind_from_outside_is_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    own: Registry[Kind] = Registry("task")
    for _, kind in KINDS.items():
        own.add(kind.name, kind)
    monkeypatch.setattr(KINDS, "_items", own._items)
    register(Sums())
    sums = rows((f"{i} + {i}", str(2 * i)) for i in range(30))
    task = task_of(sums, make_settings({"task": "sums"}).task)
    assert (task.kind, task.why, task.metrics) == ("sums", "Sums: asked for.", ("accuracy",))
    assert from_json(Task, to_json(task)) == task
    assert zero_shot(task, sums[0])[0] == Message("system", "Answer with the sum.")
    scores = [graded(task, one, text) for one, text in zip(sums, ["0", "2", "5", "?"], strict=False)]
    assert [score.status for score in scores] == ["ok", "ok", "ok", "unparsed"]
    found = measures(task, sums[:4], scores, ["0", "2", "5", "?"])
    assert (found[0].name, found[0].value) == ("accuracy", 0.5)
    assert task_of(sums, hint="sums").kind != "sums"  # its own `infer` does not claim them
