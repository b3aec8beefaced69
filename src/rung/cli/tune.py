"""`rung tune`: train one method on a file and keep the adapter."""

from __future__ import annotations

from typing import Any

import typer

from rung.cli.options import Config, File, Json, takes_settings
from rung.cli.output import say

EPILOG = "Examples:  rung tune messages.csv   |   rung tune train.jsonl --method full --output runs/full"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("tune", epilog=EPILOG)(tune)


@takes_settings("Options", "Data", "Training", "Machine and money", leave_out=("rungs",))
def tune(file: File, settings: dict[str, Any], config: Config = None, json: Json = False) -> None:
    """Tune the base on FILE with one method; the adapter comes in PEFT's format."""
    from rung.cli.base import ensure_base
    from rung.cli.climb import show
    from rung.cli.progress import Screen
    from rung.config import load_settings
    from rung.ladder.understood import understand_data

    screen = Screen(quiet=json)
    with screen.shown():
        data = understand_data(file, load_settings(config, settings)[0])  # report faults in it at once
        ensure_base(config, settings, screen)
        from rung.ladder.tune import tune as tune_

        climbed = tune_(data, config, screen, **settings)
    show(climbed, json)
    if not json:
        for result in climbed.results:
            if result.status == "ok":
                say(f"\nAdapter: {climbed.folder / 'adapters' / result.rung}")
