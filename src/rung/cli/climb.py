"""`rung climb`: try every rung on a file and say which one to use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rung.cli.options import Config, Files, Json, takes_settings
from rung.cli.output import print_json

if TYPE_CHECKING:
    from rung.ladder.climb import Climbed

EPILOG = "Examples:  rung climb messages.csv   |   rung climb train.jsonl --test test.jsonl --budget 15m"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("climb", epilog=EPILOG)(climb)


@takes_settings("Options", "Verdict", "Data", "Prompting", "Training", "Machine and money")
def climb(files: Files, settings: dict[str, Any], config: Config = None, json: Json = False) -> None:
    """Climb the ladder on FILE: prompting, LoRA, full fine-tuning, and a verdict.

    With several files: an adapter for each against one for all of them.
    """
    if len(files) > 1:
        _many(files, settings, config, json)
        return
    from rung.cli.base import ensure_base
    from rung.cli.progress import Screen
    from rung.config import load_settings
    from rung.ladder.rungs import asked_for
    from rung.ladder.understood import looked_up, understand_data

    screen = Screen(quiet=json)
    with screen.shown():
        checked, _ = load_settings(config, settings)
        asked_for(looked_up(files[0], checked))
        data = understand_data(files[0], checked)  # report faults in it at once
        ensure_base(config, settings, screen)
        from rung.ladder.climb import climb as climb_

        climbed = climb_(data, config, screen, **settings)
    show(climbed, json)


def _many(files: list[Path], settings: dict[str, Any], config: Path | None, json: bool) -> None:
    from rung.cli.base import ensure_base
    from rung.cli.console import console
    from rung.cli.progress import Screen
    from rung.ladder.many import climb_many
    from rung.report.html import write_report
    from rung.report.many import load, print_many, write_many

    screen = Screen(quiet=json)
    with screen.shown():
        ensure_base(config, settings, screen)
        found = climb_many(files, config, screen, **settings)
    for part in found.parts:
        write_report(found.folder / part.name)
    report, record = write_many(found.folder), load(found.folder)
    if json:
        print_json({"folder": str(found.folder), "report": str(report), **record})
        return
    print_many(record, console(soft_wrap=False), report)


def show(climbed: Climbed, json: bool) -> None:
    """Write the report; print the table and the verdict, or everything as JSON."""
    from rung.records import to_json
    from rung.report.html import write_report

    report = write_report(climbed.folder)
    if json:
        value = {
            "folder": str(climbed.folder),
            "report": str(report),
            "verdict": to_json(climbed.verdict),
            "results": [to_json(result) for result in climbed.results],
        }
        print_json(value)
        return
    print_run(climbed.folder, report)


def print_run(folder: Path, report: Path) -> None:
    """The table and the verdict of a run folder."""
    from rung.cli.console import console
    from rung.report.text import print_view
    from rung.report.view import load_view

    print_view(load_view(folder), console(soft_wrap=False), report)
