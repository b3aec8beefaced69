"""TF-IDF with logistic regression."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rung
from rows_of import rows, task_of
from rung.data import example_of
from rung.ladder.classical import regression, words
from rung.records import Example, Message

COLOURS = {"red": "fire blood rose", "blue": "sky sea ice", "green": "grass leaf moss"}


def colours(n: int, seed: int = 0, labels: int = 3) -> list[Example]:
    rng = random.Random(seed)
    picked = [list(COLOURS)[i % labels] for i in range(n)]
    return rows(
        (f"{rng.choice(COLOURS[one].split())} {rng.choice('abcdefgh')}{i} thing", one)
        for i, one in enumerate(picked)
    )


def fit(examples: list[Example], seed: int = 0) -> words.Fitted[words.Words]:
    middle = 3 * len(examples) // 4
    return words.fit(task_of(examples, "classification"), examples[:middle], examples[middle:], seed)


def right(fitted: words.Fitted[words.Words], examples: list[Example]) -> float:
    answers = fitted.responder.answer(examples)
    return float(np.mean([one.text == row.target for one, row in zip(answers, examples, strict=True)]))


@pytest.mark.parametrize("labels", [2, 3])
def test_it_learns_which_words_go_with_which_label(labels: int) -> None:
    fitted = fit(colours(120, labels=labels))
    assert right(fitted, colours(60, seed=1, labels=labels)) > 0.95
    assert [choice.name for choice in fitted.choices] == ["n-grams", "C"]
    assert fitted.choices[0].chosen in fitted.choices[0].tried
    assert float(fitted.choices[1].chosen) in words.CS
    assert fitted.parameters > 0


def test_scores_are_log_probabilities() -> None:
    fitted, new = fit(colours(120)), colours(9, seed=2)
    scores = fitted.responder.score(new, ["blue", "violet", "Red", "green"])
    assert scores.shape == (9, 4)
    assert np.exp(scores[:, [0, 2, 3]]).sum(1) == pytest.approx(1)
    assert (scores[:, 1] == regression.UNKNOWN).all()
    best = [["blue", "", "red", "green"][i] for i in scores.argmax(1)]
    assert best == [one.text for one in fitted.responder.answer(new)]
    assert fitted.responder.score(new, ["violet"]).tolist() == [[regression.UNKNOWN]] * 9


def test_the_same_rows_and_seed_give_the_same_model() -> None:
    one, two = fit(colours(60), 3), fit(colours(60), 3)
    assert one.choices == two.choices
    assert np.array_equal(one.responder.weights, two.responder.weights)


def test_a_row_is_answered_the_same_alone_and_with_others() -> None:
    responder, new = fit(colours(60)).responder, colours(20, seed=4)
    together = responder.score(new, ["red", "blue"])
    alone = np.concatenate([responder.score([one], ["red", "blue"]) for one in new])
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("per_label", [1, 2, 3])
def test_few_rows_of_a_label(per_label: int) -> None:
    examples = rows((f"word{i} number {j}", f"label{i}") for i in range(12) for j in range(per_label))
    assert right(fit(examples), examples) == 1


def test_too_few_rows_for_a_choice() -> None:
    fitted = fit(rows([("red rose", "a"), ("blue sea", "b"), ("red fire", "a"), ("blue sky", "b")]))
    assert fitted.choices == ()
    assert "too few rows" in fitted.notes[0]
    assert right(fitted, rows([("a red", "a"), ("a blue", "b")])) == 1


@pytest.mark.parametrize("questions", [["same"] * 20, [""] * 20, ["!", "?"] * 10])
def test_texts_that_say_nothing(questions: list[str]) -> None:
    examples = rows((question, "yes" if i % 4 else "no") for i, question in enumerate(questions))
    assert {one.text for one in fit(examples).responder.answer(examples)} <= {"yes", "no"}


def test_one_label() -> None:
    fitted = fit(rows((f"row {i}", "spam") for i in range(20)))
    new = rows([("row", "?")])
    assert [one.text for one in fitted.responder.answer(new)] == ["spam"]
    assert fitted.responder.score(new, ["spam"]).tolist() == [[0.0]]


def test_any_script_and_one_word() -> None:
    texts = {"ja": "赤い車が好き", "ru": "красная машина", "th": "รถสีแดง", "emoji": "🙂🙂", "one": "yes"}
    examples = rows((f"{text} {i}", label) for i in range(6) for label, text in texts.items())
    assert right(fit(examples), rows((text, label) for label, text in texts.items())) == 1


def test_earlier_turns_count() -> None:
    def talk(first: str, target: str, row: int) -> Example:
        asked = [Message("user", first), Message("assistant", "ok"), Message("user", "so?")]
        return example_of([*asked, Message("assistant", target)], row)

    examples = [
        talk(f"it is {'hot' if i % 2 else 'cold'} {i}", "summer" if i % 2 else "winter", i) for i in range(30)
    ]
    assert right(fit(examples), [talk("very hot", "summer", 1), talk("very cold", "winter", 2)]) == 1


def test_coordinates_keep_products() -> None:
    from scipy import sparse

    matrix = sparse.csr_array(np.random.default_rng(0).random((6, 40)).astype(np.float32))
    rotated = words.turned(matrix)
    assert rotated.shape == (6, 6)
    assert rotated @ rotated.T == pytest.approx((matrix @ matrix.T).toarray(), abs=1e-4)


def test_many_labels_and_rows() -> None:
    rng = random.Random(0)
    examples = rows(
        (f"topic{i % 40} {' '.join(rng.choices('abcdefghij', k=4))} {i}", f"label {i % 40}")
        for i in range(1500)
    )
    fitted = fit(examples)
    assert right(fitted, examples[::10]) > 0.95
    assert fitted.notes == ("n-grams and C were chosen on 1,000 of 1,500 rows",)


def test_a_fresh_process_answers_the_same_without_torch(tmp_path: Path) -> None:
    fitted, new = fit(colours(60)), colours(12, seed=5)
    fitted.responder.save(tmp_path / "words")
    code = (
        "import sys\nfrom pathlib import Path\nfrom rung.data import example_of\n"
        "from rung.records import Message\nfrom rung.ladder.classical import constant, nearest, words\n"
        "loaded = words.load(Path(sys.argv[1]))\n"
        "asked = [[Message('user', text), Message('assistant', '?')] for text in sys.argv[2:]]\n"
        "rows = [example_of(turns, 1) for turns in asked]\n"
        "print(*(one.text for one in loaded.answer(rows)))\n"
        "print(*(float(x).hex() for x in loaded.score(rows, loaded.labels).ravel()))\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "words"), *(one.prompt[0].content for one in new)],
        env={**os.environ, "PYTHONPATH": str(Path(rung.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    scores = fitted.responder.score(new, fitted.responder.labels)
    assert done.stdout.splitlines() == [
        " ".join(one.text for one in fitted.responder.answer(new)),
        " ".join(float(x).hex() for x in scores.ravel()),
        "[]",
    ]


def test_it_applies_where_there_are_labels() -> None:
    examples = colours(30)
    assert words.applies(task_of(examples))
    assert not words.applies(task_of(examples, "generation"))
    assert words.KIND == "classical"
