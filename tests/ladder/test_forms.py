"""Answers in the task's form: tried on dev by every rung that writes, and kept with the saved answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contexts import context_of
from rows_of import loaded_of, rows
from rung.config import make_settings
from rung.errors import BaseModelError
from rung.evaluation.metrics import grade
from rung.evaluation.tasks import understand
from rung.evaluation.tasks.multi_label import labels_of
from rung.generate.grammars import Grammars
from rung.ladder import forms, prompting, trials, tuned_dev, tuning
from rung.ladder.answer_by import WRITING, AnswerBy, Answering
from rung.ladder.forms import can_keep
from rung.ladder.options import attach
from rung.ladder.prepare import Prepared, prepare
from rung.ladder.rungs import RUNGS
from rung.ladder.speaking import base_of
from rung.ladder.trials import CONSTRAINED, GENERATE
from rung.ladder.tuned_dev import DevJudge, DevScores, choose_answer
from rung.ladder.understood import Understood
from rung.ladder.watch import Late, Silent
from rung.records import Completion
from tiny_model import shake


@pytest.fixture(scope="module")
def bills() -> Prepared:
    """60 rows whose targets are JSON objects, for tiny."""
    pairs = [
        (f"{('bill', 'note')[i % 2]} {i}", json.dumps({"kind": ("bill", "note")[i % 2], "n": str(i)}))
        for i in range(60)
    ]
    task, loaded = understand(loaded_of(rows(pairs)))
    return prepare(Understood(loaded, None, task, ""), make_settings({"base": "tiny", "precision": "fp32"}))


@pytest.fixture
def tuned(bills: Prepared) -> Iterator[Prepared]:
    attached = attach(bills, "lora")
    shake(attached.parameters())
    attached.updated()
    yield bills
    attached.detach()


def test_a_task_with_a_schema_has_a_form(bills: Prepared, prepared: Prepared) -> None:
    assert can_keep(bills)
    assert not can_keep(prepared)
    assert bills.task.metrics[-2:] == ("schema_valid", "made_up")
    assert bills.task.facts["schema"]["properties"]["kind"]["enum"]


def test_a_base_that_cannot_keep_to_it_says_so(bills: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> Grammars:
        raise BaseModelError("answers of this base cannot be kept to a grammar", why="no such tokens")

    monkeypatch.setattr(Grammars, "of", refuse)
    said: list[str] = []
    assert not can_keep(bills, said.append)
    assert said == [
        "answers are written freely: answers of this base cannot be kept to a grammar: no such tokens"
    ]


def test_prompting_does_not_lose_on_format_alone(bills: Prepared) -> None:
    """An untrained base writes no JSON at all; in the form every answer keeps to the schema."""
    outcome = RUNGS["zero-shot"].run(context_of(bills), None)
    chosen = {one.name: one for one in outcome.choices}
    assert chosen["answer by"].chosen == CONSTRAINED
    assert chosen["answer by"].tried[GENERATE] == 0
    answers = outcome.responder.answer(bills.split.test)
    scores = [grade(bills.task, one, said) for one, said in zip(bills.split.test, answers, strict=True)]
    assert {score.values["schema_valid"] for score in scores} == {1.0}


def test_a_saved_prompt_answers_in_its_form_again(bills: Prepared, tmp_path: Path) -> None:
    outcome = RUNGS["zero-shot"].run(context_of(bills), None)
    outcome.responder.save(tmp_path / "saved")
    rows = bills.split.test
    assert prompting.load(tmp_path / "saved").answer(rows) == outcome.responder.answer(rows)


def test_a_tuned_model_is_kept_to_the_form_where_both_are_as_good(tuned: Prepared) -> None:
    made = DevScores(tuned, tuned.split.dev, 8)
    values = made.values(tuned.speaker)
    assert set(values) == {GENERATE, CONSTRAINED}
    by, choice, said = choose_answer(made, tuned.speaker, labels_cheaper=False)
    assert values[CONSTRAINED] >= values[GENERATE]
    assert (by.name, by.constrained, choice.chosen) == (CONSTRAINED, True, CONSTRAINED)
    assert said.startswith("answers by writing in the task's form: field F1")


def test_what_is_better_freely_is_written_freely(tuned: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    made = DevScores(tuned, tuned.split.dev, 8)
    monkeypatch.setattr(made, "values", lambda *_: {GENERATE: 0.9, CONSTRAINED: 0.8})
    assert choose_answer(made, tuned.speaker, labels_cheaper=False)[0] == WRITING

    def late(*_: object) -> None:
        raise Late

    monkeypatch.setattr(made, "values", late)
    assert choose_answer(made, tuned.speaker, labels_cheaper=False)[0] == WRITING


def test_free_answers_are_those_that_are_written_without_a_form(tuned: Prepared) -> None:
    made = DevScores(tuned, tuned.split.dev, 8)
    found = made._answers(tuned.speaker, None)
    free = DevScores(tuned, tuned.split.dev, 8, forms=False)._answers(tuned.speaker, None)
    assert found[GENERATE] == free[GENERATE]
    assert list(free) == [GENERATE]


def test_rows_whose_form_changed_nothing_are_read_once(
    bills: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, bool]] = []

    def write(
        _: object, examples: list[object], *__: object, grammars: object = None, **___: object
    ) -> list[Completion]:
        asked.append((len(examples), grammars is not None))
        return [Completion(one.id, one.target, 1, altered=i < 3) for i, one in enumerate(examples)]  # type: ignore[attr-defined]

    monkeypatch.setattr(tuned_dev, "write", write)
    DevScores(bills, bills.split.dev, 8).read(bills.speaker)
    rows = len(bills.split.dev[:8])
    assert asked == [(rows, True), (3, False)]
    asked.clear()
    monkeypatch.setattr(trials, "write", write)
    from rung.ladder.ways import Asker, Way

    asker = Asker(bills.speaker, bills.task, Way("with instruction"), 500)
    both = trials.trials_of(asker, bills.split.dev, (), 9, lambda _: Silent().rows, constrained=True)
    for trial in both:
        trial.read(rows)
    assert [trial.first for trial in both] == [CONSTRAINED, GENERATE]
    assert asked == [(rows, True), (3, False)]


def test_a_saved_adapter_answers_in_its_form_again(tuned: Prepared, tmp_path: Path) -> None:
    by = AnswerBy(CONSTRAINED)
    about = base_of(tuned)
    made = tuning.responder(tuned.speaker, None, tuned.max_new_tokens, tmp_path, about, by, tuned.task)
    made.save(tmp_path / "saved")
    kept = json.loads((tmp_path / "saved" / "answer.json").read_text())
    assert kept["answer_by"]["name"] == CONSTRAINED
    assert kept["task"]["facts"]["schema"] == tuned.task.facts["schema"]
    rows = tuned.split.test
    wanted = Answering(tuned.speaker, by, tuned.max_new_tokens, tuned.task).answer(
        rows, tuned.speaker.renderer.prompts(rows, [one.prompt for one in rows])
    )
    assert made.answer(rows) == wanted
    assert wanted != Answering(tuned.speaker, WRITING, tuned.max_new_tokens).answer(
        rows, tuned.speaker.renderer.prompts(rows, [one.prompt for one in rows])
    )


def test_looks_at_dev_in_training_write_freely(tuned: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "can_keep", lambda *_: pytest.fail("asked"))
    assert list(DevJudge(tuned, 8)._scores._answers(tuned.speaker, None)) == [GENERATE]


def test_its_quote_counts_both_ways(bills: Prepared) -> None:
    from contexts import SIZE, SLOW, WORK
    from rung.ladder.prompt_forecast import Ask, prompt_seconds

    one = [[Ask(10.0, 20.0), Ask(30.0, 20.0)]]
    free = prompt_seconds(WORK, SLOW, SIZE, one)[1]
    both = prompt_seconds(replace(WORK, constrained=True), SLOW, SIZE, one)[1]
    assert free < both < 2.5 * free


@pytest.fixture(scope="module")
def calls() -> Prepared:
    """60 rows that call one of two tools; the tools are in a catalogue, not in the rows."""
    pairs = [(f"do {i}", f"{('open', 'shut')[i % 2]}(n={i})") for i in range(60)]
    tools = [
        {"call": name, "tool": True, "arguments": ["n"], "types": ["integer"]} for name in ("open", "shut")
    ]
    facts = {"apis": {"file": "apis.jsonl", "sha256": "open and shut", "entries": tools}}
    task, loaded = understand(loaded_of(rows(pairs)), facts=facts)
    return prepare(Understood(loaded, None, task, ""), make_settings({"base": "tiny", "precision": "fp32"}))


@pytest.fixture(scope="module")
def labelled() -> Prepared:
    """60 rows with one to three of four labels."""
    names = ("red", "green", "blue", "grey")
    pairs = [(f"text {i}", "; ".join(names[i % 4 :][: 1 + i % 3])) for i in range(60)]
    task, loaded = understand(loaded_of(rows(pairs)))
    return prepare(Understood(loaded, None, task, ""), make_settings({"base": "tiny", "precision": "fp32"}))


def test_a_prompt_calls_only_what_exists(calls: Prepared) -> None:
    outcome = RUNGS["zero-shot"].run(context_of(calls), None)
    assert {one.name: one for one in outcome.choices}["answer by"].chosen == CONSTRAINED
    answers = outcome.responder.answer(calls.split.test)
    scores = [grade(calls.task, one, said) for one, said in zip(calls.split.test, answers, strict=True)]
    assert {score.values["hallucination"] for score in scores} == {0.0}
    assert {score.status for score in scores} == {"ok"}
    free = Answering(calls.speaker, WRITING, calls.max_new_tokens, calls.task)
    said = free.answer(
        calls.split.test,
        calls.speaker.renderer.prompts(calls.split.test, [one.prompt for one in calls.split.test]),
    )
    assert {grade(calls.task, one, a).status for one, a in zip(calls.split.test, said, strict=True)} != {"ok"}


def test_a_tuned_model_calls_only_what_exists(calls: Prepared) -> None:
    attached = attach(calls, "lora")
    shake(attached.parameters())
    attached.updated()
    made = DevScores(calls, calls.split.dev, 8)
    found = made._answers(calls.speaker, None)[CONSTRAINED]
    attached.detach()
    scores = [grade(calls.task, one, said) for one, said in zip(made.examples, found, strict=True)]
    assert {score.values["hallucination"] for score in scores} == {0.0}


def test_a_prompt_gives_no_label_twice_and_none_that_is_made_up(labelled: Prepared) -> None:
    assert labelled.task.kind == "multi_label"
    outcome = RUNGS["zero-shot"].run(context_of(labelled), None)
    assert {one.name: one for one in outcome.choices}["answer by"].chosen == CONSTRAINED
    known = labels_of(labelled.task)
    for answer in outcome.responder.answer(labelled.split.test):
        said = answer.text.strip().split("; ")
        assert said == [one for one in known if one in said]
        assert len(said) <= 3


def test_a_form_is_that_of_any_train_row(calls: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    last = calls.split.train[-1].id
    kept = "start: /a+/\n"
    monkeypatch.setattr(forms, "grammars", lambda _, some: [kept if one.id == last else "" for one in some])
    assert can_keep(calls)
