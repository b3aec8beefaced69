"""Reading and comparing API calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rung.evaluation.calls import (
    Call,
    different_arguments,
    name_of_call,
    read_back,
    read_calls,
    same_calls,
    text_of,
)

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def same(first: str, second: str, *functions: str) -> bool:
    one, two = read_calls(first, functions), read_calls(second, functions)
    assert one
    assert two
    return same_calls(one, two)


def only(text: str, *functions: str) -> Call:
    (call,) = read_calls(text, functions)
    return call


@pytest.mark.parametrize(
    "text",
    [
        "hub.load(b=1, a='x')",
        'hub.load( a="x",b=1 )',
        "```python\nimport hub\nmodel = hub.load(a='x', b=1)\n```",
        "Use `hub.load(a='x', b=1)` here.",
        "You should call hub.load(a='x', b=1) (it is free).",
        "Answer: hub.load(a='x', b=1)",
        "await hub.load(\n    a='x',\n    b=1,\n)",
    ],
)
def test_python_call_is_found(text: str) -> None:
    call = only(text, "hub.load")
    assert (call.form, call.name, call.text) == ("python", "hub.load", "hub.load(a='x', b=1)")


def test_python_calls_that_differ() -> None:
    assert not same("f(a=1)", "f(a=2)")
    assert not same("f(1, 2)", "f(2, 1)")
    assert not same("f(a=1)", "g(a=1)")
    assert not same("f(a='1')", "f(a=1)")
    assert same("f(g(y=1, x=2))", "f(g(x=2, y=1))")


def test_positional_behind_a_keyword_is_read() -> None:
    assert same("f(repo='a/b', 'net', kind=\"x,y\")", "f('net', kind='x,y', repo='a/b')")
    assert read_calls("f(a=1, 'net") == ()


@pytest.mark.parametrize("text", ["", "no call here", "f(", "((((", "f(a=1", "-" * 5000 + "f()", "f(\x00)"])
def test_no_call(text: str) -> None:
    assert read_calls(text, ("hub.load", "kubectl get")) == ()


@pytest.mark.parametrize(
    "text",
    [
        "kubectl get pods -n web --all",
        "$ kubectl get pods -n web --all",
        "```bash\n$ kubectl get pods -n web --all\n```\nThis lists all pods.",
        "`kubectl get pods -n web --all`",
        "Run this:\nkubectl get pods -n web --all\nand look.",
        "Command: kubectl get pods \\\n  -n web \\\n  --all",
        "kubectl get pods --all -n 'web'",
        "kubectl --all -n web get pods",
        "kubectl get pods -n=web --all",
    ],
)
def test_command_is_found_and_the_same(text: str) -> None:
    assert same(text, "kubectl get pods -n web --all", "kubectl get")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("kubectl cp a b", "kubectl cp b a"),
        ("kubectl get pods -n a -l b", "kubectl get pods -l a -n b"),
        ("kubectl get pods", "kubectl get pod"),
        ("kubectl exec p -- date -u", "kubectl exec p -u -- date"),
        ("kubectl exec p -- a -x -y", "kubectl exec p -- a -y -x"),
        ("kubectl get --all", "kubectl get"),
        ("kubectl get -o a -o a", "kubectl get -o a"),
    ],
)
def test_commands_that_differ(first: str, second: str) -> None:
    assert not same(first, second, "kubectl")


def test_a_switch_seen_once_is_a_switch_in_both() -> None:
    assert same("kubectl attach web -c app -i -t", "kubectl attach -i -t web -c app", "kubectl")
    assert same("kubectl scale --replicas=-1 web", "kubectl scale web --replicas -1", "kubectl")


def test_prose_is_no_command() -> None:
    assert read_calls("You could list the pods first.", ("kubectl get",)) == ()
    assert read_calls("kubectl get 'pods", ("kubectl get",)) == ()
    assert read_calls("find will list them.", ("find .",)) == ()


def test_command_name_is_the_longest_known_one() -> None:
    known = ("kubectl", "kubectl get", "kubectl config set-cluster")
    for text, name in (
        ("kubectl config set-cluster e2e --x=1", "kubectl config set-cluster"),
        ("kubectl -n web get pods", "kubectl get"),
        ("kubectl drain node", "kubectl drain"),
    ):
        assert only(text, *known).name == name


def test_text_reads_back_as_the_same_call() -> None:
    for text in ("kubectl run x --env='a b' -- sh -c 'echo \"hi\"'", "f('it\\'s', b=[1, {'k': None}])"):
        call = only(text)
        assert call == only(call.text)


GIT = ("git add", "git commit")
API = ("hub.load", "hub.list", "f", "g")


@pytest.mark.parametrize(
    ("answer", "target"),
    [
        ("git add f && git commit", "git add f\ngit commit"),
        ("git add f; git commit;", "git add f\ngit commit"),
        (
            "Run:\n```bash\n$ git add f\n# and then\n$ git commit\n```\nThat is all.",
            "git add f && git commit",
        ),
        ("Sure! First:\n1. git add f\n2. git commit", "git add f\ngit commit"),
        ("Use `git add f` and then `git commit`.", "git add f; git commit"),
        ("git add f\n\nThis adds the file f.", "git add f"),
        ("git add f\nadds the file.", "git add f"),
        ("I don't know\ngit add f", "git add f"),
        ("git add 'a;b'", 'git add "a;b"'),
        ("git commit -m 'a\nb'", "git commit -m 'a\nb'"),
        ("git log | head -3", "git log | head -3"),
        ('git add -p \'{"a":1,"b":2}\'', 'git add -p \'{"b": 2, "a": 1}\''),
    ],
)
def test_the_same_commands(answer: str, target: str) -> None:
    assert same(answer, target, *GIT)


@pytest.mark.parametrize(
    ("answer", "target"),
    [
        ("git add f\nrm -rf /", "git add f"),
        ("git add f && rm -rf /", "git add f"),
        ("git add f\nreboot", "git add f"),
        ("Then clean up:\ngit add f\nrm -rf /", "git add f"),
        ("git commit\ngit add f", "git add f\ngit commit"),
        ("git add f", "git add f\ngit commit"),
        ("git add f\ngit add f", "git add f"),
        ("git add f | git commit", "git add f\ngit commit"),
        ("git add f || git commit", "git add f && git commit"),
    ],
)
def test_commands_count_in_number_and_order(answer: str, target: str) -> None:
    assert not same(answer, target, *GIT)


@pytest.mark.parametrize(
    ("answer", "target"),
    [
        ("f(x=1)\ng(y=2)", "[f(x=1), g(y=2)]"),
        ("f(x=1); g(y=2)", "f(x=1)\ng(y=2)"),
        ("Sure:\nf(x=1)\ng(y=2)\nThat is it.", "f(x=1)\ng(y=2)"),
        ("Call f(x=1) and then g(y=f(2)).", "f(x=1)\ng(y=f(2))"),
        ("a = f(x=1)\nb = await g(y=2)", "f(x=1)\ng(y=2)"),
        ("f(x={'a': 1, 'b': {'d': 1, 'c': 2}})", "f(x={'b': {'c': 2, 'd': 1}, 'a': 1})"),
        ("f({1, 2})", "f({2, 1})"),
    ],
)
def test_the_same_python_calls(answer: str, target: str) -> None:
    assert same(answer, target, *API)


@pytest.mark.parametrize(
    ("answer", "target"),
    [
        ("f(x=1)", "f(x=1)\ng(y=2)"),
        ("f(x=1)\ng(y=2)", "f(x=1)"),
        ("f(x=1)\nos.remove('a')", "f(x=1)"),
        ("```python\nmodel = hub.load(1)\nmodel.eval()\n```", "hub.load(1)"),
        ("g(y=2)\nf(x=1)", "f(x=1)\ng(y=2)"),
        ("f([2, 1])", "f([1, 2])"),
        ("f({**a, 'x': 1})", "f({'x': 1, **a})"),
    ],
)
def test_python_calls_count_in_number_and_order(answer: str, target: str) -> None:
    assert not same(answer, target, *API)


def test_several_calls_written_the_one_way() -> None:
    for text, way in (("a b && c -d | e", "a b\nc -d | e"), ("[f(1),g( x = 2 )]", "f(1)\ng(x=2)")):
        calls = read_calls(text)
        assert text_of(calls) == way
        assert same_calls(calls, read_back(way))


def test_arguments_that_differ() -> None:
    assert different_arguments(only("f(1, 2, a=3, b=4)"), only("f(1, 5, b=4, c=6)")) == [
        "argument 2",
        "a",
        "c",
    ]
    assert different_arguments(only("git add -n x"), only("git add -n y")) == ["-n"]
    assert different_arguments(only("f(a=1)"), only("f(a=1)")) == []


def test_name_of_a_call() -> None:
    for text, name in (
        ("f(x=1)", "f"),
        ("f(x=1)\ng(2)", "f"),
        ("[f(1), g(2)]", "f"),
        ("hub.load('a', model='b', 'c')", "hub.load"),
        ("load('x', model='y', 'z', **)", "load"),
        ("Rome (it fell)", ""),
        ("f", ""),
    ):
        assert name_of_call(text) == name


@pytest.mark.parametrize("name", ["api-kubectl/test.jsonl", "api-torchhub/test.json"])
def test_every_target_of_real_data_is_a_call(name: str) -> None:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"shared data {name} is not there")
    text = path.read_text(encoding="utf-8")
    rows = json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    for row in rows:
        target = row.get("completion") or row.get("output")
        calls = read_calls(target, ("kubectl", "torch.hub.load"))
        assert calls, target
        assert same_calls(calls, read_calls(text_of(calls), ("kubectl", "torch.hub.load")))
