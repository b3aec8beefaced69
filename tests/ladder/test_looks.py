"""Test rows are counted by climb, on this machine, and a failure to count stops nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import letters
from faults import fail_at, no_space
from rung import storage
from rung.data.formats import read_examples
from rung.ladder.climb import climb
from rung.ladder.looks import look, sentence
from rung.ladder.watch import Silent
from rung.records import Example

WORDS = letters.FAST | {"rungs": "constant"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def test_rows(letters_csv: Path) -> tuple[Example, ...]:
    return read_examples(letters_csv).examples[:20]


def test_every_other_climb_counts_once(test_rows: tuple[Example, ...]) -> None:
    assert [look(test_rows, climb) for climb in ("a", "a", "b", "c", "a", "b")] == [0, 0, 1, 2, 2, 2]
    assert look(test_rows[::-1], "d") == 3
    assert look(test_rows[1:], "d") == 0


def test_the_file_holds_fingerprints_alone(test_rows: tuple[Example, ...], cache: Path) -> None:
    look(test_rows, "f00d")
    (file,) = (cache / "looks").iterdir()
    assert storage.read_json(file) == ["f00d"]


@pytest.mark.parametrize("text", ["", "{", "{}", "7"])
def test_a_damaged_file_stops_nothing(test_rows: tuple[Example, ...], cache: Path, text: str) -> None:
    look(test_rows, "a")
    (file,) = (cache / "looks").iterdir()
    file.write_text(text)
    assert look(test_rows, "b") == 0


def test_a_full_disk_stops_nothing(test_rows: tuple[Example, ...]) -> None:
    fail_at(1, no_space())
    try:
        assert look(test_rows, "a") == 0
    finally:
        storage.fault = None


def test_the_sentence() -> None:
    assert sentence(0) == ""
    assert sentence(1).startswith("these test rows have been used by 1 other climb before")
    assert sentence(3).startswith("these test rows have been used by 3 other climbs before")


def test_a_second_climb_on_the_same_test_rows_says_so(letters_csv: Path, tmp_path: Path) -> None:
    class Hearing(Silent):
        def __init__(self) -> None:
            self.said: list[str] = []

        def say(self, text: str) -> None:
            self.said.append(text)

    first = climb(letters_csv, output=tmp_path / "one", **WORDS)
    hearing = Hearing()
    second = climb(letters_csv, output=tmp_path / "two", watcher=hearing, **WORDS | {"rank": 4})
    assert sentence(1) not in first.info.notes
    assert sentence(1) in second.info.notes
    assert sentence(1) in hearing.said
    more = climb(letters_csv, output=tmp_path / "two", **WORDS | {"rank": 4, "rungs": "constant,nearest"})
    assert sentence(1) in more.info.notes  # more rungs of the same climb are no other climb
