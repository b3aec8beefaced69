"""Reading and comparing API calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rung.evaluation.calls import read_call, same_call

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def same(first: str, second: str, *functions: str) -> bool:
    one, two = read_call(first, functions), read_call(second, functions)
    assert one is not None
    assert two is not None
    return same_call(one, two)


@pytest.mark.parametrize(
    "text",
    [
        "hub.load(b=1, a='x')",
        'hub.load( a="x",b=1 )',
        "```python\nimport hub\nmodel = hub.load(a='x', b=1)\nmodel.eval()\n```",
        "Use `hub.load(a='x', b=1)` here.",
        "You should call hub.load(a='x', b=1) (it is free).",
        "Answer: hub.load(a='x', b=1)",
        "await hub.load(\n    a='x',\n    b=1,\n)",
    ],
)
def test_python_call_is_found(text: str) -> None:
    call = read_call(text, ("hub.load",))
    assert call is not None
    assert (call.form, call.name, call.text) == ("python", "hub.load", "hub.load(a='x', b=1)")


def test_python_calls_that_differ() -> None:
    assert not same("f(a=1)", "f(a=2)")
    assert not same("f(1, 2)", "f(2, 1)")
    assert not same("f(a=1)", "g(a=1)")
    assert not same("f(a='1')", "f(a=1)")
    assert same("f(g(y=1, x=2))", "f(g(x=2, y=1))")


def test_positional_behind_a_keyword_is_read() -> None:
    assert same("f(repo='a/b', 'net', kind=\"x,y\")", "f('net', kind='x,y', repo='a/b')")
    assert read_call("f(a=1, 'net") is None


@pytest.mark.parametrize("text", ["", "no call here", "f(", "((((", "f(a=1", "-" * 5000 + "f()", "f(\x00)"])
def test_no_call(text: str) -> None:
    assert read_call(text, ("hub.load", "kubectl get")) is None


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
    assert read_call("You could list the pods first.", ("kubectl get",)) is None
    assert read_call("kubectl get 'pods", ("kubectl get",)) is None


def test_command_name_is_the_longest_known_one() -> None:
    known = ("kubectl", "kubectl get", "kubectl config set-cluster")
    for text, name in (
        ("kubectl config set-cluster e2e --x=1", "kubectl config set-cluster"),
        ("kubectl -n web get pods", "kubectl get"),
        ("kubectl drain node", "kubectl drain"),
    ):
        call = read_call(text, known)
        assert call is not None
        assert call.name == name


def test_text_reads_back_as_the_same_call() -> None:
    for text in ("kubectl run x --env='a b' -- sh -c 'echo \"hi\"'", "f('it\\'s', b=[1, {'k': None}])"):
        call = read_call(text)
        assert call is not None
        assert call == read_call(call.text)


@pytest.mark.parametrize("name", ["api-kubectl/test.jsonl", "api-torchhub/test.json"])
def test_every_target_of_real_data_is_a_call(name: str) -> None:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"shared data {name} is not there")
    text = path.read_text(encoding="utf-8")
    rows = json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    for row in rows:
        target = row.get("completion") or row.get("output")
        call = read_call(target, ("kubectl", "torch.hub.load"))
        assert call is not None, target
        back = read_call(call.text, ("kubectl", "torch.hub.load"))
        assert back is not None
        assert same_call(call, back)
