"""`rung evaluate`: the base and an adapter side by side on a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli.options import Config, File, Json, takes_settings
from rung.cli.output import print_json

if TYPE_CHECKING:
    from rung.ladder.compare import Evaluated

EPILOG = "Examples:  rung evaluate test.jsonl --adapter runs/x/adapters/lora   |   rung evaluate test.csv"
Adapter = Annotated[
    Path | None,
    typer.Option(
        "--adapter", help="Folder of an adapter in PEFT's format.", show_default=False, readable=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("evaluate", epilog=EPILOG)(evaluate)


@takes_settings(
    "Options",
    "Data",
    "Prompting",
    "Machine and money",
    leave_out=(
        "test",
        "rungs",
        "method",
        "budget",
        "output",
        "epochs",
        "dev_fraction",
        "test_fraction",
        "max_dev",
        "max_length",
        "long_rows",
        "shots",
        "price_per_hour",
        "currency",
    ),
)
def evaluate(
    file: File, settings: dict[str, Any], adapter: Adapter = None, config: Config = None, json: Json = False
) -> None:
    """Let the base, and an adapter on top of it, answer the rows of FILE, and grade both."""
    from rung.cli.base import ensure_base
    from rung.cli.progress import Screen
    from rung.data.opening import require_file

    require_file(file)  # faults in it are said before a base is fetched
    screen = Screen(quiet=json)
    with screen.shown():
        ensure_base(config, settings, screen)
        from rung.ladder.compare import evaluate as evaluate_

        found = evaluate_(file, adapter, config, screen, **settings)
    _show(found, json)


def _show(found: Evaluated, as_json: bool) -> None:
    from rung.records import to_json

    if as_json:
        value = {
            "task": to_json(found.task),
            "task_from": found.task_from,
            "warnings": list(found.warnings),
            "rows": found.rows,
            "base": [to_json(one) for one in found.base],
            "adapter": [to_json(one) for one in found.adapter] if found.adapter else None,
            "difference": to_json(found.difference) if found.difference else None,
        }
        print_json(value)
        return
    from rich.table import Table

    from rung.cli.console import console
    from rung.numbers import quality

    table = Table(box=None, title=f"{found.task.kind}, {found.rows} rows", title_justify="left")
    columns = [("base", found.base)] + ([("adapter", found.adapter)] if found.adapter else [])
    table.add_column("metric")
    for name, _ in columns:
        table.add_column(name, justify="right")
    for index, measure in enumerate(found.base):
        table.add_row(measure.name, *(quality(measures[index]) for _, measures in columns))
    screen = console(soft_wrap=False)
    screen.print(table)
    if found.difference:
        apart = "" if found.difference.distinguishable else "; the two cannot be told apart on these rows"
        screen.print(f"adapter minus base: {quality(found.difference.difference, difference=True)}{apart}")
