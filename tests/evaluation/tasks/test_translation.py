"""Translation: how it is recognised, and what is counted next to chrF: copies, empty answers, length."""

from __future__ import annotations

from rows_of import of_targets, rows, task_of
from rung.evaluation.metrics import grade, measures
from rung.evaluation.tasks import doubts
from rung.evaluation.tasks.translation import languages, same_text, source_of
from rung.records import Completion

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


def test_copies_empty_answers_and_length_by_hand() -> None:
    task = task_of(rows([(f"{a} {i}", f"{b} {i}") for i in range(8) for a, b in GERMAN]))
    examples = rows([*GERMAN, ("Tokyo 2020", "Tokyo 2020")])
    texts = [
        GERMAN[0][1],
        "she does not want to go with HIM!",  # the source again
        "",
        "Er war nicht auf dem Bahnhof. Er war nicht auf dem Bahnhof.",
        "Tokyo 2020",  # the target is the source too: no copy
    ]
    scores = [
        grade(task, one, Completion(one.id, text, 1)) for one, text in zip(examples, texts, strict=True)
    ]
    assert [one.values["copied"] for one in scores] == [0, 1, 0, 0, 0]
    assert [one.values["empty"] for one in scores] == [0, 0, 1, 0, 0]
    found = {one.name: one for one in measures(task, examples, scores, texts)}
    # words and punctuation: answers 11 + 9 + 0 + 14 + 2, targets 11 + 7 + 10 + 7 + 2
    assert found["length_ratio"].value == (11 + 9 + 0 + 14 + 2) / (11 + 7 + 10 + 7 + 2)
    assert (found["copied"].value, found["empty"].value) == (1 / 5, 1 / 5)
    assert not found["copied"].higher_is_better
    assert "1 is best" in found["length_ratio"].note


def test_an_instruction_around_the_source_is_no_part_of_it() -> None:
    pairs = [(f"Translate to German: {a} Thanks!", b) for a, b in GERMAN] * 6
    examples = rows(pairs)
    task = task_of(examples, "translation")
    assert source_of(task, examples[1]) == "She does not want to go with him."
    score = grade(task, examples[1], Completion("x", GERMAN[1][0], 1))
    assert score.values["copied"] == 1


def test_what_a_copy_is() -> None:
    source = "one two three four five six seven eight nine ten"
    assert same_text(source.upper(), source)
    assert same_text("one two three four five six seven eight neuf dix", source)  # 8 of 10
    assert not same_text("one two three four five six seven huit neuf dix", source)
    assert not same_text("one two three", source)
    assert same_text("!?", "!?")
    assert not same_text("", "")


def test_a_target_that_is_its_source_is_named() -> None:
    task = task_of(rows([(f"{a} {i}", f"{b} {i}") for i in range(8) for a, b in GERMAN]))
    found = list(doubts(task, rows([GERMAN[0], ("He left.", "He left. "), ("He left.", "")])))
    assert found == [(2, "has a target that is its own source: translate it, or keep it if it is a name")]
