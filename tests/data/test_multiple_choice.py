"""Lists of options with the place of the right one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rung.data.formats import read_examples
from rung.data.multiple_choice import letter_at, lettered
from rung.data.new_rows import Asker
from rung.evaluation.tasks import understand
from rung.storage import write_jsonl

N = 40


def written(folder: Path, options: Sequence[Any], answers: Sequence[Any], **names: str) -> Path:
    """A file of questions; options and answers take turns."""
    asked, listed, right = names.get("asked", "question"), names.get("listed", "choices"), "answer"
    rows = [
        {
            asked: f"Which of these is number {n}?",
            listed: options[n % len(options)],
            names.get("right", right): answers[n % len(answers)],
        }
        for n in range(N)
    ]
    write_jsonl(folder / "q.jsonl", rows)
    return folder / "q.jsonl"


@pytest.mark.parametrize(
    ("answers", "first", "targets"),
    [
        ([0, 2, 1], 0, ["A", "C", "B"]),
        (["0", "2", "1"], 0, ["A", "C", "B"]),
        ([1, 2], 0, ["B", "C"]),  # both ways fit: from 0, as most files count
        ([1, 3, 2], 1, ["A", "C", "B"]),
        ([0, 1, 2, 0], 0, ["A", "B", "C", "A"]),
    ],
)
def test_the_letter_of_the_right_option_is_learned(
    tmp_path: Path, answers: list[Any], first: int, targets: list[str]
) -> None:
    loaded = read_examples(written(tmp_path, [["red", "green", "blue"], ["x", "y", "z"]], answers))
    assert [one.target for one in loaded.examples[: len(targets)]] == targets
    shown = "question: Which of these is number 0?\nchoices: A. red\nB. green\nC. blue"
    assert loaded.examples[0].prompt[-1].content == shown
    assert any(f"counted from {first}" in note for note in loaded.warnings)
    task, _ = understand(loaded)
    assert (task.kind, task.labels) == ("classification", tuple(sorted(set(targets))))


def test_hellaswag_s_names_and_options_that_are_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, [[1, 2], [3.5, 4]], ["1", "0"], asked="ctx", listed="endings", right="label")
    first = read_examples(path).examples[0]
    assert (first.prompt[-1].content.splitlines()[1:], first.target) == (["endings: A. 1", "B. 2"], "B")


@pytest.mark.parametrize(
    ("options", "answers"),
    [
        ([["red", "green"]], ["red", "green"]),  # the answer's own words
        ([["red", "green"]], [0, 5]),  # no place
        ([["red", "green"]], [0, 2]),  # from 0 and from 1
        ([["red", "green"]], [0.5, 1]),
        ([["red"]], [0]),
        ([["red", "green"], "none"], [0, 1]),
    ],
)
def test_other_answers_stay_as_they_are(tmp_path: Path, options: list[Any], answers: list[Any]) -> None:
    found = read_examples(written(tmp_path, options, answers)).examples
    assert [one.target for one in found[: len(answers)]] == [str(one) for one in answers]


def test_new_rows_are_asked_in_the_same_way(tmp_path: Path) -> None:
    loaded = read_examples(written(tmp_path, [["red", "green", "blue"]], [0, 1, 2]))
    (turn,) = Asker(loaded.reading).prompt({"question": "Which?", "choices": ["a", "b", "c"]})
    assert turn.content == "question: Which?\nchoices: A. a\nB. b\nC. c"


def test_letters() -> None:
    assert lettered(["x", 2, True]) == "A. x\nB. 2\nC. true"
    assert [letter_at(value, 1) for value in (1, "2", 3.0)] == ["A", "B", "C"]
    assert [letter_at(value, 1) for value in (0, "x", None, 1.5, 99)] == ["0", "x", "", "1.5", "99"]
