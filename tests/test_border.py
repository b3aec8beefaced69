"""What foreign code raises becomes our error; our own errors and the user's stop go through."""

from __future__ import annotations

import pytest
from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Split

from rung.border import foreign, is_memory, said
from rung.errors import BaseModelError, DataError


def refusal(text: str) -> BaseModelError:
    return BaseModelError(f"unusable: {text}")


@pytest.mark.parametrize("kind", [ValueError, KeyError, OSError, TypeError, RecursionError, AssertionError])
def test_an_error_of_any_kind_becomes_ours(kind: type[Exception]) -> None:
    with pytest.raises(BaseModelError, match="unusable: ") as caught, foreign(refusal):
        raise kind("here")
    assert isinstance(caught.value.__cause__, kind)


@pytest.mark.parametrize("error", [DataError("x"), MemoryError(), KeyboardInterrupt(), SystemExit(3)])
def test_what_is_no_fault_of_foreign_code_goes_through(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, foreign(refusal):
        raise error
    assert caught.value is error


@pytest.mark.filterwarnings("ignore")
def test_a_panic_in_a_library_written_in_rust_becomes_ours() -> None:
    backtracking = Tokenizer(BPE(vocab={"a": 0}, merges=[]))
    backtracking.pre_tokenizer = Split(Regex(r"\A(a+)+\1b"), "isolated")  # type: ignore[assignment]
    with pytest.raises(BaseModelError, match="unusable: "), foreign(refusal):
        backtracking.encode("a" * 32 + "c")


def test_nothing_happens_where_nothing_is_wrong() -> None:
    with foreign(refusal):
        pass


def test_what_an_error_says_is_short_and_never_empty() -> None:
    assert said(ValueError("one\ntwo")) == "one"
    assert said(ValueError("Field x:\n  too small\nmore")) == "Field x: too small"
    assert said(ValueError()) == "ValueError"
    assert said(KeyError("added_tokens")) == "KeyError: 'added_tokens'"
    assert said(PermissionError(13, "Permission denied", "/secret/place")) == "Permission denied"
    assert len(said(ValueError("x" * 999))) == 200


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (ImportError("x.so: failed to map segment from shared object"), True),
        (RuntimeError("shapes do not fit"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_says_that_memory_ran_out(error: Exception, memory: bool) -> None:
    assert is_memory(error) is memory
