"""A later climb in the same run folder adds rungs to what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

import letters
from contexts import ran
from rung import storage
from rung.errors import ResumeError
from rung.ladder.climb import Climbed, climb
from rung.report.view import load_view

QUICK = letters.FAST | {"epochs": 1}


def test_rungs_asked_for_later_join_the_finished_ones(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = climb(letters_csv, **QUICK | {"rungs": "words"})
    names = ran(monkeypatch)
    second = climb(letters_csv, **QUICK | {"rungs": "words,lora"})
    assert names == ["lora"]
    assert second.folder == first.folder
    assert [result.rung for result in second.results] == ["words", "lora"]
    assert second.results[0] == first.results[0]
    assert [result.status for result in second.results] == ["ok", "ok"]
    assert len(second.verdict.comparisons) == 1
    assert second.info.base == "tiny"
    third = climb(letters_csv, **QUICK | {"rungs": "constant"})
    assert names == ["lora", "constant"]
    assert [result.rung for result in third.results] == ["constant", "words", "lora"]
    assert [rung.name for rung in load_view(third.folder).rungs] == ["constant", "words", "lora"]
    assert third.results[1:] == second.results
    names.clear()
    assert climb(letters_csv, **QUICK | {"rungs": "constant"}).results == third.results
    assert names == []


def test_later_rungs_answer_as_they_would_have_in_one_climb(letters_csv: Path, tmp_path: Path) -> None:
    def answers(found: Climbed) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in (found.folder / "predictions").iterdir()}

    whole = climb(letters_csv, output=tmp_path / "whole", **QUICK | {"rungs": "words,zero-shot,lora"})
    for rungs in ("words", "zero-shot", "lora"):
        parts = climb(letters_csv, output=tmp_path / "parts", **QUICK | {"rungs": rungs})
    assert answers(parts) == answers(whole)


def test_rows_that_the_base_cannot_read_make_the_cheap_rungs_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": text, "label": label} for text, label in letters.rows(60)]
    for row in rows[::12]:
        row["text"] = "m" * 300 + row["text"]
    settings = QUICK | {"output": tmp_path / "run", "max_length": 100, "long_rows": "drop"}
    climb(rows, **settings | {"rungs": "words"})
    names = ran(monkeypatch)
    found = climb(rows, **settings | {"rungs": "zero-shot"})
    assert names == ["words", "zero-shot"]
    (words, zero) = (storage.read_jsonl(found.folder / "predictions" / f"{n}.jsonl") for n in names)
    assert [row["example_id"] for row in words] == [row["example_id"] for row in zero]


def test_another_base_under_the_same_name_is_refused(letters_csv: Path, tmp_path: Path) -> None:
    settings = QUICK | {"rungs": "zero-shot", "output": tmp_path / "run"}
    climb(letters_csv, **settings)
    info = storage.read_json(tmp_path / "run" / "run.json")
    info["applied"]["base_fingerprint"] = "f00d"
    storage.write_json(tmp_path / "run" / "run.json", info)
    with pytest.raises(ResumeError, match="not the one that this run began with"):
        climb(letters_csv, **settings)
