"""Answers kept to what exists: the form that is learned, and that no answer in it calls anything else."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer

from rows_of import of_targets
from rung.config import make_settings
from rung.data.catalogue import Entry
from rung.evaluation.call_grammar import (
    LONGEST,
    MOST,
    CallForm,
    grammar_of_calls,
    learn_form,
    takes,
    too_many,
)
from rung.evaluation.calls import read_calls, text_of
from rung.evaluation.offered import Offered, indexed, offered_to
from rung.evaluation.tasks import grammars, learn
from rung.ladder.understood import understand_data

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("RUNG_TEST_DATA", ROOT.parent / "shared" / "data"))
TOOLS = [
    Entry("find", "", ("what", "n"), ("string", "integer"), ("what",), tool=True),
    Entry("open", "", None, tool=True),
    Entry("now", "", (), tool=True),
]
HUB = [Entry(f"hub.load(repo='a/{one}', model='{one}')", "") for one in ("x", "y")]
SHELL = [Entry("git add", "", flags=("-A",)), Entry("git tag", ""), Entry("ls", "")]


def learned(entries: list[Entry], *targets: str) -> CallForm | None:
    offered = indexed(entries)
    return learn_form(of_targets(*targets), lambda _: offered, ("git add", "git tag", "ls"))


def test_the_form_is_that_of_train() -> None:
    assert learned(HUB, "hub.load(repo='a/x', model='x')", "m = hub.load(repo='a/y', model='y')") == CallForm(
        ("python",), assigned=True
    )
    assert learned(TOOLS, "[now(), find(what='a')]", "now()") == CallForm(("python",), most=3, listed=True)
    assert learned(SHELL, "git add -A | sort", "git tag x\nls") == CallForm(("command",), most=3, pipes=1)
    both = learned([*TOOLS, *SHELL], "git add -A", "now()")
    assert both == CallForm(("command", "python"))


def test_the_strict_form_is_given_up_where_train_does() -> None:
    assert learned(TOOLS, "find(what='x', n=3)", "now()") == CallForm(("python",))
    assert learned(TOOLS, "find(what='x', n='3')", "now()") == CallForm(("python",), strict=False)
    assert learned(SHELL, "git tag $(ls)", "ls") == CallForm(("command",), strict=False)


def test_what_is_no_call_or_does_not_exist_teaches_nothing() -> None:
    assert learned(TOOLS, "now()", "then()", "no idea", "find(where='x')") == CallForm(("python",))
    assert learned(TOOLS, "then()") is None
    assert learned([], "now()") is None
    assert learned(HUB, *["import x\nm = hub.load('a/x', 'x')"] * 3) is None  # no form of ours


def test_one_odd_row_of_a_hundred_is_left_out_of_the_looser_form() -> None:
    rows = [f"find(what='{i}', n='{i}')" for i in range(200)]
    assert learned(TOOLS, *rows, "find(what=lambda: 1)") == CallForm(("python",), strict=False)
    assert learned(TOOLS, *rows[:50], "find(what=lambda: 1)") is None


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("listed", [False, True])
def test_calls_in_json(indent: int | None, listed: bool) -> None:
    def text(*calls: tuple[str, dict[str, Any]]) -> str:
        found = [{"name": name, "parameters": arguments} for name, arguments in calls]
        return json.dumps(found if listed else found[0], indent=indent, ensure_ascii=False)

    rows = [text(("find", {"n": 3, "what": 'a "b" {'})), text(("now", {}), ("open", {"x": [1, {}]}))]
    form = learned(TOOLS, *rows)
    assert form is not None
    assert (form.kinds, form.key, form.listed) == (("json",), "parameters", listed)
    grammar = grammar_of_calls(indexed(TOOLS), form)
    assert all(takes(grammar, one) for one in rows)
    for bad in (("then", {}), ("find", {"where": "x", "what": "y"}), ("find", {}), ("find", {"what": 3})):
        assert not takes(grammar, text(bad))  # type: ignore[arg-type]
    assert not grammar_of_calls(indexed(HUB), form)


def test_a_form_is_kept_as_json() -> None:
    form = CallForm(("command", "python"), False, 3, 1, True, True, "args", {"item": ","})
    assert CallForm.of_json(json.loads(json.dumps(form.as_json()))) == form


def test_a_large_catalogue_has_no_grammar() -> None:
    def of(number: int) -> Offered:
        return indexed([Entry(f"hub.load('a/{i // 5}', model='m{i}')", "") for i in range(number)])

    form = CallForm(("python",))
    grammar = grammar_of_calls(of(MOST), form)
    assert takes(grammar, "hub.load('a/0', model='m3')")
    assert not too_many(of(MOST))
    assert too_many(of(MOST + 1))
    assert grammar_of_calls(of(MOST + 1), form) == ""
    wide = [
        Entry(f"t{i}", "", tuple(f"argument_{i}_{j}" for j in range(60)), tool=True) for i in range(MOST // 2)
    ]
    assert sum(len(name) for one in wide for name in one.arguments or ()) * 2 > LONGEST
    assert grammar_of_calls(indexed(wide), form) == ""


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("entries", "form"),
    [
        ([*HUB, Entry("hub.list(n)", "")], CallForm(("python",), most=2, assigned=True)),
        (TOOLS, CallForm(("python",), most=3, listed=True)),
        (TOOLS, CallForm(("json",), most=2)),
        (TOOLS, CallForm(("json",), most=2, listed=True)),
        (SHELL, CallForm(("command",), most=2, pipes=1)),
    ],
    ids=["catalogue", "tools", "json", "json list", "commands"],
)
def test_nothing_that_a_grammar_takes_calls_what_does_not_exist(
    entries: list[Entry], form: CallForm, strict: bool
) -> None:
    """Texts are written at random, a byte at a time, with many quotation marks and brackets."""
    offered = indexed(entries)
    grammar = grammar_of_calls(offered, replace(form, strict=strict))
    chance, seen, read = random.Random(7), 0, 0
    for _ in range(60):
        text = at_random(grammar, chance)
        if text is None:
            continue
        calls = read_calls(text, ("git add", "git tag", "ls"))
        assert [name for call in calls for name in offered.made_up(call)] == [], text
        assert [name for call in read_calls(text_of(calls)) for name in offered.made_up(call)] == [], text
        seen += 1
        read += bool(calls)
    assert seen >= 15
    assert read >= (0.8 if "command" in form.kinds else 1) * seen  # "ls a." is read as a sentence


def at_random(grammar: str, chance: random.Random) -> str | None:
    """A text of the grammar; None where none is found in 300 bytes."""
    matcher = LLMatcher(LLTokenizer("byte"), LLMatcher.grammar_from_lark(grammar))
    found = bytearray()
    while len(found) < 300:
        assert not matcher.is_error()
        if matcher.is_accepting() and (len(found) > 60 or chance.random() < 0.15):
            return found.decode(errors="ignore")
        mask = matcher.compute_bitmask()
        allowed = [byte for byte in range(256) if mask[byte // 8] >> byte % 8 & 1]
        if not allowed:
            return found.decode() if matcher.is_accepting() else None
        wanted = b"'\")]}" if len(found) > 60 else b"'\"()[]{}=,\\|-;&# \n`$.:"
        special = [byte for byte in allowed if byte in wanted]
        plain = [byte for byte in allowed if 32 <= byte < 127] or allowed
        some = special if special and (len(found) > 60 or chance.random() < 0.45) else plain
        matcher.consume_token(byte := chance.choice(some))
        found.append(byte)
    return None


@pytest.mark.parametrize(
    ("file", "apis"),
    [
        (ROOT / "examples/tools/requests.jsonl", None),
        (DATA / "api-torchhub/train.json", DATA / "api-torchhub/apis.jsonl"),
        (DATA / "api-kubectl/train.jsonl", "made"),
    ],
    ids=["tools", "torchhub", "kubectl"],
)
def test_all_targets_of_real_rows_are_taken(file: Path, apis: Path | str | None, tmp_path: Path) -> None:
    if not file.exists():
        pytest.skip("the public data sets are not here; RUNG_TEST_DATA says where they are")
    if apis == "made":
        apis = made_of_commands(file, tmp_path / "apis.jsonl")
    settings = make_settings({"base": "tiny", **({"apis": str(apis)} if apis else {})})
    loaded = understand_data(file, settings)
    task = learn(loaded.task, loaded.loaded.examples)
    looked, refused = 0, set[str]()
    for example in loaded.loaded.examples:
        offered = offered_to(task, example)
        calls = read_calls(example.target, task.functions)
        if calls and not any(map(offered.made_up, calls)):
            looked += 1
            if example.target not in refused and not takes(grammars(task, [example])[0], example.target):
                refused.add(example.target)
    assert looked > 0.95 * len(loaded.loaded.examples)
    assert not refused


def made_of_commands(file: Path, path: Path) -> Path:
    """A catalogue of the commands of a file, each with the flags that rows use."""
    flags: dict[str, set[str]] = {}
    for line in file.read_text().splitlines():
        words = json.loads(line)["completion"].split()
        known = flags.setdefault(" ".join(words[:2]), set())
        known.update(word.partition("=")[0] for word in words if word.startswith("-") and word != "-")
    rows = [json.dumps({"command": name, "flags": " ".join(sorted(one))}) for name, one in flags.items()]
    path.write_text("\n".join(rows))
    return path
