"""Settings as flags: each field of `rung.config.Settings` is one flag with the field's own help line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from rung.config import Panel, Settings

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="File of examples: CSV, JSON, JSONL, Parquet, Excel, ... (docs/data.md); or, to climb, tune or "
        "check, a folder of documents.",
        show_default=False,
        readable=False,
    ),
]
Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...",
        help="File of examples: CSV, JSON, JSONL, Parquet, Excel, ... (docs/data.md); several: a task each.",
        show_default=False,
        readable=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", help="YAML file of settings; flags win over it.", show_default=False, readable=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def panel_of(field: FieldInfo) -> str:
    """The section of the help page that a setting is in."""
    return next((one.title for one in field.metadata if isinstance(one, Panel)), "")


def takes_settings(
    *panels: str, leave_out: tuple[str, ...] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb the flags of `panels`; it receives them in its keyword argument `settings`, as given."""
    fields = Settings.model_fields.items()
    names = {
        name: panel
        for panel in panels
        for name, field in fields
        if panel_of(field) == panel and name not in leave_out
    }

    def wrap(verb: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(verb, eval_str=True)
        kept = [p for p in own.parameters.values() if p.name != "settings"]
        flags = [_flag(name, Settings.model_fields[name], panel) for name, panel in names.items()]

        @functools.wraps(verb)
        def call(**given: Any) -> None:
            settings = {name: given.pop(name) for name in names}
            verb(
                **given, settings={name: value for name, value in settings.items() if value not in (None, [])}
            )

        signature = own.replace(parameters=[*kept, *flags])
        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        del call.__wrapped__
        return call

    return wrap


def _flag(name: str, field: FieldInfo, panel: str) -> inspect.Parameter:
    switch = field.annotation in (bool, bool | None)
    help_line = str(field.description)
    if field.default is not None and not switch and field.default not in ((), {}):
        help_line = f"{help_line} [default: {_plain(field.default, name)}]"
    dashed = "--" + name.replace("_", "-")
    option = typer.Option(
        f"{dashed}/--no-{dashed[2:]}" if switch else dashed,
        help=help_line,
        show_default=False,
        metavar=None if switch else _metavar(name),
        rich_help_panel=panel,
    )
    kind: Any = bool | None if switch else list[str] | None if name in ("roles", "options") else str | None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
    )


def _plain(value: Any, name: str) -> str:
    if name == "budget":
        return f"{value / 60:g}m"
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _metavar(name: str) -> str:
    kinds = {"test": "FILE", "output": "FOLDER", "budget": "TIME", "base": "NAME", "task": "KIND"}
    kinds |= {"apis": "FILE", "documents": "PATH"}
    return kinds.get(name, "VALUE")
