"""Every user-facing error says what, where, why and what to do, and has its own exit code."""

from __future__ import annotations

import pytest

from rung import errors
from rung.errors import DataError, RungError, nearest

CODES = {
    "RungError": 1,
    "UsageError": 2,
    "DataError": 3,
    "TurnsError": 3,
    "BaseModelError": 4,
    "AdapterError": 4,
    "VerifyError": 5,
    "ResourceError": 6,
    "ResumeError": 7,
}


def test_message_is_one_paragraph_in_order() -> None:
    error = DataError("row 7 has no target", where="a.jsonl", why="It is empty", fix="Fill it")
    assert str(error) == "a.jsonl: row 7 has no target. It is empty. Fill it."


def test_empty_parts_leave_no_trace() -> None:
    assert str(RungError("it broke")) == "it broke."


@pytest.mark.parametrize("end", [".", "!", "?", ":"])
def test_sentences_get_no_second_full_stop(end: str) -> None:
    assert str(RungError(f"it broke{end}")) == f"it broke{end}"


def test_parts_stay_readable_on_the_error() -> None:
    error = RungError("a", where="b", why="c", fix="d")
    assert (error.what, error.where, error.why, error.fix) == ("a", "b", "c", "d")


def test_exit_codes_are_those_of_the_docs() -> None:
    classes = {
        name: item
        for name, item in vars(errors).items()
        if isinstance(item, type) and issubclass(item, RungError)
    }
    assert {name: item.exit_code for name, item in classes.items()} == CODES
    drawn = {
        name: int(code)
        for name, code in (line.split()[-2:] for line in _tree_lines())
        if name.endswith("Error")
    }
    assert drawn == CODES


def _tree_lines() -> list[str]:
    """The lines of the tree in the module's docstring, cut after the number."""
    lines = []
    for line in (errors.__doc__ or "").splitlines():
        words = line.replace("├──", " ").replace("└──", " ").replace("│", " ").split()
        if len(words) > 1 and words[1].isdigit():
            lines.append(" ".join(words[:2]))
    return lines


def test_an_adapter_error_is_a_base_model_error() -> None:
    assert issubclass(errors.AdapterError, errors.BaseModelError)


def test_turns_are_refused_with_their_row_where_it_is_known() -> None:
    error = errors.TurnsError("the template drops turn 2", row=7, where="a.jsonl", fix="Leave it out")
    assert str(error) == "a.jsonl: row 7: the template drops turn 2. Leave it out."
    assert (error.reason, error.row) == ("the template drops turn 2", 7)
    assert str(errors.TurnsError("no")) == "no."
    assert isinstance(error, DataError)


def test_what_a_library_says_becomes_one_line() -> None:
    assert str(DataError("no:\n  one\r\n\n two\u2028", where="a\nb", fix="x\ny")) == "a b: no: one two. x y."


def test_nearest_finds_a_misspelt_word() -> None:
    assert nearest("learnig_rate", ["epochs", "learning_rate"]) == " Did you mean 'learning_rate'?"


def test_nearest_says_nothing_where_nothing_is_near() -> None:
    assert nearest("zzz", ["epochs", "learning_rate"]) == ""
