"""`rung methods`: the ways to tune, what each trains on a base, what it promises, and its options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli.options import Json
from rung.cli.output import print_json, say

if TYPE_CHECKING:
    from rung.methods.method import Method
    from rung.methods.sizes import Sizes

EPILOG = "Examples:  rung methods   |   rung methods lora   |   rung methods --base tiny"
Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="A method, for its options.")]
BaseName = Annotated[
    str | None, typer.Option("--base", help="Base that the numbers are for; the default one if it is here.")
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("methods", epilog=EPILOG)(methods)


def methods(name: Name = None, base: BaseName = None, json: Json = False) -> None:
    """List the ways to tune; with a name, the options of one."""
    from rung.methods import METHODS

    found = [METHODS[name]] if name else [method for _, method in METHODS.items()]
    sizes, where = _sizes(found, base)
    if json:
        print_json([_plain(method, sizes.get(method.name)) for method in found])
        return
    for method in found:
        size = sizes.get(method.name)
        say(f"{method.name:<11} {method.title}. {method.when}")
        say(f"{'':<11} {'; '.join([*([_said(method, size)] if size else []), *_promises(method)])}")
        if name:
            _say_options(method)
    say(f"\nNumbers are for {where}, with the default options." if where else "")
    if not name:
        say("`rung methods NAME` shows the options of one; any method of PEFT is peft:NAME.")
        say("NAME-dpo is the same method, trained on preference pairs.")


def _sizes(found: list[Method], name: str | None) -> tuple[dict[str, Sizes], str]:
    """By method, and the base they are for; nothing where none is named and the default one is not here."""
    from rung.bases import catalog
    from rung.methods.sizes import sizes_of

    if name is None and catalog.folder_of(catalog.DEFAULT) is None:
        return {}, ""
    import torch

    from rung.compute.load import load

    base = load(name or catalog.DEFAULT, dtype=torch.bfloat16)
    return {method.name: sizes_of(method, base.model) for method in found}, base.name


def _said(method: Method, size: Sizes) -> str:
    from rung import numbers

    if size.refused:
        return f"this base cannot take it: {size.refused}"
    of_labels = " for two labels" if method.classifies else ""
    return f"trains {size.trained:,} numbers{of_labels}, file of {numbers.size(size.bytes)}"


def _promises(method: Method) -> list[str]:
    promises = method.promises
    return [
        "does not begin as the base" if promises.identity_at_start is False else "begins as the base",
        "can be merged" if promises.mergeable else "cannot be merged",
        *(["writes a whole model"] if promises.whole_model else []),
        f"learning rate {method.learning_rate:g}",
    ]


def _say_options(method: Method) -> None:
    fields = method.Settings.model_fields
    say("\nOptions:" if fields else "\nIt has no options.")
    for option, field in fields.items():
        default = "" if field.default in (None, (), {}) else f" [default: {field.default}]"
        say(f"  --options {method.name}.{option}=...  {field.description}{default}")


def _plain(method: Method, size: Sizes | None) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "name": method.name,
        "title": method.title,
        "when": method.when,
        "learning_rate": method.learning_rate,
        "promises": asdict(method.promises),
        "options": {name: str(field.description) for name, field in method.Settings.model_fields.items()},
        "size": asdict(size) if size else None,
    }
