"""Files of new rows: every row comes back with an answer or a reason, also after a stop."""

from __future__ import annotations

import csv
import io
import json
import os
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

import letters
from answering import new_rows, read
from faults import fail_at, no_space
from rung import storage
from rung.data import streaming
from rung.data.sources import source_of
from rung.errors import DataError, ResourceError, ResumeError, UsageError
from rung.ladder.climb import Climbed
from rung.ladder.predict import all_bad, predict_to_file, predict_to_stream
from rung.ladder.predictor import Prediction, Predictor, load
from rung.ladder.watch import Silent


@pytest.fixture
def words(classical: Climbed) -> Predictor:
    return replace(load(classical.folder, "words"), batch=16)


def expected(words: Predictor, rows: Sequence[dict[str, Any]]) -> list[str]:
    return [one.text for one in words.answer(rows)]


def test_rows_keep_their_columns_and_get_answers(words: Predictor, tmp_path: Path) -> None:
    rows = new_rows(50)
    found = predict_to_file(letters.write_jsonl(tmp_path / "new.jsonl", rows), words, tmp_path / "out.jsonl")
    assert (found.rows, found.answered, found.errors, found.before) == (50, 50, {}, 0)
    written = read(tmp_path / "out.jsonl")
    assert [list(row) for row in written] == [
        ["n", "text", "answer", "probability", "probabilities", "error"]
    ] * 50
    assert [{"n": row["n"], "text": row["text"]} for row in written] == rows
    assert [row["answer"] for row in written] == expected(words, rows)
    for row in written:
        assert row["probability"] == row["probabilities"][row["answer"]] == max(row["probabilities"].values())
        assert row["error"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.jsonl", "out.jsonl"]


def test_without_probabilities_there_are_no_such_columns(
    words: Predictor, classical: Climbed, tmp_path: Path
) -> None:
    file = letters.write_jsonl(tmp_path / "new.jsonl", new_rows(5))
    predict_to_file(file, words, tmp_path / "a.jsonl", probabilities=False)
    predict_to_file(file, load(classical.folder, "nearest"), tmp_path / "b.jsonl")
    for name in ("a.jsonl", "b.jsonl"):
        assert list(read(tmp_path / name)[0]) == ["n", "text", "answer", "error"]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("source", ["csv", "jsonl", "json", "parquet", "txt", "xlsx"])
def test_formats(words: Predictor, tmp_path: Path, source: str, ending: str) -> None:
    rows = new_rows(20)
    file = tmp_path / f"new.{source}"
    if source == "csv":
        with file.open("w", newline="") as open_file:
            csv.writer(open_file).writerows([rows[0].keys(), *(row.values() for row in rows)])
    elif source == "jsonl":
        letters.write_jsonl(file, rows)
    elif source == "json":
        file.write_text(json.dumps(rows))
    elif source == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    elif source == "txt":
        file.write_text("".join(f"{row['text']}\n" for row in rows))
    else:
        import openpyxl

        book = openpyxl.Workbook()
        for cells in [list(rows[0]), *(list(row.values()) for row in rows)]:
            book.active.append(cells)
        book.save(file)
    out = tmp_path / f"out.{ending}"
    predict_to_file(file, words, out)
    if ending == "parquet":
        table = pyarrow.parquet.read_table(out)
        assert source != "parquet" or str(table.schema.field("n").type) == "int64"
        assert str(table.schema.field("probability").type) == "double"
        written = table.to_pylist()
    elif ending == "jsonl":
        written = read(out)
    else:
        with out.open(newline="") as open_file:
            written = list(csv.DictReader(open_file, delimiter="\t" if ending == "tsv" else ","))
    assert [row["answer"] for row in written] == expected(words, rows)
    assert [row["text"] for row in written] == [row["text"] for row in rows]
    assert [str(row.get("n")) for row in written] == [
        "None" if source == "txt" else str(row["n"]) for row in rows
    ]
    shares = written[0]["probabilities"]
    shares = json.loads(shares) if isinstance(shares, str) else shares
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)


