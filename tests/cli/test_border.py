"""Whatever a verb raises leaves as one paragraph and the right exit code."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from rung import cli
from rung.cli.border import as_ours
from rung.errors import AdapterError


class PanicException(BaseException):
    """Stands for the one of pyo3, which cannot be made by hand."""


def of_the_system(number: int, name: str | bytes | None = None) -> OSError:
    return OSError(number, os.strerror(number), name)


CASES: dict[str, tuple[BaseException, int, str]] = {
    "memory": (MemoryError(), 6, "there is not enough memory. Close other programs"),
    "memory of torch": (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 6, "not enough memory"),
    "a library that is not mapped": (
        ImportError("x.so: failed to map segment from shared object"),
        6,
        "memory",
    ),
    "a full disk": (of_the_system(errno.ENOSPC, "runs/x"), 6, "runs/x: cannot be used: No space left"),
    "a stream that is full": (of_the_system(errno.ENOSPC), 6, "refuses to read or write: No space left"),
    "too many files": (of_the_system(errno.EMFILE, "x"), 6, "x: cannot be used: Too many open files"),
    "permissions": (of_the_system(errno.EACCES, b"x"), 2, "x: cannot be used: Permission denied. Check the"),
    "links in a circle": (of_the_system(errno.ELOOP, "x"), 2, "x: cannot be used: Too many levels"),
    "a name that is too long": (
        of_the_system(errno.ENAMETOOLONG, "x" * 9000),
        2,
        "cannot be used: File name",
    ),
    "a name that is not UTF-8": (
        UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"),
        2,
        "is not UTF-8",
    ),
    "bytes that are not UTF-8": (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), 2, "is not UTF-8"),
    "a panic": (PanicException("index out of bounds"), 1, "a fault in rung: PanicException: index out of"),
    "too deep": (RecursionError("maximum recursion depth"), 1, "a fault in rung: RecursionError"),
    "a message of many lines": (ValueError("one\n\ttwo\x1b[2J"), 1, "ValueError: one two\\x1b[2J. It came"),
    "a message of 10 kB": (KeyError("k" * 10_000), 1, "KeyError: 'kkk"),
    "ours": (AdapterError("is broken"), 4, "rung: is broken."),
}


@pytest.mark.parametrize("name", CASES)
def test_one_paragraph_and_the_right_code(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raised, code, said = CASES[name]

    def fail(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.delenv("RUNG_TRACEBACK", raising=False)
    monkeypatch.setattr("rung.cli.app.app", fail)
    assert cli.run(["climb", "x.csv"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rung: ")
    assert said in err
    assert err.count("\n") == 1
    assert len(err) < 2000
    assert "Traceback" not in err


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_what_asks_to_stop_is_no_error(raised: BaseException) -> None:
    assert as_ours(raised) is None


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_signals_keep_their_codes(
    raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr("rung.cli.app.app", stop)
    assert cli.run(["climb", "x.csv"]) == code
    assert capsys.readouterr().err == "rung: stopped; run the same command again to continue from here\n"
