"""The best answer that does not look at the row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rows_of import of_targets, rows, task_of
from rung.ladder.classical import constant
from rung.ladder.classical.constant import Constant
from rung.records import Example, Task


def answer_of(examples: list[Example], task: Task | None = None, seed: int = 0) -> str:
    fitted = constant.fit(task or task_of(examples), examples[::2], examples[1::2], seed)
    answers = {one.text for one in fitted.responder.answer(examples)}
    assert len(answers) == 1
    return answers.pop()


def test_the_commonest_label() -> None:
    assert answer_of(of_targets("no", "yes", "yes", "maybe", times=20)) == "yes"


def test_one_label() -> None:
    assert answer_of(of_targets("spam", times=30)) == "spam"


def test_the_commonest_value_of_each_field() -> None:
    pairs = [("Paris", 1), ("Paris", 2), ("Rome", 2), ("Paris", 3), ("Oslo", 2)] * 6
    targets = [
        json.dumps({"city": c, "place": {"n": n}, **({"id": i} if i % 3 else {})})
        for i, (c, n) in enumerate(pairs)
    ]
    assert json.loads(answer_of(of_targets(*targets))) == {"city": "Paris", "place": {"n": 2}}


def test_a_field_that_is_mostly_wrong_is_left_out() -> None:
    targets = [json.dumps({"kind": "order", "number": i, "name": f"n{i}"}) for i in range(40)]
    assert json.loads(answer_of(of_targets(*targets))) == {"kind": "order"}


def test_lists_of_objects() -> None:
    targets = [json.dumps([{"unit": "kg", "n": i}]) for i in range(30)]
    assert json.loads(answer_of(of_targets(*targets))) == [{"unit": "kg"}]


def test_a_field_that_is_an_object_here_and_a_number_there() -> None:
    targets = ['{"a": {"b": 1}}', '{"a": 2}', '{"a": {"b": 1}}'] * 10
    assert json.loads(answer_of(of_targets(*targets))) == {"a": {"b": 1}}


def test_the_commonest_call_however_it_is_written() -> None:
    targets = ["f(a=1, b=2)", "f(b=2, a=1)", "g(a=1)", "f(a=1,b=2)", "g(a=2)"] * 6
    assert answer_of(of_targets(*targets)) in {"f(a=1, b=2)", "f(b=2, a=1)", "f(a=1,b=2)"}


def test_free_text_is_the_target_most_like_the_others() -> None:
    odd = [f"word{i} thing{i}" for i in range(10)]
    usual = [f"the order {i} was shipped today" for i in range(20)]
    examples = rows((f"q{i}", target) for i, target in enumerate([*odd, *usual]))
    assert "was shipped today" in answer_of(examples, task_of(examples, "generation"))


def test_a_translation_is_measured_against_the_text_itself() -> None:
    names = [f"Marie{i} Dupont{i}" for i in range(40)]
    examples = rows((f"Translate: {name} eats", f"{name} mange") for name in names)
    fitted = constant.fit(task_of(examples, "translation"), examples, ())
    assert fitted.responder.answer(examples)[3].text.strip() == f"{names[3]}"
    assert fitted.choices[0].chosen == "the text of the question itself"
    assert len(fitted.choices[0].tried) > 1


def test_another_metric_changes_the_answer() -> None:
    targets = ["f(1)", "f(2)", "f(3)", "g(1)", "g(1)"] * 8
    examples = of_targets(*targets)
    task = task_of(examples, "api_call")
    assert answer_of(examples, task) == "g(1)"
    by_function = Task(task.kind, "", ("function_match", "exact_call"), functions=task.functions)
    assert answer_of(examples, by_function).startswith("f(")


def test_same_rows_same_answer() -> None:
    examples = rows((f"q{i}", f"answer {i % 7} of {i}") for i in range(500))
    task = task_of(examples, "generation")
    assert answer_of(examples, task, seed=1) == answer_of(examples, task, seed=1)


@pytest.mark.parametrize("constant_", [Constant("é\n{}"), Constant(None)])
def test_saved_it_answers_the_same(constant_: Constant, tmp_path: Path) -> None:
    examples = rows([("one", "x"), ("", "y")])
    constant_.save(tmp_path / "constant")
    loaded = constant.load(tmp_path / "constant")
    assert loaded.answer(examples) == constant_.answer(examples)
    assert loaded.score(examples, ["x"]) is None


def test_its_title_is_short() -> None:
    assert len(Constant("word " * 100).title) < 100
    assert constant.applies(task_of(of_targets("a", "b", times=10)))
    assert constant.KIND == "floor"


def test_the_chosen_answer_is_shown_with_its_own_value() -> None:
    beginning = "word " * 20
    examples = rows((f"q{i}", beginning + ("right" if i % 3 else f"wrong {i}")) for i in range(60))
    task = task_of(examples, "generation")
    choice = constant.fit(task, examples, ()).choices[0]
    best = max(value for value in choice.tried.values() if value is not None)
    assert choice.tried[choice.chosen] == best
