"""The command line: one file a verb. Nothing here imports torch before a verb needs it.

`run` is the border: whatever a verb raises leaves as one paragraph on stderr and one of the exit codes of
`rung.errors`. Streams, arguments and the place are looked at first (`rung.cli.process`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
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
    from rung.cli.process import discard_unwritten

    code = run(sys.argv[1:] if arguments is None else arguments)
    discard_unwritten()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code.

    Only what asks the process to stop is raised; and every other fault of rung where RUNG_TRACEBACK is set.
    """
    import typer

    from rung.cli import border, process
    from rung.cli.app import app

    arguments = list(arguments)
    as_json = "--json" in takewhile(lambda word: word != "--", arguments)
    process.prepare_streams()
    try:
        process.require_text(arguments)
        code = app(arguments, prog_name="rung", standalone_mode=False)
        sys.stdout.flush()
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
    except BaseException as error:
        ours = border.as_ours(error)
        bug = type(ours) is RungError and ours is not error
        if ours is None or (bug and os.environ.get(border.TRACEBACK)):
            raise
        return _fail(str(ours), ours.exit_code, as_json)
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
    from rung.cli.process import discard_unwritten

    discard_unwritten()
    return 0


def _fail(message: str, code: int, as_json: bool) -> int:
    from rung.cli.output import complain, print_json

    if as_json:
        with suppress(OSError, ValueError):
            print_json({"error": message, "exit_code": code})
    complain(message)
    return code
