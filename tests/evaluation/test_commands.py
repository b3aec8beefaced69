"""Command lines, taken apart."""

from __future__ import annotations

import pytest

from rung.evaluation.commands import THEN, arrange, differing, has_flag, split_line, words_of_command


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("git add f", [(THEN, ("git", "add", "f"))]),
        ("a 1 && b 2; c", [(THEN, ("a", "1")), (THEN, ("b", "2")), (THEN, ("c",))]),
        ("a\nb", [(THEN, ("a",)), (THEN, ("b",))]),
        ("a | b || c", [(THEN, ("a",)), ("|", ("b",)), ("||", ("c",))]),
        ("echo 'a; b' \"c | d\"", [(THEN, ("echo", "a; b", "c | d"))]),
        (r"find . -exec rm {} \;", [(THEN, ("find", ".", "-exec", "rm", "{}", ";"))]),
        ("a $(b; c) d", [(THEN, ("a", "$(b;", "c)", "d"))]),
        ("a 2>&1", [(THEN, ("a", "2>&1"))]),
        ("a;", [(THEN, ("a",))]),
        (" ; ", []),
        ("| a", [(THEN, ("a",))]),
    ],
)
def test_a_line_is_split_into_its_commands(line: str, parts: list[tuple[str, tuple[str, ...]]]) -> None:
    assert split_line(line) == parts


def test_a_quotation_without_an_end() -> None:
    with pytest.raises(ValueError, match="quotation"):
        split_line("git commit -m 'x")


def test_words_of_a_command() -> None:
    assert words_of_command("ls -l '/a b'") == ["ls", "-l", "/a b"]
    assert words_of_command("it's here") == ["it's", "here"][:0]
    assert words_of_command("Ask first") == []


def test_flags() -> None:
    assert has_flag(("rm", "-rf", "/"))
    assert has_flag(("x", "--all"))
    assert not has_flag(("x", "-1", "- y"))


def test_what_counts_of_a_command() -> None:
    found = arrange(("cp", "-r", "a", "--mode=x", "b", "--", "-c"), ("cp", "a", "-r"))
    assert found.words == ("cp", "a", "b")
    assert found.flags == {("-r", None): 1, ("--mode", "x"): 1}
    assert found.rest == ("-c",)


def test_what_differs() -> None:
    one = ("kubectl", "get", "pods", "-n", "web", "--all")
    assert differing(one, one) == []
    assert differing(one, ("kubectl", "get", "pod", "-n", "db")) == ["--all", "-n", "word 3"]
    assert differing(("a", "b", "--", "c"), ("a", "--", "d")) == ["word 2", "after --"]
