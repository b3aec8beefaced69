"""What a process needs before a verb begins: streams that can be used, a working folder, room in memory."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence

from rung import numbers
from rung.errors import ResourceError, UsageError, cut

__all__ = ["LEAST_MEMORY", "discard_unwritten", "prepare_streams", "require_place", "require_text"]

LEAST_MEMORY = 2_000_000_000  # bytes of address space; with less, numpy or torch end the process on import
_ASCII = ("ascii", "us-ascii", "ansi_x3.4-1968")


def prepare_streams() -> None:
    """Make the standard streams usable whatever they were at the start.

    A closed one becomes the null device, so that no file of ours takes its number. Characters that a stream
    cannot hold are written as ``?``; input that is not in its encoding is read with U+FFFD in its place.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # in the order of their numbers
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is the closed one
            setattr(sys, name, os.fdopen(null, mode, encoding="utf-8", closefd=False))
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            utf8 = name == "stdin" and stream.encoding.lower() in _ASCII
            with contextlib.suppress(io.UnsupportedOperation, ValueError):
                stream.reconfigure(encoding="utf-8" if utf8 else None, errors="replace")


def require_text(arguments: Sequence[str]) -> None:
    """Raises `UsageError` for an argument that is not text in this locale, as a file name in other bytes."""
    for place, argument in enumerate(arguments, 1):
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"argument {place} is not UTF-8 text: {cut(argument, 100)}",
                fix="Rename the file or folder, or write the text in UTF-8, in a UTF-8 locale",
            ) from error


def require_place() -> None:
    """Raises `UsageError` where the working folder is gone, `ResourceError` for a low limit of memory."""
    try:
        os.getcwd()
    except OSError as error:
        raise UsageError(
            "the folder this command runs in is not there any more",
            fix="Change to a folder that exists and run the command again",
        ) from error
    limit = _address_space()
    if limit is not None and limit < LEAST_MEMORY:
        raise ResourceError(
            f"this process may use {numbers.size(limit)} of address space, "
            f"and {numbers.size(LEAST_MEMORY)} is the least that works",
            fix="Raise the limit (ulimit -v) and run the command again",
        )


def discard_unwritten() -> None:
    """Drop output that its stream does not take, so that the interpreter does not try again as it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _address_space() -> int | None:
    """The limit of this process's address space in bytes; None where there is none."""
    try:
        import resource
    except ImportError:  # no such limits on this system
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
