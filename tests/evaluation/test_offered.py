"""What there is to call, and what is made up."""

from __future__ import annotations

from typing import Any

from rung.data import example_of
from rung.data.catalogue import Entry
from rung.evaluation.calls import Call, read_calls
from rung.evaluation.offered import Offered, catalogue_of, indexed, offered_to
from rung.records import Message, Task


def catalogue(sha256: str, *entries: dict[str, Any]) -> Offered:
    apis = {"file": "apis.jsonl", "sha256": sha256, "entries": list(entries)}
    return catalogue_of(Task("api_call", "", ("exact_call",), facts={"apis": apis}))


def call(text: str) -> Call:
    (found,) = read_calls(text, ("kubectl get",))
    return found


HUB = catalogue(
    "1",
    {"call": "hub.load(repo='a/b', model='small', pretrained=True)"},
    {"call": "hub.load(repo='a/b', model='large', pretrained=True)"},
    {"call": "hub.load(repo='a/b')"},
)
KUBECTL = catalogue(
    "2",
    {"call": "kubectl", "flags": ["--context"]},
    {"call": "kubectl get", "flags": ["-n", "--all-namespaces"]},
    {"call": "kubectl create quota NAME", "flags": []},
)
TOOLS = catalogue("3", {"call": "find", "tool": True, "arguments": ["what"], "required": ["what"]})


def test_texts_tell_calls_of_one_function_apart() -> None:
    assert HUB.made_up(call("hub.load('a/b', 'small')")) == []
    assert HUB.name(call("hub.load(model='large', repo='a/b', source='x')")) == "hub.load('a/b', 'large')"
    assert HUB.name(call("hub.load(repo='a/b', model='huge')")) == "hub.load('a/b')"
    assert HUB.made_up(call("hub.load(repo='a/c', model='small')")) == ["hub.load('a/c', 'small')"]
    assert HUB.made_up(call("hub.fetch(repo='a/b')")) == ["hub.fetch('a/b')"]
    assert not HUB.tools


def test_commands_and_flags() -> None:
    assert KUBECTL.made_up(call("kubectl get pods -n web --context=x")) == []
    assert KUBECTL.made_up(call("kubectl get pods --everywhere")) == ["--everywhere of kubectl get"]
    assert KUBECTL.made_up(call("kubectl fetch pods")) == ["kubectl fetch"]
    assert KUBECTL.made_up(call("kubectl create quota q --hard=cpu=1")) == []  # it mentions no flags
    assert KUBECTL.made_up(call("kubectl create role r")) == ["kubectl create"]
    piped = read_calls("kubectl get pods -n web | grep x", ("kubectl get",))
    assert [KUBECTL.made_up(one) for one in piped] == [[], []]


def test_tools_of_the_row_win() -> None:
    assert TOOLS.tools
    assert TOOLS.made_up(call("find(what='x', colour='red')")) == ["colour of find"]
    task = Task("api_call", "", ("exact_call",))
    turns = [Message("user", "a"), Message("assistant", "find(what=1)")]
    mine = offered_to(task, example_of(turns, facts={"tools": [{"name": "own"}]}))
    assert mine.made_up(call("own(anything=1)")) == []
    assert mine.made_up(call("find(what=1)")) == ["find"]
    assert not offered_to(task, example_of(turns))


def test_what_a_grammar_needs_of_an_entry() -> None:
    small, large, alone = HUB.functions["hub.load"]
    assert small.pins == (("model", "small"), ("repo", "a/b"))
    assert alone.pins == (("repo", "a/b"),)
    assert large.texts == {text for _, text in large.pins}
    (placed,) = indexed([Entry("f('x', g('y'), ['z'], k='w')", "")]).functions["f"]
    assert placed.pins == (("", "x"), ("k", "w"))
    typed = {"call": "f", "tool": True, "arguments": ["a", "b"], "types": ["string", ""], "required": []}
    assert catalogue("4", typed).functions["f"][0].types == {"a": "string"}
    assert TOOLS.functions["find"][0].types == {}  # a task that was kept before types were