def test_ten_thousand_rows_with_bad_ones_among_them(
    classical: Climbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "HEAD", 50_000)
    words = load(classical.folder, "words")
    rows = new_rows(10_000)
    file = tmp_path / "new.jsonl"
    lines = [json.dumps(row) for row in rows]
    lines[5], lines[5_000], lines[9_999] = '{"text": ', '{"text": ""}', '{"n": 1}'
    file.write_text("\n".join(lines) + "\n")
    found = predict_to_file(file, words, tmp_path / "out.csv")
    assert (found.rows, found.answered) == (10_000, 9_997)
    with (tmp_path / "out.csv").open(newline="") as open_file:
        written = list(csv.DictReader(open_file))
    bad = {n: row for n, row in enumerate(written) if row["error"]}
    assert list(bad) == [5, 5_000, 9_999]
    assert {row["answer"] for row in bad.values()} == {""}
    assert "JSON" in bad[5]["error"]
    assert bad[5_000]["error"] == "the row has no text in 'text'"
    assert (bad[9_999]["n"], bad[9_999]["error"]) == ("1", "the row lacks 'text'")
    good = [row for n, row in enumerate(rows) if n not in bad]
    assert [row["answer"] for n, row in enumerate(written) if n not in bad] == expected(words, good)


def test_memory_holds_one_batch(words: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "HEAD", 5_000)
    monkeypatch.setattr(streaming, "_BLOCK", 5_000)
    monkeypatch.setattr(
        Predictor, "predict", lambda self, rows, probabilities: [Prediction("x") for _ in rows]
    )

    def peak(count: int) -> int:
        rows = [row | {"more": "x" * 100} for row in new_rows(count)]
        file = letters.write_jsonl(tmp_path / f"{count}.jsonl", rows)
        del rows
        tracemalloc.start()
        predict_to_file(file, words, tmp_path / f"{count}-out.csv")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(100)  # what is imported on the way
    assert peak(20_000) < 1.5 * peak(4_000)


