"""The verbs, in the order people meet them."""

from __future__ import annotations

import typer

from rung.cli import bases, chat, check, climb, evaluate, methods, predict, report, tune
from rung.cli.output import say
from rung.cli.process import require_place

app = typer.Typer(
    name="rung",
    help="Should you prompt or fine-tune? Climb the ladder on your own data and get a measured answer.",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for verb in (climb, check, predict, tune, evaluate, chat, report, methods, bases):
    verb.register(app)


@app.callback(invoke_without_command=True)
def _front(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
    if version:
        from rung import __version__

        say(f"rung {__version__}")
        raise typer.Exit()
    if context.invoked_subcommand is not None:
        require_place()
    else:
        say(context.get_help())
