"""The border to code that is not ours: what it raises becomes one of our errors.

transformers, tokenizers, safetensors, Jinja and the operating system raise many kinds of errors at a damaged
file, and a panic inside a tokenizer library is not even an `Exception`. Wherever such code works on something
that a user gave, it runs inside `foreign`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from rung.errors import RungError

_PANIC = "PanicException"  # pyo3's name for a panic in a library written in Rust; a BaseException
_NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "failed to map segment", "out of memory")


class foreign:
    """A context in which every error becomes ``refusal(what the error says)``.

    Errors of rung, a stop by the user and a lack of memory go through as they are.
    """

    def __init__(self, refusal: Callable[[str], RungError]) -> None:
        self._refusal = refusal

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, RungError | MemoryError):
            return
        if is_fault(error):
            raise self._refusal(said(error)) from error


def is_fault(error: BaseException) -> bool:
    """Whether `error` says that something failed, a panic included, and does not ask the process to stop."""
    return isinstance(error, Exception) or type(error).__name__ == _PANIC


def is_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, in Python, in torch or in the loader of shared libraries."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError | ImportError) and any(
        words in str(error).lower() for words in _NO_MEMORY
    )


def said(error: BaseException, limit: int = 200) -> str:
    """The first line of an error's text (and what follows a colon), shortened; its class where it is bare."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror  # without the path, which the message names by itself
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else "".join(lines[:1])
    if isinstance(error, KeyError) or not text:
        text = f"{type(error).__name__}: {text}".removesuffix(": ")
    return text if len(text) <= limit else text[: limit - 1] + "…"
