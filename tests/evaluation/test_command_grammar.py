"""Commands of what exists: which texts their grammar takes, and that what it takes can be read."""

from __future__ import annotations

import pytest

import taking
from rung.data.catalogue import Entry
from rung.evaluation.call_grammar import CallForm, grammar_of_calls, takes
from rung.evaluation.offered import indexed

GIT = indexed(
    [
        Entry("git", "", flags=("-C", "--version")),
        Entry("git add", "", flags=("-A", "--chmod")),
        Entry("git remote", "", flags=("-v",)),
        Entry("git remote add", "", flags=("-f",)),
        Entry("git tag", ""),
        Entry("ls FOLDER", ""),
    ]
)
NAMES = ("git add", "git remote", "git remote add", "git tag", "ls")


def is_taken(text: str, strict: bool = True, **form: int) -> bool:
    return taking.is_taken(GIT, text, CallForm(("command",), strict, **form), NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "git add .",
        'git add -A --chmod=+x \'a file\' "it\'s \\"b\\"" c\\ d é漢',
        "git add --chmod +x -- -n --any 'thing'",
        "git add '' \"\" - -5",
        "git add x='a b' $'tab\\t' 2>&1",
        "git remote -v",
        "git remote show origin -v",
        "git remote 'Show it' add",
        "git remote add -f origin https://x.example/?a=b&c=d",
        "git tag --list -n 5 --sort=-date -m 'a | b; c && d'",
        "git --version",
        "git -C",
        "ls -l",
        "ls",
    ],
)
def test_commands_of_a_catalogue(text: str) -> None:
    assert is_taken(text)
    assert is_taken(text, strict=False)


@pytest.mark.parametrize(
    "text",
    [
        "git push",
        "git",
        "hg add .",
        "git add --all .",
        "git add '--all' .",
        "git add -A'x",
        'git add "x',
        "git remote add -v origin",
        "git remote 'add' -v origin",
        "git remote -v add -v",
        "git add . | grep x",
        "git add .; git tag x",
        "git add . && git tag x",
        "Use git add .",
    ],
)
def test_what_does_not_exist_or_is_not_closed(text: str) -> None:
    assert is_taken(text) is is_taken(text, strict=False) is (text == "git")


def test_several_commands_and_pipes() -> None:
    assert is_taken("git add .\ngit tag 'x y'", most=2)
    assert is_taken("git add . && git tag x", most=2)
    assert not is_taken("git add .\ngit push", most=2)
    assert not is_taken("ls\nls\nls", most=2)
    assert is_taken("git tag | sort -r 'x|y' | head -n 3", pipes=2)
    assert is_taken("git tag | ls", pipes=1)
    assert not is_taken("git tag | sort | head", pipes=1)
    assert not is_taken("git tag | git push", pipes=1)
    assert not is_taken("git tag || sort", pipes=1)


def test_the_looser_form_takes_brackets_lines_and_flags_before_a_subcommand() -> None:
    for text in (
        "git add $(ls -A | head)",
        "git tag -m 'one\ntwo'",
        "git -C there add .",
        "git add a[0] {b,c}",
    ):
        assert not is_taken(text)
        assert takes(grammar_of_calls(GIT, CallForm(("command",), strict=False)), text)
