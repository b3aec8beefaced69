"""`rung report`: show a run again, and rewrite its report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rung.errors import UsageError

EPILOG = "Examples:  rung report runs/messages-1a2b3c4d   |   rung report runs/messages-1a2b3c4d | less"
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.", show_default=False, readable=False)]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("report", epilog=EPILOG)(report)


def report(run: Run) -> None:
    """Print the table and verdict of a run and write its report.html."""
    from rung.cli.climb import print_run
    from rung.report.html import write_report

    if not (run / "run.json").is_file():
        raise UsageError(
            "this is not a run folder: it holds no run.json",
            where=str(run),
            fix="Give the folder in which `rung climb` wrote its report",
        )
    print_run(run, write_report(run))
