"""What foreign code raises, as our errors: whatever a verb lets through becomes a paragraph and a code."""

from __future__ import annotations

import errno
import os
import traceback
from pathlib import Path

from rung.border import is_fault, is_memory
from rung.errors import ResourceError, RungError, UsageError

__all__ = ["TRACEBACK", "as_ours"]

TRACEBACK = "RUNG_TRACEBACK"  # set: what is not a user's error ends with Python's traceback
_SPENT = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EFBIG,
    errno.EROFS,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EAGAIN,
}


def as_ours(error: BaseException) -> RungError | None:
    """The error of ours that says what `error` is; None for what asks the process to stop."""
    if isinstance(error, RungError):
        return error
    if is_memory(error):
        return ResourceError(
            "there is not enough memory",
            fix="Close other programs, raise the limit (ulimit -v), or use fewer rows or a smaller --base; "
            "finished work stays",
        )
    if isinstance(error, OSError):
        return _of_the_system(error)
    if isinstance(error, UnicodeError):
        return UsageError(
            f"a text or a name that was given is not UTF-8 ({error.__class__.__name__}: {error})",
            fix="Rename the file or folder, or save the text as UTF-8",
        )
    return _bug(error) if is_fault(error) else None


def _of_the_system(error: OSError) -> RungError:
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return ResourceError(
            f"the system refuses to read or write: {reason}",
            fix="Look at the disk and at where input and output of this command go, then run it again",
        )
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    if error.errno in _SPENT:
        return ResourceError(
            f"cannot be used: {reason}", where=where, fix="Make room, then run the same command again"
        )
    return UsageError(f"cannot be used: {reason}", where=where, fix="Check the path and its permissions")


def _bug(error: BaseException) -> RungError:
    """A fault that is nobody's: what it is, where it came from, how to report it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "rung" in Path(frame.filename).parts] or list(frames)
    at = f"It came from {Path(ours[-1].filename).name}, line {ours[-1].lineno}" if ours else ""
    return RungError(
        f"this is a fault in rung: {type(error).__name__}: {error}",
        why=at,
        fix=f"Set {TRACEBACK}=1, run the same command again and report what it prints",
    )
