"""Translation: how it is recognised."""

from __future__ import annotations

from rows_of import of_targets, rows, task_of
from rung.evaluation.tasks.translation import languages

GERMAN = [
    ("Where is the old house that you have seen?", "Wo ist das alte Haus, das du gesehen hast?"),
    ("She does not want to go with him.", "Sie will nicht mit ihm gehen."),
    ("I have the keys and the money for you.", "Ich habe die Schlüssel und das Geld für dich."),
    ("He was not at the station.", "Er war nicht auf dem Bahnhof."),
]
RUSSIAN = [(question, "Я не знаю, где этот старый дом.") for question, _ in GERMAN]


def test_translation_is_seen_by_its_languages() -> None:
    task = task_of(rows([(f"{a} {i}", f"{b} {i}") for i in range(8) for a, b in GERMAN]))
    assert (task.kind, task.fields, task.primary) == ("translation", ("English", "German"), "chrf")
    assert languages(rows([(b, a) for a, b in GERMAN])) == ("German", "English")
    assert languages(rows(RUSSIAN)) == ("English", "Russian")
    assert languages(rows([(a, a) for a, _ in GERMAN])) is None
    assert languages(of_targets("1 + 1", "2 + 2")) is None


def test_translation_is_seen_by_what_the_prompt_says() -> None:
    pairs = [(f"Translate to Klingon: stone {i}", f"nagh {i} nagh nagh") for i in range(30)]
    task = task_of(rows(pairs))
    assert (task.kind, task.fields) == ("translation", ())
    assert task_of(rows([(q.replace("Translate", "Say it"), a) for q, a in pairs])).kind == "generation"


def test_a_long_answer_in_another_language_is_not_a_translation() -> None:
    pairs = [(f"{a} {i}", f"{b} " * 9 + str(i)) for i in range(8) for a, b in GERMAN]
    assert task_of(rows(pairs)).kind == "generation"


def test_a_file_that_names_its_languages() -> None:
    words = rows([(f"stone {i}", f"nagh {i}") for i in range(24)])
    task = task_of(words, hint="translation", languages=("English", "Klingon"))
    assert (task.kind, task.fields) == ("translation", ("English", "Klingon"))
    assert task.why == "Translation: 24 pairs, from English to Klingon, as the file says."
    assert task_of(words[:1], hint="translation").why == "Translation: 1 pair, as the file says."
    assert task_of(words, "translation", languages=("English", "Klingon")).fields == ("English", "Klingon")
