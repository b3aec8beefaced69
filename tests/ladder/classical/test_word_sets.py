"""TF-IDF where rows have several labels: it learns them, keeps what it learned, and handles few rows."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from rows_of import rows, task_of
from rung.errors import RungError
from rung.ladder.classical import word_sets, words
from rung.records import Example

WORDS = {
    "billing": "invoice refund card",
    "shipping": "parcel courier late",
    "quality": "broken faulty crack",
}


def notes(n: int, seed: int = 0, least: int = 1) -> list[Example]:
    rng = random.Random(seed)
    made = []
    for i in range(n):
        named = rng.sample(sorted(WORDS), rng.randint(least, 3))
        text = " ".join(rng.choice(WORDS[one].split()) for one in named)
        made.append((f"hello {text} number {i}", "; ".join(named) or "none"))
    return rows(made)


@pytest.mark.parametrize("least", [0, 1])
def test_it_learns_several_labels_and_keeps_them(least: int, tmp_path: Path) -> None:
    examples, new = notes(150, least=least), notes(40, seed=1, least=least)
    task = task_of(examples)
    assert word_sets.applies(task)
    found = word_sets.fit(task, examples[:100], examples[100:])
    answers = found.responder.answer(new)
    right = [
        set(one.text.split("; ")) == set(row.target.split("; "))
        for one, row in zip(answers, new, strict=True)
    ]
    assert np.mean(right) > 0.9
    assert [choice.name for choice in found.choices] == ["n-grams", "C", "threshold"]
    found.responder.save(tmp_path / "saved")
    assert word_sets.load(tmp_path / "saved").answer(new) == answers
    assert found.responder.score(new, ["billing"]) is None


def test_one_label_a_row_is_left_to_words(tmp_path: Path) -> None:
    examples = rows((f"{'red' if i % 2 else 'blue'} thing {i}", "a" if i % 2 else "b") for i in range(40))
    found = word_sets.fit(task_of(examples, "classification"), examples[:30], examples[30:])
    assert isinstance(found.responder, words.Words)
    found.responder.save(tmp_path / "saved")
    assert isinstance(word_sets.load(tmp_path / "saved"), words.Words)


def test_few_rows_and_empty_texts() -> None:
    examples = rows([("a b", "x; y"), ("a", "x"), ("b", "y"), ("a b c", "x; y")])
    found = word_sets.fit(task_of(examples, "multi_label"), examples, ())
    assert "too few rows" in found.notes[0]
    empty = rows(("", target) for target in ("x; y", "x", "y", "x") * 5)
    answers = word_sets.fit(task_of(empty, "multi_label"), empty, ()).responder.answer(empty[:2])
    assert all(one.text for one in answers)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    examples = notes(40)
    word_sets.fit(task_of(examples), examples, ()).responder.save(tmp_path / "saved")
    file = tmp_path / "saved" / "responder.json"
    file.write_text(file.read_text().replace('"share"', '"shard"'))
    with pytest.raises(RungError):
        word_sets.load(tmp_path / "saved")
