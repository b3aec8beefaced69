"""Python calls of what exists: which texts their grammar takes, and that what it takes can be read."""

from __future__ import annotations

import pytest

import taking
from rung.data.catalogue import Entry
from rung.evaluation.call_grammar import CallForm
from rung.evaluation.offered import Offered, indexed

HUB = indexed(
    [
        Entry("hub.load(repo='a/b', model='small', pretrained=True)", ""),
        Entry("hub.load(repo='a/b', model='large', 'third')", ""),
        Entry("hub.load(repo='c/d')", ""),
        Entry("hub.list(name, n=3)", ""),
    ]
)
TOOLS = indexed(
    [
        Entry("find", "", ("what", "n", "from"), ("string", "integer", ""), ("what",), tool=True),
        Entry("get-weather", "", ("day",), ("boolean",), (), tool=True),
        Entry("anything", "", None, tool=True),
        Entry("now", "", (), tool=True),
    ]
)


def is_taken(offered: Offered, text: str, strict: bool = True, **form: object) -> bool:
    kept = CallForm(("python",), strict, **form)  # type: ignore[arg-type]
    return taking.is_taken(offered, text, kept, tuple(offered.functions))


@pytest.mark.parametrize(
    "text",
    [
        'hub.load(model="small", repo="a/b")',
        "hub.load(model='small', repo='a/b', n=-1.5e3, pretrained=True, device=torch.device('cpu'))",
        "hub.load(repo='a/b', 'third', model='large', x=['it\\'s', {\"k\": (1, [2, {}])}, \"\\u00e9\\n\"])",
        "hub.load(repo='c/d')",
        "hub.load(repo='c/d', model=name, y=f(1, g=h[0])[2].z, text='a, b) c(' + 'Ω 漢字', **{'a': None})",
        "hub.list()",
        "hub.list('any text', n=2 * 3, s='')",
        "\nhub.list(a)\n",
    ],
)
def test_calls_of_a_catalogue(text: str) -> None:
    assert is_taken(HUB, text)
    assert is_taken(HUB, text, strict=False)


@pytest.mark.parametrize(
    "text",
    [
        "hub.fetch('a/b', 'small')",
        "hub.load('a/b', 'huge')",
        "hub.load(repo='a/b', model='third')",
        "hub.load(repo='c/b', model='small')",
        "hub.load()",
        "hub.load(repo='a/b', model='small'",
        "hub.load(repo='a/b', model='small'))",
        "hub.load(repo='a/b', model='small', x=[1)",
        "hub.load(repo='a/b', model='small', x='y)",
        "hub.load(repo='a/b', model='small', x='\\x1')",
        "hub.load(repo='a/b', model='small', if=1)",
        "hub.load(repo='c/d')\nhub.load(repo='c/d')",
        "Use hub.load(repo='c/d')",
        "hub.list(,)",
        "",
    ],
)
def test_what_does_not_exist_or_cannot_be_read(text: str) -> None:
    assert not is_taken(HUB, text)
    assert not is_taken(HUB, text, strict=False)


def test_the_strict_form_has_the_texts_of_a_catalogue_first_and_behind_their_keywords() -> None:
    for text in (
        *("hub.load(repo='c/d', model='huge')", "hub.load(repo='c/d', 'other')", "hub.load(x='c/d')"),
        "hub.load(pretrained=True, model='small', n=-1.5e3, repo='a/b')",
        *("hub.load('a/b', device, 'small')", "hub.load(\n    repo='a/b',\n    model='small',\n)"),
    ):
        assert not is_taken(HUB, text)
        assert is_taken(HUB, text, strict=False)


def test_many_texts_come_in_the_order_of_the_catalogue() -> None:
    wide = indexed([Entry("f('a', 'b', 'c', 'd', 'e', k='f')", "")])
    assert is_taken(wide, "f('a', 'b', 'c', 'd', 'e', k='f', n=1)")
    assert not is_taken(wide, "f('b', 'a', 'c', 'd', 'e', k='f')")


@pytest.mark.parametrize(
    ("text", "strict", "loose"),
    [
        ('find(what="tea", n=3)', True, True),
        ('find(from="x", what="tea", n=None)', True, True),
        ("find(n=3)", False, True),
        ('find(what="tea", n="3")', False, True),
        ('find("tea", n=3)', False, True),
        ('find(what="tea", what="tea")', False, False),
        ('find(what="tea", where="x")', False, False),
        ("get-weather()", True, True),
        ("get-weather(day=true)", True, True),
        ("get-weather(day=3)", False, True),
        ("anything(x=1, y=[])", True, True),
        ("now()", True, True),
        ("now(x=1)", False, False),
        ("then()", False, False),
    ],
)
def test_calls_of_tools(text: str, strict: bool, loose: bool) -> None:
    assert is_taken(TOOLS, text) is strict
    assert is_taken(TOOLS, text, strict=False) is loose


def test_a_tool_with_more_arguments_than_a_number_has_bits() -> None:
    names = tuple(f"a{i}" for i in range(70))
    wide = indexed([Entry("f", "", names, tool=True)])
    assert is_taken(wide, "f(a69=1, a0='x')")
    assert not is_taken(wide, "f(b=1)")