class Stop(Silent):
    """Stops after some batches."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def rows(self, done: int, total: int) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("half", [b"", b'["0", {"0": 0.', b'["0", null, ""]'])
def test_a_stopped_command_continues(
    words: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: bytes
) -> None:
    file = letters.write_jsonl(tmp_path / "new.jsonl", new_rows(100))
    predict_to_file(file, words, tmp_path / "whole.jsonl")
    out, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    with pytest.raises(KeyboardInterrupt):
        predict_to_file(file, words, out, watcher=Stop(3))
    assert not out.exists()
    with partial.open("ab") as open_file:
        open_file.write(half)  # a line that a kill cut short
    asked: list[int] = []
    real = Predictor.predict

    def spy(self: Predictor, rows: Any, probabilities: bool = True) -> list[Prediction]:
        asked.append(len(rows))
        return real(self, rows, probabilities)

    monkeypatch.setattr(Predictor, "predict", spy)
    found = predict_to_file(file, words, out)
    assert (found.before, found.rows, sum(asked)) == (48, 100, 52)
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not partial.exists()


def test_unfinished_answers_of_something_else_are_refused(
    words: Predictor, classical: Climbed, tmp_path: Path
) -> None:
    file = letters.write_jsonl(tmp_path / "new.jsonl", new_rows(40))
    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        predict_to_file(file, words, out, watcher=Stop(1))
    with pytest.raises(ResumeError, match=r"out\.jsonl\.partial.*Different now: rung, run"):
        predict_to_file(file, load(classical.folder, "nearest"), out)
    with pytest.raises(ResumeError, match="Different now: probabilities"):
        predict_to_file(file, words, out, probabilities=False)
    letters.write_jsonl(file, new_rows(41))
    with pytest.raises(ResumeError, match="Different now: rows"):
        predict_to_file(file, words, out)
    (tmp_path / "out.jsonl.partial").write_text('{"rows": ')
    assert predict_to_file(file, words, out).rows == 41


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [b"[1]\n"], "line 1 was changed"),
        (lambda lines: [lines[0].replace(b"words", b"lists"), *lines[1:]], "line 1 was changed"),
        (lambda lines: [*lines[:2], lines[2].replace(b'"0"', b'"1"'), *lines[3:]], "line 3 was changed"),
        (lambda lines: [*lines[:2], b"\n", *lines[3:]], "line 3 was changed"),
        (lambda lines: [*lines[:2], b"\0" * 99 + b"\n", *lines[3:]], "line 3 was changed"),
        (lambda lines: [*lines, lines[-1] * 40], "line 42 stands for a row that the file does not have"),
    ],
    ids=["other", "mark", "answer", "empty", "zeros", "longer"],
)
def test_damaged_answers_are_refused(words: Predictor, tmp_path: Path, change: Any, said: str) -> None:
    file = letters.write_jsonl(tmp_path / "new.jsonl", new_rows(40))
    out, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    with pytest.raises(KeyboardInterrupt):
        predict_to_file(file, words, out, watcher=Stop(1))
    partial.write_bytes(b"".join(change(partial.read_bytes().splitlines(keepends=True))))
    with pytest.raises(ResumeError, match=rf"out\.jsonl\.partial: {said}.*Delete the file to begin again"):
        predict_to_file(file, words, out)
    assert not out.exists()


def test_a_pipe_in_the_place_of_unfinished_answers(words: Predictor, tmp_path: Path) -> None:
    file = letters.write_jsonl(tmp_path / "new.jsonl", new_rows(3))
    os.mkfifo(tmp_path / "out.jsonl.partial")
    with pytest.raises(ResumeError, match=r"out\.jsonl\.partial: cannot be read: a pipe or a device"):
        predict_to_file(file, words, tmp_path / "out.jsonl")


def test_rows_that_change_while_they_are_answered(words: Predictor, tmp_path: Path) -> None:
    file = letters.write_jsonl(tmp_path / "new.jsonl", new_rows(30))

    class Change(Silent):
        def rows(self, done: int, total: int) -> None:
            letters.write_jsonl(file, new_rows(20))

    with pytest.raises(DataError, match=r"new\.jsonl: was changed while its rows were answered"):
        predict_to_file(file, replace(words, batch=50), tmp_path / "out.jsonl", watcher=Change())


def test_an_output_that_is_there_is_not_touched(words: Predictor, tmp_path: Path) -> None:
    file = letters.write_jsonl(tmp_path / "new.jsonl", new_rows(3))
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"out\.csv: exists already"):
        predict_to_file(file, words, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "mine"
    with pytest.raises(UsageError, match=r"cannot write \.xlsx"):
        predict_to_file(file, words, tmp_path / "out.xlsx")


def test_two_commands_do_not_write_one_file(words: Predictor, tmp_path: Path) -> None:
    file = letters.write_jsonl(tmp_path / "new.jsonl", new_rows(3))

    class Second(Silent):
        def begin(self, rung: str, phase: str) -> None:
            with pytest.raises(ResumeError, match=r"another process is writing out\.csv\.partial"):
                predict_to_file(file, words, tmp_path / "out.csv")

    assert predict_to_file(file, words, tmp_path / "out.csv", watcher=Second()).rows == 3


def test_a_full_disk_loses_nothing(words: Predictor, tmp_path: Path) -> None:
    file = letters.write_jsonl(tmp_path / "new.jsonl", new_rows(40))
    out = tmp_path / "out.csv"
    try:
        for number in range(1, 60):
            seen = fail_at(number, no_space())
            try:
                predict_to_file(file, words, out)
                break
            except ResourceError:
                assert not out.exists() or seen[number - 2] == "rename"  # its name is not on disk yet
    finally:
        storage.fault = None
    assert number > 5
    if (tmp_path / "out.csv.partial").exists():  # what failed at last was to delete it
        assert predict_to_file(file, words, out).before == 40
    assert out.read_text().count("\n") == 41
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.jsonl", "out.csv"]


def test_a_stop_after_the_output_has_its_name(words: Predictor, tmp_path: Path) -> None:
    file = letters.write_jsonl(tmp_path / "new.jsonl", new_rows(40))
    out = tmp_path / "out.csv"

    def fault(name: str, path: Path) -> None:
        if name == "unlink" and path.suffix == ".partial":
            raise KeyboardInterrupt

    storage.fault = fault
    try:
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(file, words, out)
    finally:
        storage.fault = None
    content = out.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        predict_to_file(file, words, out, probabilities=False)
    out.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        predict_to_file(file, words, out)
    assert out.read_text() == "mine"
    out.write_bytes(content)
    found = predict_to_file(file, words, out)
    assert (found.rows, found.before, found.answered) == (40, 40, 40)
    assert out.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.jsonl", "out.csv"]


def test_a_stop_before_the_output_has_its_name(words: Predictor, tmp_path: Path) -> None:
    file = letters.write_jsonl(tmp_path / "new.jsonl", new_rows(40))
    predict_to_file(file, words, tmp_path / "whole.csv")

    def fault(name: str, path: Path) -> None:
        if name == "rename" and path.name == "out.csv":
            raise KeyboardInterrupt

    storage.fault = fault
    try:
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(file, words, tmp_path / "out.csv")
    finally:
        storage.fault = None
    assert predict_to_file(file, words, tmp_path / "out.csv").before == 40
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_columns_of_the_same_name_are_kept(words: Predictor, tmp_path: Path) -> None:
    rows = [row | {"answer": "mine", "error": 0} for row in new_rows(3)]
    file = letters.write_jsonl(tmp_path / "new.jsonl", rows)
    predict_to_file(file, words, tmp_path / "out.jsonl")
    for row in read(tmp_path / "out.jsonl"):
        assert (row["answer"], row["error"], row["predicted_error"]) == ("mine", 0, None)
        assert row["predicted_answer"] in ("0", "1")


def test_a_stream_is_csv_for_csv_and_lines_for_all_else(words: Predictor, tmp_path: Path) -> None:
    rows = new_rows(40)
    (tmp_path / "new.csv").write_text("text\n" + "".join(f"{row['text']}\n" for row in rows))
    table, lines = io.StringIO(), io.StringIO()
    found = predict_to_stream(source_of(tmp_path / "new.csv", words.asker), words, table)
    assert found.rows == 40
    written = list(csv.DictReader(table.getvalue().splitlines()))
    assert [row["answer"] for row in written] == expected(words, rows)
    predict_to_stream(source_of(letters.write_jsonl(tmp_path / "a.jsonl", rows), words.asker), words, lines)
    assert [json.loads(line)["answer"] for line in lines.getvalue().splitlines()] == expected(words, rows)


def test_lines_are_answered_as_they_come(words: Predictor) -> None:
    out = io.StringIO()
    seen = []

    def typed() -> Any:
        for line in ("mmamm\n", "\n", "mmbmm\n"):
            yield line
            seen.append(out.getvalue().count("\n"))

    found = predict_to_stream(typed(), words, out, at_once=1)
    assert seen == [1, 2, 3]
    assert (found.rows, found.answered) == (3, 2)
    assert found.errors == {"the row has no text in 'text'": 1}


def test_where_all_rows_are_bad_there_is_an_error_to_raise(words: Predictor) -> None:
    found = predict_to_stream(["\n", "\n"], words, io.StringIO())
    assert found.answered == 0
    error = all_bad(found)
    assert isinstance(error, DataError)
    assert "no text in 'text'" in str(error)


@pytest.mark.parametrize("rung", ["zero-shot", "few-shot", "lora", "full"])
def test_rungs_with_a_base(climbed: Climbed, tmp_path: Path, rung: str) -> None:
    predictor = load(climbed.folder, rung)
    rows = [*new_rows(40), {"n": 40, "text": ""}, {"n": 41, "text": "mnrst a" * 2000}]
    file = letters.write_jsonl(tmp_path / "new.jsonl", rows)
    found = predict_to_file(file, predictor, tmp_path / "out.jsonl")
    assert (found.rows, len(found.errors)) == (42, 2)
    written = read(tmp_path / "out.jsonl")
    assert {row["answer"] for row in written[:40]} <= {"a", "b"}
    assert written[40]["error"] == "the row has no text in 'text'"
    assert "tokens" in written[41]["error"]
    assert written[41]["answer"] is None
