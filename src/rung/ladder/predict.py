"""Answer the rows of a file with a rung of a climb, in a file that a stopped command continues.

Answers go into ``<output>.partial`` (`rung.ladder.journal`), batch by batch. When all are there they are
joined with the rows of the file, which is read once more, and the output takes its name as the last step.
Memory holds one batch, whatever the number of rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

from rung import __version__, storage
from rung.data.sources import Read, Source, source_of, texts
from rung.data.strict_json import RowError
from rung.data.writing import Lines, Table, Writer, require_ending, writer_for
from rung.errors import DataError, UsageError
from rung.ladder.journal import Journal
from rung.ladder.predictor import Prediction, Predictor
from rung.ladder.watch import Silent, Watcher

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
    there already (unless a stop of this call left its answers) or has an ending that cannot be written,
    `DataError` where `file` lacks columns or changes, `ResumeError` where the unfinished answers are damaged,
    or those of other rows or of another rung.
    """
    require_ending(output)
    path = output.with_name(f"{output.name}.partial")
    if output.exists() and not path.exists():
        raise _exists(output)
    source = source_of(file, predictor.asker)
    mark = {
        "rows": source.sha256,
        "rung": predictor.rung,
        "run": predictor.mark,
        "probabilities": probabilities,
        "version": __version__,
    }
    journal = Journal(path, mark)
    with storage.locked_file(path):
        if output.exists():  # and a stop came before the answers were deleted
            found = _counted(journal, output)
            before = found.rows
        else:
            storage.sweep(output)
            before = journal.begin()
            if before > source.count:
                raise journal.damaged(source.count + 2, "stands for a row that the file does not have")
            _answer(source, predictor, probabilities, journal, before, watcher or Silent())
            if storage.sha256_file(file) != source.sha256:
                fix = "Leave it as it is, delete the unfinished answers and run the same command again"
                raise DataError("was changed while its rows were answered", where=str(file), fix=fix)
            found = _join(source, predictor, probabilities, journal, output)
        storage.remove(path)
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


def _answer(
    source: Source,
    predictor: Predictor,
    probabilities: bool,
    journal: Journal,
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
    source: Source, predictor: Predictor, probabilities: bool, journal: Journal, output: Path
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
        journal.end(temporary)
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


def _counted(journal: Journal, output: Path) -> _Count:
    """The answers in `output`. Raises `UsageError` where that is some other file."""
    if not journal.wrote(output):
        raise _exists(output)
    count = _Count()
    for answer in journal.answers():
        count.add(answer)
    return count


def _exists(output: Path) -> UsageError:
    return UsageError("exists already", where=str(output), fix="Give another name, or delete it first")


def all_bad(found: Predicted) -> DataError:
    """What to raise where not one row was answered."""
    why = next(iter(found.errors), "")
    return DataError("no row could be answered", why=f"The most common reason: {why}" if why else "")
