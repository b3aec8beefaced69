"""Answer the rows of a file with a rung of a climb, in a file that a stopped command continues.

Answers go into ``<output>.partial``, a line each with a checksum, batch by batch. When all are there they are
joined with the rows of the file, which is read once more, and the output takes its name as the last step.
Memory holds one batch, whatever the number of rows.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

from rung import __version__, storage
from rung.data.sources import Read, Source, source_of, texts
from rung.data.strict_json import RowError
from rung.data.writing import Lines, Table, Writer, require_ending, writer_for
from rung.errors import DataError, ResumeError, UsageError
from rung.ladder.predictor import Prediction, Predictor
from rung.ladder.watch import Silent, Watcher
from rung.plain import open_plain

OURS = ("answer", "probability", "probabilities", "error")
DIGITS = 6  # of a probability
Cells = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Predicted:
    """What became of the rows."""

    rows: int
    answered: int
    errors: dict[str, int]  # why -> how many rows, the commonest first
    output: Path | None = None
    before: int = 0  # rows that an earlier run of the command had answered


class _Count:
    """Counts rows, answers and reasons."""

    def __init__(self) -> None:
        self.rows = self.answered = 0
        self.errors: Counter[str] = Counter()

    def add(self, answer: Prediction) -> None:
        self.rows += 1
        self.answered += bool(answer.text)
        if answer.error:
            self.errors[answer.error] += 1

    def result(self, output: Path | None = None, before: int = 0) -> Predicted:
        return Predicted(self.rows, self.answered, dict(self.errors.most_common()), output, before)


def predict_to_file(
    file: Path, predictor: Predictor, output: Path, probabilities: bool = True, watcher: Watcher | None = None
) -> Predicted:
    """Answer all rows of `file` and write them with their answers to `output`.

    After a stop the same call continues after the last complete batch. Raises `UsageError` where `output` is
    there already or has an ending that cannot be written, `DataError` where `file` lacks columns or changes,
    `ResumeError` where the unfinished answers are damaged, or those of other rows or of another rung.
    """
    require_ending(output)
    if output.exists():
        raise UsageError("exists already", where=str(output), fix="Give another name, or delete it first")
    source = source_of(file, predictor.asker)
    mark = {
        "rows": source.sha256,
        "rung": predictor.rung,
        "run": predictor.mark,
        "probabilities": probabilities,
        "version": __version__,
    }
    journal = _Journal(output.with_name(f"{output.name}.partial"), mark)
    with journal.opened() as before:
        if before > source.count:
            raise journal.damaged(source.count + 2, "stands for a row that the file does not have")
        _answer(source, predictor, probabilities, journal, before, watcher or Silent())
        if storage.sha256_file(file) != source.sha256:
            fix = "Leave it as it is, delete the unfinished answers and run the same command again"
            raise DataError("was changed while its rows were answered", where=str(file), fix=fix)
        found = _join(source, predictor, probabilities, journal, output)
        journal.path.unlink()
    return found.result(output, before)


def predict_to_stream(
    source: Source | Iterable[str],
    predictor: Predictor,
    stream: IO[str],
    probabilities: bool = True,
    watcher: Watcher | None = None,
    at_once: int | None = None,
) -> Predicted:
    """Answer the rows of a source, or lines of text, and write them to `stream` as they come.

    CSV becomes CSV, everything else JSON lines. `at_once` is how many rows are waited for before they are
    answered; as many as are worth it if not given.
    """
    watcher = watcher or Silent()
    watcher.begin(predictor.rung, "answering rows")
    rows = source.rows() if isinstance(source, Source) else texts(source, predictor.asker)
    columns = source.columns if isinstance(source, Source) else predictor.columns
    names = _names(columns)
    writer: Writer = Lines(stream)
    if isinstance(source, Source) and source.kind == "csv":
        writer = Table(stream, [*columns, *_written(names, predictor, probabilities)])
    count = _Count()
    for batch in _batches(rows, at_once or predictor.batch):
        answers = predictor.predict(batch, probabilities)
        _write(writer, zip(batch, answers, strict=True), names, predictor, probabilities, count)
        if isinstance(source, Source):
            watcher.rows(count.rows, source.count)
    return count.result()


class _Journal:
    """Answers on disk, a line each, behind a first line that says whose they are.

    A line is the CRC-32 of its JSON in 8 hex digits, a space, and the JSON.
    """

    def __init__(self, path: Path, mark: dict[str, Any]) -> None:
        self.path = path
        self._mark = mark

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Keep the file for this process alone; yields how many answers are in it already."""
        with storage.locked_file(self.path):
            yield self._begin()

    def append(self, answers: Sequence[Prediction]) -> None:
        """Add answers; they are on disk when this returns."""
        lines = "".join(_as_line([a.text, a.probabilities, a.error]) for a in answers)
        storage.append_synced(self.path, lines.encode())

    def answers(self) -> Iterator[Prediction]:
        """All answers, in their order."""
        with open_plain(self.path) as file:
            next(file)
            for number, line in enumerate(file, 2):
                yield Prediction(*self._value(line, number))

    def damaged(self, line: int, what: str) -> ResumeError:
        """The error for a file that this module did not write."""
        return ResumeError(
            f"line {line} {what}",
            where=str(self.path),
            why="The unfinished answers are damaged",
            fix="Delete the file to begin again",
        )

    def _begin(self) -> int:
        """Start the file, or cut off what a stop left half written; how many answers are left."""
        if os.path.lexists(self.path):
            try:
                with open_plain(self.path) as file:
                    first = file.readline()
                    if first.endswith(b"\n"):
                        self._check(self._value(first, 1))
                        end, count = file.tell(), 0
                        for line in file:
                            if not line.endswith(b"\n"):
                                break
                            self._value(line, count + 2)
                            end, count = end + len(line), count + 1
                        os.truncate(self.path, end)
                        return count
            except OSError as error:
                fix = "Delete it, or give another --output"
                what = f"cannot be read: {error.strerror}"
                raise ResumeError(what, where=str(self.path), fix=fix) from error
        storage.write_file(self.path, _as_line(self._mark))
        return 0

    def _value(self, line: bytes, number: int) -> Any:
        """What `_as_line` wrote. Raises `ResumeError` where the line was changed since."""
        checksum, text = line[:8], line[9:].rstrip(b"\n")
        if checksum != _checksum(text):
            raise self.damaged(number, "was changed after it was written")
        return json.loads(text)

    def _check(self, before: Mapping[str, Any]) -> None:
        """Raises `ResumeError` where the answers are those of another command."""
        if before == self._mark:
            return
        other = [name for name, value in self._mark.items() if before.get(name) != value]
        raise ResumeError(
            "the unfinished answers are those of another command",
            where=str(self.path),
            why=f"Different now: {', '.join(other)}",
            fix="Delete the file to begin again, or give another --output",
        )


