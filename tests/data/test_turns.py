"""Where the text of each turn is in a template's output, and what is refused."""

from __future__ import annotations

import pytest

from rung.data.traced import joined, traced
from rung.data.turns import locate, refusal
from rung.errors import TurnsError
from rung.records import Message, Role


def where(role: Role, content: str, *pieces: str | tuple[int, int]) -> tuple[int, int] | None:
    """The place of one message whose pieces (first, last), between other texts, a template wrote."""
    text = traced(content, 0)
    written = joined([piece if isinstance(piece, str) else text[slice(*piece)] for piece in pieces])
    return locate(written, [Message(role, content)])[0]


def test_a_text_is_found_where_it_stands() -> None:
    first, second = Message("user", "one"), Message("assistant", "two")
    written = joined(["<", traced("one", 0), ">", traced("two", 1), ">"])
    assert locate(written, [first, second]) == [(1, 4), (5, 8)]
    assert locate(joined([traced("two", 1), traced("one", 0)]), [first, second]) == [(3, 6), (0, 3)]


def test_space_around_a_text_may_be_dropped() -> None:
    assert where("user", " a b\n", "<", (1, 4), ">") == (1, 4)
    assert where("user", " a b\n", "<", (0, 5), ">") == (1, 6)
    assert where("user", " \n", "<>") is None
    assert where("user", "", "<", (0, 0), ">") == (1, 1)


def test_other_space_between_words_is_no_loss_but_another_text() -> None:
    assert where("assistant", "one  two", (0, 3), (4, 8)) is None
    assert where("user", "one  two", (0, 3), "\n", (5, 8)) is None


def test_a_text_may_be_written_once_more() -> None:
    assert where("user", "one two", "Title: ", (0, 3), "\n", (0, 7)) == (11, 18)
    assert where("user", "one two", (0, 7), " (", (4, 7), ")") == (0, 7)


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        (["<>"], "drops"),
        (["one two"], "drops"),  # a copy that lost its origin
        (["<", (0, 3), ">"], "changes"),
        ([(0, 3), "_", (4, 7)], "changes"),
        ([(0, 2), "x", (2, 7)], "changes"),
        ([(4, 7), (0, 4)], "changes"),
    ],
)
@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_words_that_are_lost_or_changed(role: Role, pieces: list[str | tuple[int, int]], kind: str) -> None:
    with pytest.raises(TurnsError, match=rf"the chat template {kind} the text of turn 1 \({role}\)"):
        where(role, "one two", *pieces)


@pytest.mark.parametrize(
    ("content", "rest"),
    [
        ("<think>a b</think>\n\nso", "so"),
        ("<think></think>so", "so"),
        ("a b</think>so", "so"),
        ("<thinking>\na\n</thinking> so", "so"),
        ("<|channel>thought\na<channel|>so", "so"),
        ("[THINK]a[/THINK]so", "so"),
        ("<think>only thoughts</think>", ""),
        ("so <seed:think>a</seed:think>", "so "),
    ],
)
def test_thoughts_of_an_answer_may_be_dropped(content: str, rest: str) -> None:
    at = content.index(rest)
    assert where("assistant", content, "<", (at, at + len(rest)), ">") is None
    with pytest.raises(TurnsError):
        where("user", content, "<", (at, at + len(rest)), ">")


def test_a_switch_may_be_taken_out() -> None:
    assert where("system", "Be kind. /no_think", (0, 8)) is None
    assert where("user", "/think Hi", (7, 9)) is None
    with pytest.raises(TurnsError):
        where("system", "Be kind. /usr", (0, 8))


@pytest.mark.parametrize(
    "content", ["Words <think>a</think> so", "Words <think>a</think> b</think>so", "a<b> so"]
)
def test_the_rest_of_an_answer_must_be_there(content: str) -> None:
    with pytest.raises(TurnsError, match="changes the text of turn 1"):
        where("assistant", content, (content.index("so"), len(content)))


def test_thoughts_between_tags_of_the_template() -> None:
    content = "<think>\nhm\n</think>\n\nso"
    same = ["<think>\n", (8, 10), "\n</think>\n\n", (21, 23), "<end>"]
    assert where("assistant", content, *same) == (0, len(content))
    assert where("assistant", content, *(["<b>", *same[1:]])) is None
    assert where("assistant", "<think>hm</think>so", "<think>\n", (7, 9), "\n</think>\n\n", (17, 19)) is None


def test_equal_reasons_are_said_once() -> None:
    def refused(row: int, reason: str = "no", where: str = "x.csv") -> TurnsError:
        return TurnsError(reason, row=row, where=where, fix="Do this")

    assert str(refusal([refused(7)])) == "x.csv: row 7: no. Do this."
    assert str(refusal([refused(n) for n in range(24, 0, -1)])).startswith(
        "x.csv: rows 1 to 5 and 19 more: no."
    )
    assert str(refusal([refused(2), refused(9), refused(4)])).startswith("x.csv: rows 2, 4 and 9: no.")
    assert str(refusal([refused(2), refused(3)])).startswith("x.csv: rows 2 and 3: no.")
    assert str(refusal([refused(2), refused(3), refused(4)])).startswith("x.csv: rows 2 to 4: no.")
    assert "rows 1, 3, 5, 7, 9 and 5 more: no" in str(refusal([refused(n) for n in range(1, 20, 2)]))
    files = str(refusal([refused(2), refused(3, where="y.csv")]))
    assert files.startswith("x.csv: row 2: no; y.csv: row 3: no.")
    many = str(refusal([refused(n, f"no {n // 3}") for n in range(15)]))
    assert many == (
        "x.csv: rows 0 to 2: no 0; rows 3 to 5: no 1; rows 6 to 8: no 2; and 6 more rows. Do this."
    )
