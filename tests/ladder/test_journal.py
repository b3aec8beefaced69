"""Unfinished answers on disk: what is continued, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rung.errors import ResumeError
from rung.ladder.journal import Journal
from rung.ladder.predictor import Prediction

MARK = {"rung": "words", "rows": "f00d"}
ANSWERS = [Prediction("a", {"a": 0.75, "b": 0.25}), Prediction("", None, "né: empty")]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "out.csv.partial", MARK)
    assert journal.begin() == 0
    journal.append(ANSWERS)
    return journal


def test_answers_come_back_in_their_order(journal: Journal) -> None:
    again = Journal(journal.path, MARK)
    assert again.begin() == 2
    assert list(again.answers()) == ANSWERS


def test_a_line_that_was_cut_short_is_cut_off(journal: Journal) -> None:
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + whole.splitlines(keepends=True)[-1][:-3])
    assert journal.begin() == 2
    assert journal.path.read_bytes() == whole


def test_the_output_is_known_by_its_content(journal: Journal, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    output.write_text("text,answer\n")
    assert not journal.wrote(output)
    journal.end(output)
    assert journal.wrote(output)
    assert list(journal.answers()) == ANSWERS
    assert not Journal(journal.path, MARK | {"rung": "probe"}).wrote(output)
    output.write_text("mine")
    assert not journal.wrote(output)
    assert journal.begin() == 2  # the last line is written again with the output
    assert not journal.path.read_bytes().count(b"sha256")


def test_answers_of_another_command_are_refused(journal: Journal) -> None:
    with pytest.raises(ResumeError, match=r"out\.csv\.partial: .*Different now: rung"):
        Journal(journal.path, MARK | {"rung": "probe"}).begin()


def test_a_changed_line_is_named(journal: Journal) -> None:
    journal.path.write_bytes(journal.path.read_bytes().replace(b"0.75", b"0.76"))
    with pytest.raises(ResumeError, match="line 2 was changed after it was written"):
        journal.begin()
    with pytest.raises(ResumeError, match="line 2 was changed after it was written"):
        list(journal.answers())
