"""From a file to everything a climb needs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import letters
from rung.config import make_settings
from rung.data.memory import rows_of
from rung.errors import DataError
from rung.ladder.forecast import allowance
from rung.ladder.prepare import Prepared, prepare
from rung.ladder.understood import understand_data
from rung.storage import sha256_file


def prepared_from(path: Path, **settings: object) -> Prepared:
    chosen = make_settings({"base": "tiny", "precision": "fp32", "threads": 1, **settings})
    return prepare(understand_data(path, chosen), chosen)


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


def test_answers_have_room_for_the_targets_and_for_more(tmp_path: Path) -> None:
    rows = letters.rows(40)
    longest = [(text, label * 20) for text, label in rows]
    found = prepared_from(write(tmp_path / "x.jsonl", longest), task="generation")
    assert found.max_new_tokens == allowance(21) == 31 + 12
    asked = prepared_from(write(tmp_path / "x.jsonl", longest), max_new_tokens=22)
    assert asked.max_new_tokens == 22


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
    gone = {(one.row, one.file, one.why) for one in found.left_out}
    assert gone == {(5, "x.jsonl", "longer than 200 tokens"), (7, "x.jsonl", "its target is empty")}
    kept = [*found.split.train, *found.split.dev, *found.split.test]
    assert not {5, 7} & {example.row for example in kept}
    assert set(found.rendered) == {example.id for example in kept}
    assert sorted(found.facts()["left_out"], key=str) == [
        {"file": "x.jsonl", "why": "its target is empty", "rows": [7]},
        {"file": "x.jsonl", "why": "longer than 200 tokens", "rows": [5]},
    ]
    duplicates = f"{found.split.duplicates} row{'s' * (found.split.duplicates != 1)} left out: the same as"
    assert [line.split(" (")[0] for line in sorted(found.account())] == sorted(
        [
            "1 row left out: its target is empty",
            "1 row left out: longer than 200 tokens",
            *([f"{duplicates} an earlier row"] if found.split.duplicates else []),
        ]
    )


def test_where_many_rows_would_be_dropped_nothing_runs(tmp_path: Path) -> None:
    rows = letters.rows(40)
    rows[:13] = [("m" * 300 + text, label) for text, label in rows[:13]]
    with pytest.raises(DataError) as caught:
        prepared_from(write(tmp_path / "x.jsonl", rows), long_rows="drop", max_length=200)
    message = str(caught.value)
    assert message.startswith(f"{'x.jsonl'}: 13 of ")
    assert "rows are longer than 200 tokens, such as row " in message
    assert "raise --max-length" in message


def test_where_every_row_would_be_dropped_the_file_and_the_reason_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", letters.rows(40))
    with pytest.raises(DataError, match=r"x\.jsonl: (\d+) of \1 rows are longer than 12 tokens"):
        prepared_from(path, long_rows="drop", max_length=12)


def test_targets_that_cannot_be_graded_are_left_out_and_named(tmp_path: Path) -> None:
    rows = [(f"word {n}", json.dumps({"item": n})) for n in range(60)]
    rows[0], rows[30] = ("word 0", "no JSON"), ("word 30", "none either")
    found = prepared_from(write(tmp_path / "x.jsonl", rows))
    assert found.task.kind == "extraction"
    assert found.facts()["left_out"] == [
        {"file": "x.jsonl", "why": "its target is not a JSON object", "rows": [1, 31]}
    ]
    assert not {1, 31} & {one.row for part in ("train", "dev", "test") for one in getattr(found.split, part)}


def test_rows_left_out_while_reading_are_counted_and_explain_why_too_few_are_left(tmp_path: Path) -> None:
    def judged(name: str, count: int) -> Path:
        rows = [{"prompt": text, "completion": label} for text, label in letters.rows(count)]
        return letters.write_jsonl(tmp_path / name, [{**r, "label": n % 2 == 0} for n, r in enumerate(rows)])

    unwanted = "'label' is false, which marks an answer as unwanted"
    found = prepared_from(judged("x.jsonl", 80))
    assert found.account()[0] == f"40 rows left out: {unwanted} (rows 2, 4, 6, 8, 10 and 35 more)"
    assert found.facts()["parts"] == "prompt: prompt; target: completion; wanted: label"
    with pytest.raises(DataError) as caught:
        prepared_from(judged("y.jsonl", 24))
    assert "y.jsonl: 12 rows are too few" in str(caught.value)
    assert f"12 rows left out: {unwanted}" in str(caught.value)


def test_labels_that_only_the_test_file_has_are_named(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", letters.rows(60))
    words = [text for text, _ in letters.rows(40, seed=1)]
    partly = [(text, "ABcc"[n % 4]) for n, text in enumerate(words)]
    found = prepared_from(train, test=str(write(tmp_path / "partly.jsonl", partly)))
    unknown = sum(one.target == "c" for one in found.split.test)
    assert any(f"{unknown} rows of partly.jsonl" in line for line in found.facts()["warnings"])
    other = [(text, f"{float(n % 2)}") for n, text in enumerate(words)]
    with pytest.raises(DataError, match=r"no row has a label.*'0\.0'.*train rows are '[ab]', '[ab]'"):
        prepared_from(train, test=str(write(tmp_path / "other.jsonl", other)))


def test_answers_that_end_before_their_target_does_are_counted(tmp_path: Path) -> None:
    rows = [(text, label * (2 if n % 5 else 20)) for n, (text, label) in enumerate(letters.rows(40))]
    found = prepared_from(write(tmp_path / "x.jsonl", rows), task="generation", max_new_tokens=7)
    cut = sum(len(one.target) == 20 for one in found.split.train)
    assert found.warnings == (
        f"answers end after 7 tokens, as asked, and {cut} of {len(found.split.train)} targets are longer",
    )


def test_a_climb_stops_where_many_answers_would_be_cut(tmp_path: Path) -> None:
    rows = [(text, label * (20 if n % 2 else 2)) for n, (text, label) in enumerate(letters.rows(40))]
    path = write(tmp_path / "x.jsonl", rows)
    with pytest.raises(DataError, match=r"longer than the 7 tokens.*Raise --max-new-tokens, 21 would"):
        prepared_from(path, task="generation", max_new_tokens=7)


def test_rows_in_memory_are_prepared_as_those_of_a_file(prepared: Prepared) -> None:
    rows = [{"text": text, "label": label} for text, label in letters.rows(200)]
    test = rows_of([{"text": text, "label": label} for text, label in letters.rows(30, seed=1)], "test")
    settings = make_settings(letters.FAST)
    found = prepare(understand_data(rows, settings), settings)
    assert found.split.train == tuple(replace(one, source="data") for one in prepared.split.train)
    assert (found.facts()["file"], found.facts()["sha256"]) == ("data", rows_of(rows).sha256)
    held_out = prepare(understand_data(rows, settings, test), settings)
    assert (held_out.facts()["test_file"], held_out.facts()["test_sha256"]) == ("test", test.sha256)


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
    test = write(tmp_path / "test.jsonl", [("mnr" * 50, "a"), ("mns" * 50, "b")])
    with pytest.raises(DataError, match=r"test\.jsonl: no row is left in the test part\. Row 1, for example"):
        prepared_from(train, test=str(test), max_length=100, long_rows="drop")


def test_a_task_that_is_asked_for_is_not_guessed(letters_csv: Path) -> None:
    task = prepared_from(letters_csv, task="generation").task
    assert (task.kind, task.labels) == ("generation", ())


def test_warnings_of_both_files_are_kept(tmp_path: Path) -> None:
    rows = [{"text": text, "label": label} for text, label in letters.rows(40)]
    train = letters.write_jsonl(
        tmp_path / "train.jsonl", [{**row, "rating": "ab"[n % 2]} for n, row in enumerate(rows)]
    )
    lines = "# exported\n" + "".join(json.dumps(row) + "\n" for row in rows[:3])
    (tmp_path / "test.jsonl").write_text(lines)
    warnings = prepared_from(train, test=str(tmp_path / "test.jsonl")).facts()["warnings"]
    assert len(warnings) == 2
    assert warnings[0].startswith("'rating' could be the target as well")
    assert warnings[1] == "1 comment line left out"