def _answer(
    source: Source,
    predictor: Predictor,
    probabilities: bool,
    journal: _Journal,
    before: int,
    watcher: Watcher,
) -> None:
    """Answer the rows behind the first `before` ones."""
    done = before
    watcher.begin(predictor.rung, "answering rows")
    if before:
        watcher.say(f"{before:,} of {source.count:,} rows were answered before")
    for batch in _batches(islice(source.rows(), before, None), predictor.batch):
        journal.append(predictor.predict(batch, probabilities))
        done += len(batch)
        watcher.rows(done, source.count)


def _join(
    source: Source, predictor: Predictor, probabilities: bool, journal: _Journal, output: Path
) -> _Count:
    """Write the rows with their answers to `output`, whole or not at all."""
    names = _names(source.columns)
    columns = [*source.columns, *_written(names, predictor, probabilities)]
    kinds = source.kinds | {names["probability"]: {float}}
    count = _Count()
    with storage.new_file(output) as temporary:
        writer = writer_for(temporary, output, columns, kinds, source.schema)
        try:
            for batch in _batches(zip(source.rows(), journal.answers(), strict=True), 1000):
                _write(writer, batch, names, predictor, probabilities, count)
        finally:
            writer.close()
    return count


def _write(
    writer: Writer,
    rows: Iterable[tuple[Read, Prediction]],
    names: dict[str, str],
    predictor: Predictor,
    probabilities: bool,
    count: _Count,
) -> None:
    written = set(_written(names, predictor, probabilities))
    cells = []
    for row, answer in rows:
        count.add(answer)
        ours = {names[name]: value for name, value in _cells(answer).items() if names[name] in written}
        cells.append(ours if isinstance(row, RowError) else {**row, **ours})
    writer.write(cells)


def _cells(answer: Prediction) -> Cells:
    known = answer.probabilities
    one = answer.probability
    return {
        "answer": answer.text or None,
        "probability": None if one is None else round(one, DIGITS),
        "probabilities": None if known is None else {name: round(p, DIGITS) for name, p in known.items()},
        "error": answer.error or None,
    }


def _names(columns: Sequence[str]) -> dict[str, str]:
    """What our columns are called: by other names where the rows have a column of one of these."""
    prefix = ""
    while any(prefix + name in columns for name in OURS):
        prefix += "predicted_"
    return {name: prefix + name for name in OURS}


def _written(names: dict[str, str], predictor: Predictor, probabilities: bool) -> list[str]:
    """Our columns that are written: those of probabilities where there are any."""
    scores = probabilities and predictor.scores
    return [names[name] for name in OURS if scores or not name.startswith("probabilit")]


def _batches(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    """`rows` in lists of `size`, the last one shorter."""
    rows = iter(rows)
    while batch := list(islice(rows, size)):
        yield batch


def _as_line(value: Any) -> str:
    """A line of the journal."""
    text = json.dumps(value)
    return f"{_checksum(text.encode()).decode()} {text}\n"


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)


def all_bad(found: Predicted) -> DataError:
    """What to raise where not one row was answered."""
    why = next(iter(found.errors), "")
    return DataError("no row could be answered", why=f"The most common reason: {why}" if why else "")
