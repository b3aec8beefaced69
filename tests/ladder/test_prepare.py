"""From a file to everything a climb needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import letters
from rung.config import make_settings
from rung.errors import DataError
from rung.ladder.prepare import Prepared, prepare
from rung.storage import sha256_file


def prepared_from(path: Path, **settings: object) -> Prepared:
    return prepare(path, make_settings({"base": "tiny", "precision": "fp32", "threads": 1, **settings}))


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    return letters.write_jsonl(path, [{"text": text, "label": label} for text, label in rows])


def test_parts_hold_every_row_once(prepared: Prepared, letters_csv: Path) -> None:
    parts, facts = prepared.split, prepared.facts()
    ids = [example.id for example in (*parts.train, *parts.dev, *parts.test)]
    assert len(set(ids)) == len(ids) == 200 - facts["duplicates_left_out"]
    assert (facts["rows"], facts["train_rows"]) == (200, len(parts.train))
    assert facts["sha256"] == sha256_file(letters_csv)
    assert prepared.task.kind == "classification"
    assert set(prepared.task.labels) == {"a", "b"}
    assert json.loads(json.dumps(facts)) == facts


def test_what_is_rendered_is_what_is_asked_and_learned(prepared: Prepared) -> None:
    renderer = prepared.speaker.renderer
    for example in prepared.split.train[:5]:
        row = prepared.rendered[example.id]
        assert list(row.ids[: row.answer_start]) == renderer.prompt_ids(example.prompt)
        assert list(row.ids[row.answer_start :]) == renderer.completion_ids(example.target)


def test_answers_have_room_for_the_targets_and_a_quarter_more(tmp_path: Path) -> None:
    rows = letters.rows(40)
    longest = [(text, label * 20) for text, label in rows]
    found = prepared_from(write(tmp_path / "x.jsonl", longest), task="generation")
    assert found.max_new_tokens == int(21 * 1.25) + 4
    asked = prepared_from(write(tmp_path / "x.jsonl", longest), max_new_tokens=7)
    assert asked.max_new_tokens == 7


def test_a_row_longer_than_the_base_reads_is_refused_by_number(tmp_path: Path) -> None:
    rows = letters.rows(40)
    rows[4] = ("m" * 3000, "a")
    path = write(tmp_path / "x.jsonl", rows)
    with pytest.raises(DataError, match=r"x\.jsonl: row 5 is longer.*30\d\d tokens, 2048 fit.*--long-rows"):
        prepared_from(path)


def test_or_left_out_and_listed(tmp_path: Path) -> None:
    rows = letters.rows(40)
    rows[4] = ("m" * 300, "a")
    rows[6] = (rows[6][0], " ")
    found = prepared_from(write(tmp_path / "x.jsonl", rows), long_rows="drop", max_length=200)
    assert found.max_length == 200
    gone = {(row["row"], row["file"], row["why"]) for row in found.dropped}
    (tokens,) = [why for row, _, why in gone if row == 5]
    assert gone == {(5, "x.jsonl", tokens), (7, "x.jsonl", "its target is empty")}
    assert tokens.endswith("tokens, 200 fit")
    kept = [*found.split.train, *found.split.dev, *found.split.test]
    assert not {5, 7} & {example.row for example in kept}
    assert set(found.rendered) == {example.id for example in kept}
    assert found.facts()["dropped"] == found.dropped


def test_the_context_limits_what_may_be_asked(tmp_path: Path) -> None:
    assert prepared_from(write(tmp_path / "x.jsonl", letters.rows(40)), max_length=100_000).max_length == 2048


def test_a_test_file_is_held_out_and_kept_out_of_train(tmp_path: Path) -> None:
    rows = letters.rows(60)
    test = write(tmp_path / "test.jsonl", [*letters.rows(30, seed=1), rows[0]])
    found = prepared_from(write(tmp_path / "train.jsonl", rows), test=str(test))
    assert len(found.split.test) + found.split.duplicates >= 31
    assert 1 in [example.row for example in found.split.leaked]
    assert found.facts()["test_file"] == "test.jsonl"
    assert found.facts()["test_sha256"] == sha256_file(test)


def test_a_part_without_a_usable_row_is_refused(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", letters.rows(60))
    test = write(tmp_path / "test.jsonl", [("mnr", ""), ("mns", " ")])
    with pytest.raises(DataError, match=r"test\.jsonl: no row is left in the test part\. Row 1, for one"):
        prepared_from(train, test=str(test))


def test_a_task_that_is_asked_for_is_not_guessed(letters_csv: Path) -> None:
    task = prepared_from(letters_csv, task="generation").task
    assert (task.kind, task.labels) == ("generation", ())


def test_warnings_of_both_files_are_kept(tmp_path: Path) -> None:
    rows = [{"text": text, "label": label, "note": "x"} for text, label in letters.rows(40)]
    train = letters.write_jsonl(tmp_path / "train.jsonl", rows)
    test = letters.write_jsonl(tmp_path / "test.jsonl", [{**row, "more": 1} for row in rows[:3]])
    warnings = prepared_from(train, test=str(test)).facts()["warnings"]
    assert len(warnings) == 2
    assert "'note'" in warnings[0]
    assert "'more'" in warnings[1]
