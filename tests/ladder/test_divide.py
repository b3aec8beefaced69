"""Rows in their parts, without a base."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import letters
from rows_of import rows as rows_of_pairs
from rows_of import task_of
from rung.config import make_settings
from rung.errors import DataError
from rung.ladder.divide import Divided, divide, faults, parts_of, usable, without
from rung.ladder.left_out import LeftOut
from rung.ladder.prepare import prepare
from rung.ladder.understood import understand_data

SETTINGS = make_settings(letters.FAST)


def divided(path: Path) -> Divided:
    return divide(understand_data(path, SETTINGS), SETTINGS)


def with_an_empty_target(tmp_path: Path) -> Path:
    pairs = [(text, label if i != 7 else "") for i, (text, label) in enumerate(letters.rows(60))]
    rows = [{"text": text, "label": label} for text, label in pairs]
    return letters.write_jsonl(tmp_path / "x.jsonl", rows)


def test_the_parts_are_those_that_a_base_sees(letters_csv: Path) -> None:
    found = usable(divided(letters_csv))
    assert found.split == prepare(understand_data(letters_csv, SETTINGS), SETTINGS).split
    assert found.base_facts() == {}
    assert [name for name, _ in parts_of(found.split)] == ["train", "dev", "test"]


def test_rows_that_cannot_be_graded_are_left_out_and_counted(tmp_path: Path) -> None:
    found = usable(divided(with_an_empty_target(tmp_path)))
    assert [(one.row, one.why) for one in found.left_out] == [(8, "its target is empty")]
    assert all(one.target for _, examples in parts_of(found.split) for one in examples)
    assert found.account() == ["1 row left out: its target is empty (row 8)"]
    assert found.facts()["left_out"][0]["rows"] == [8]


def test_a_part_without_rows_is_refused(letters_csv: Path) -> None:
    rows = divided(letters_csv)
    kept = dict(parts_of(rows.split)) | {"test": ()}
    gone = usable(rows).split.test[0]
    with pytest.raises(DataError, match="no row is left in the test part"):
        without(rows, kept, [LeftOut(gone.source, gone.row, "it is too long", "test")])


def test_a_fault_is_a_target_that_is_empty_or_unreadable() -> None:
    good = rows_of_pairs((f"bill {i}", f'{{"sum": {i}}}') for i in range(30))
    task = task_of(good, "extraction")
    bad = rows_of_pairs([("bill", "{"), ("bill", " "), ("bill", '{"sum": 1}')])
    found = faults(task, bad)
    assert set(found) == {1, 2}
    assert found[2] == "its target is empty"


def test_documents_are_learned_whole_and_written_questions_only_in_train(tmp_path: Path) -> None:
    (tmp_path / "mills.md").write_text("# Mills\n\nMill 1 was built by family 1.")
    pairs = [{"question": f"Who built mill {n}?", "answer": f"family {n}"} for n in range(30)]
    asked = letters.write_jsonl(tmp_path / "q.jsonl", pairs)
    written = tuple(rows_of_pairs([("Who built mill 1?", "1"), *((f"Q {n}?", f"A {n}") for n in range(20))]))
    settings = make_settings(letters.FAST | {"train_questions": str(asked)})
    data = replace(understand_data(tmp_path / "mills.md", settings), written=written)
    found = divide(data, settings)
    assert [one.text for one in found.split.texts] == ["Mill 1 was built by family 1."]
    assert found.facts()["texts"] == 1
    new = {one.id for one in written[1:]}
    assert {one.id for one in found.split.train if one.source != "q.jsonl"} == new
    assert not new & {one.id for one in (*found.split.dev, *found.split.test)}
    settings = make_settings(letters.FAST | {"test": str(asked)})
    alone = divide(replace(understand_data(tmp_path / "mills.md", settings), written=written), settings)
    assert {one.id for one in (*alone.split.train, *alone.split.dev)} == new  # the other one is in test
    assert len(alone.split.dev) == 3
    assert len(alone.split.test) == 30
    assert [one.row for one in alone.split.leaked] == [1]
