"""`rung predict`: new rows, answered with what a climb recommends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.output import row_stream
from rung.errors import UsageError

if TYPE_CHECKING:
    from rung.cli.progress import Screen
    from rung.ladder.predict import Predicted
    from rung.ladder.predictor import Predictor

EPILOG = (
    "Examples:  rung predict new.csv --run runs/messages-1a2b3c4d --output answered.csv   |   "
    "echo 'Where is my parcel?' | rung predict - --run runs/messages-1a2b3c4d"
)
SHOWN = 3  # reasons that are named at the end
File = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="File of new rows: CSV, JSONL, Parquet, ... ; .txt has one text a line, and so has - (stdin).",
        show_default=False,
    ),
]
Run = Annotated[
    Path,
    typer.Option("--run", metavar="RUN", help="Run folder of a climb.", show_default=False, readable=False),
]
RungName = Annotated[
    str | None,
    typer.Option("--rung", metavar="NAME", help="Rung to use; the recommended one if not given."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="File to write: .csv, .tsv, .jsonl or .parquet. A stopped run continues. Stdout if not given.",
        show_default=False,
        readable=False,
    ),
]
Probabilities = Annotated[
    bool,
    typer.Option(
        "--probabilities/--no-probabilities",
        help="Score every label too, where the rung can; without, answers come sooner.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("predict", epilog=EPILOG)(predict)


def predict(
    file: File, run: Run, rung: RungName = None, output: Output = None, probabilities: Probabilities = True
) -> None:
    """Answer the rows of FILE with the rung that a climb recommends."""
    from rung.cli.progress import Screen
    from rung.data.opening import require_file

    if file == "-" and output is not None:
        raise UsageError("lines from stdin are answered on stdout", fix="Leave out --output and write > FILE")
    if file != "-":
        require_file(Path(file))  # faults in it are said before a base is loaded
    from rung.ladder.predictor import load

    screen = Screen()
    with screen.shown():
        predictor = load(run, rung)
        found = _predicted(file, predictor, output, probabilities, screen)
    _say(found, predictor, screen)


def _predicted(
    file: str, predictor: Predictor, output: Path | None, probabilities: bool, screen: Screen
) -> Predicted:
    from rung.data.sources import source_of
    from rung.ladder.predict import predict_to_file, predict_to_stream

    if output is not None:
        return predict_to_file(Path(file), predictor, output, probabilities, screen)
    if file != "-":
        source = source_of(Path(file), predictor.asker)
        return predict_to_stream(source, predictor, row_stream(), probabilities, screen)
    typed = 1 if sys.stdin.isatty() else None  # a person waits for each answer
    return predict_to_stream(sys.stdin, predictor, row_stream(), probabilities, screen, typed)


def _say(found: Predicted, predictor: Predictor, screen: Screen) -> None:
    """What became of the rows; raises `DataError` where none was answered."""
    from rung.ladder.predict import all_bad

    rows = f"{found.rows:,} row{'s' * (found.rows != 1)}"
    where = f": {found.output}" if found.output else ""
    screen.say(f"{found.answered:,} of {rows} answered by {predictor.rung}{where}")
    for why, count in list(found.errors.items())[:SHOWN]:
        screen.say(f"  {count:,} row{'s' * (count != 1)}: {why}")
    if len(found.errors) > SHOWN:
        screen.say(f"  and {len(found.errors) - SHOWN:,} other reasons, in the column of errors")
    if found.rows and not found.answered:
        raise all_bad(found)
