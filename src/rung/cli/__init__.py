"""The command line: one file a verb. Nothing here imports torch before a verb needs it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rung.errors import RungError, UsageError

if TYPE_CHECKING:
    import typer

__all__ = ["main", "run"]

_STOPPED = "stopped; run the same command again to continue from here"
_STOPPED_PRINTING = (
    "stopped; the rows printed so far are complete, and with --output the command can be continued"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with one of the codes of `rung.errors`."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code. What is not a user's error is raised."""
    import typer

    from rung.cli.app import app

    arguments = list(arguments)
    as_json = "--json" in arguments
    try:
        code = app(arguments, prog_name="rung", standalone_mode=False)
        sys.stdout.flush()
    except RungError as error:
        return _fail(str(error), error.exit_code, as_json)
    except typer.TyperException as error:
        return _fail(_usage(error), 2, as_json)
    except (KeyboardInterrupt, typer.Abort):
        return _fail(_stopped(arguments), 130, as_json)
    except SystemExit as leaving:
        if isinstance(leaving.__context__, BrokenPipeError):
            return _unread()
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BrokenPipeError:
        return _unread()
    except Exception as bug:
        if as_json:
            _print_json(f"{type(bug).__name__}: {bug}", 1)
        raise
    if code in (130, 143):
        return _fail(_stopped(arguments), code, as_json)
    return code if isinstance(code, int) else 0


def _stopped(arguments: Sequence[str]) -> str:
    prints = arguments[:1] == ["predict"] and not any(one.startswith("--output") for one in arguments)
    return _STOPPED_PRINTING if prints else _STOPPED


def _usage(error: typer.TyperException) -> str:
    """What is wrong with the command line, and where to read more."""
    what = " ".join(error.format_message().split())
    command = getattr(getattr(error, "ctx", None), "command_path", "rung")
    return str(UsageError(what, fix=f"See `{command} --help`"))


def _unread() -> int:
    """The reader of our output closed the pipe: drop the rest of it."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _fail(message: str, code: int, as_json: bool) -> int:
    if as_json:
        _print_json(message, code)
    sys.stderr.write(f"rung: {message}\n")
    return code


def _print_json(message: str, code: int) -> None:
    sys.stdout.write(json.dumps({"error": message, "exit_code": code}) + "\n")
