"""What is asked, inferred from targets: on written rows and on the real data sets where they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from rung.data.formats import read_examples
from rung.data.split import sample
from rung.errors import DataError, UsageError
from rung.evaluation.task import METRIC_NAMES, infer, languages, make_task
from rung.records import Example, Message

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def rows(pairs: Sequence[tuple[str, str]]) -> list[Example]:
    return [
        Example(f"{i:016x}", (Message("user", question), Message("assistant", target)), i + 1)
        for i, (question, target) in enumerate(pairs)
    ]


def of_targets(*targets: str, times: int = 1) -> list[Example]:
    return rows([(f"question {i}", target) for i, target in enumerate(targets * times)])


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("sentiment-reviews/train.csv", "classification"),
        ("extraction-snips/train.jsonl", "extraction"),
        ("translation-en-fr/train.jsonl", "translation"),
        ("api-kubectl/train.jsonl", "api_call"),
        ("api-torchhub/train.json", "api_call"),
        ("instructions-broad/train.jsonl", "generation"),
        ("knowledge-authors/train.jsonl", "generation"),
    ],
)
def test_real_data_is_understood_whole_and_in_part(file: str, kind: str) -> None:
    if not (SHARED / file).exists():
        pytest.skip(f"shared/data/{file} is not on this machine")
    examples = read_examples(SHARED / file).examples
    for part in (examples, sample(examples, 200, 0), sample(examples, 40, 1)):
        task = infer(part)
        assert task.kind == kind
        assert task.metrics == METRIC_NAMES[task.kind]
    assert str(min(len(part), 40)) in task.why
    names = {"classification": task.labels, "extraction": task.fields, "api_call": task.functions}
    assert all(bool(found) == (key == kind) for key, found in names.items() if kind != "translation")
    if kind == "translation":
        assert task.fields == ("English", "French")


def test_classification_needs_few_short_labels_used_again() -> None:
    task = infer(of_targets("spam", "ham", "ham ", times=10))
    assert (task.kind, task.labels, task.primary) == ("classification", ("ham", "spam"), "accuracy")
    assert "30 of 30" in task.why
    assert "2 short labels" in task.why
    assert infer(of_targets("not toxic", "toxic", times=20)).kind == "classification"
    assert infer(of_targets(*[f"intent {i}" for i in range(77)], times=6)).kind == "classification"
    assert infer(of_targets(*[f"intent {i}" for i in range(77)], times=2)).kind == "generation"
    assert infer(of_targets(*[f"answer {i}" for i in range(40)])).kind == "generation"
    long = "a label of this many words is hardly a label at all"
    assert infer(of_targets(long, "short", times=20)).kind == "generation"
    assert infer(of_targets("same", times=20)).kind == "generation"


def test_a_few_odd_labels_do_not_matter() -> None:
    assert infer(of_targets(*["yes", "no"] * 20, "maybe so")).kind == "classification"
    assert infer(of_targets(*["yes", "no"] * 20, *[f"odd {i}" for i in range(5)])).kind == "generation"


def test_extraction_bears_five_in_a_hundred_that_are_not_json() -> None:
    objects = [json.dumps({"name": f"n{i}", "age": i} if i % 2 else {"name": f"n{i}"}) for i in range(95)]
    task = infer(of_targets(*objects, *["none"] * 5))
    assert (task.kind, task.fields, task.primary) == ("extraction", ("name", "age"), "field_f1")
    assert infer(of_targets(*objects, *[f"none {i}" for i in range(9)])).kind == "generation"
    assert infer(of_targets("[1, 2]", "[3]", "[4]", "[5]")).kind == "generation"
    assert infer(of_targets('{"label": "a"}', '{"label": "b"}', times=20)).kind == "extraction"


def test_calls_are_found_even_where_they_are_not_quite_python() -> None:
    targets = [f"hub.load('repo{i}', model='m{i}', 'x')" if i % 9 == 0 else f"f(x={i})" for i in range(40)]
    task = infer(of_targets(*targets))
    assert (task.kind, task.primary) == ("api_call", "exact_call")
    assert task.functions == ("f", "hub.load")
    prose = [f"Rome (it fell in {i})" for i in range(40)]
    assert infer(of_targets(*prose)).kind == "generation"


def test_commands_are_told_from_prose() -> None:
    commands = [f"git {('add', 'commit')[i % 3 > 0]} --path=file{i}" for i in range(40)]
    task = infer(of_targets(*commands))
    assert (task.kind, task.functions) == ("api_call", ("git commit", "git add"))
    assert "git" in task.why
    mixed = [c for i in range(15) for c in (f"find . -name {i}", f"ls -l /tmp/{i}", f"grep -r {i} src/")]
    assert infer(of_targets(*mixed)).kind == "api_call"
    prose = [f"the well-known road no. {i} goes to town and/or the sea" for i in range(40)]
    assert infer(of_targets(*prose)).kind == "generation"
    lower = [f"paris is city number {i} of france" for i in range(40)]
    assert infer(of_targets(*lower)).kind == "generation"


GERMAN = [
    ("Where is the old house that you have seen?", "Wo ist das alte Haus, das du gesehen hast?"),
    ("She does not want to go with him.", "Sie will nicht mit ihm gehen."),
    ("I have the keys and the money for you.", "Ich habe die Schlüssel und das Geld für dich."),
    ("He was not at the station.", "Er war nicht auf dem Bahnhof."),
]
RUSSIAN = [(question, "Я не знаю, где этот старый дом.") for question, _ in GERMAN]


def test_translation_is_seen_by_its_languages() -> None:
    task = infer(rows([(f"{a} {i}", f"{b} {i}") for i in range(8) for a, b in GERMAN]))
    assert (task.kind, task.fields, task.primary) == ("translation", ("English", "German"), "chrf")
    assert languages(rows([(b, a) for a, b in GERMAN])) == ("German", "English")
    assert languages(rows(RUSSIAN)) == ("English", "Russian")
    assert languages(rows([(a, a) for a, _ in GERMAN])) is None
    assert languages(of_targets("1 + 1", "2 + 2")) is None


def test_translation_is_seen_by_what_the_prompt_says() -> None:
    pairs = [(f"Translate to Klingon: stone {i}", f"nagh {i} nagh nagh") for i in range(30)]
    task = infer(rows(pairs))
    assert (task.kind, task.fields) == ("translation", ())
    assert infer(rows([(q.replace("Translate", "Say it"), a) for q, a in pairs])).kind == "generation"


def test_a_long_answer_in_another_language_is_not_a_translation() -> None:
    pairs = [(f"{a} {i}", f"{b} " * 9 + str(i)) for i in range(8) for a, b in GERMAN]
    assert infer(rows(pairs)).kind == "generation"


@pytest.mark.parametrize("kind", METRIC_NAMES)
def test_a_task_can_be_forced(kind: str) -> None:
    task = make_task(kind, of_targets('{"a": 1}', "f(x=1)", "yes"))
    assert task.kind == kind
    assert task.metrics == METRIC_NAMES[task.kind]
    assert task.why.endswith(": asked for.")
    expected = {
        "classification": (task.labels, ('{"a": 1}', "f(x=1)", "yes")),
        "extraction": (task.fields, ("a",)),
        "api_call": (task.functions[:1], ("f",)),
    }
    found, wanted = expected.get(kind, (task.labels + task.functions, ()))
    assert found == wanted


def test_unknown_tasks_and_no_rows_are_refused() -> None:
    with pytest.raises(UsageError, match="Did you mean 'classification'"):
        make_task("clasification", [])
    with pytest.raises(DataError, match="no examples"):
        infer([])
