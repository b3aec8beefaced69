"""Whether a passage holds the answer: hand-made cases."""

from __future__ import annotations

import pytest

from rows_of import rows, task_of
from rung.evaluation.supports import first, is_measured
from rung.records import Example, Task

HUB = "torch.hub.load(repo_or_dir='snakers4/silero-models', model='silero_stt', pretrained=True)"
CALLS = task_of(rows([("hear", HUB), ("see", HUB.replace("stt", "tts"))]), "api_call")
FACTS = task_of(rows([("q", "a")]), "knowledge")


def asked(task: Task, question: str, target: str) -> tuple[Task, Example]:
    return task, rows([(question, target)])[0]


def has(given: tuple[Task, Example], *texts: str) -> int | None:
    return first(*given, texts)


def test_a_call_is_found_however_it_is_written() -> None:
    given = asked(CALLS, "Turn speech into text", HUB)
    same = 'load it: torch.hub.load("snakers4/silero-models", "silero_stt")'
    assert has(given, "nothing", same) == 1
    assert has(given, f"api_call: {HUB}") == 0
    assert has(given, HUB.replace("stt", "tts"), "torch.hub.load") is None


def test_what_the_row_says_itself_need_not_be_in_the_passage() -> None:
    given = asked(CALLS, "Will it rain in Oslo?", "weather.get(city='Oslo', unit='celsius')")
    assert has(given, "weather.get(city, unit): unit is 'celsius' or 'kelvin'") == 0
    assert has(given, "weather.get(city): the weather of a city") is None
    assert has(given, "unit celsius for Oslo") is None


def test_an_answer_is_found_by_its_words_or_most_of_its_own() -> None:
    given = asked(FACTS, "Where was Ada Quill born?", "Ada Quill was born in Tarnow, near the river Biala.")
    assert has(given, "Quill, a writer, comes from Tarnow near the Biala (a river).") == 0
    assert has(given, "Ada Quill was born somewhere else.") is None
    assert has(asked(FACTS, "Who?", "The King"), "It was 'the  king' himself") == 0


def test_an_answer_that_only_repeats_its_question_is_not_found_by_words() -> None:
    assert has(asked(FACTS, "Is tea good?", "Tea is good."), "Coffee is better.") is None


@pytest.mark.parametrize(
    ("kind", "wanted"), [("api_call", True), ("knowledge", True), ("generation", True), ("extraction", False)]
)
def test_the_tasks_whose_answers_are_looked_up(kind: str, wanted: bool) -> None:
    assert is_measured(Task(kind, "", ("exact_match",))) is wanted
    assert not is_measured(Task("classification", "", ("accuracy",), labels=("a", "b")))
