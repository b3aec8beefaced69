"""API calls: what is taken for one, and what is right."""

from __future__ import annotations

from rows_of import of_targets, task_of


def test_calls_are_found_even_where_they_are_not_quite_python() -> None:
    targets = [f"hub.load('repo{i}', model='m{i}', 'x')" if i % 9 == 0 else f"f(x={i})" for i in range(40)]
    task = task_of(of_targets(*targets))
    assert (task.kind, task.primary) == ("api_call", "exact_call")
    assert task.functions == ("f", "hub.load")
    prose = [f"Rome (it fell in {i})" for i in range(40)]
    assert task_of(of_targets(*prose)).kind == "generation"


def test_commands_are_not_taken_for_prose() -> None:
    commands = [f"git {('add', 'commit')[i % 3 > 0]} --path=file{i}" for i in range(40)]
    task = task_of(of_targets(*commands))
    assert (task.kind, task.functions) == ("api_call", ("git commit", "git add"))
    assert "git" in task.why
    mixed = [c for i in range(15) for c in (f"find . -name {i}", f"ls -l /tmp/{i}", f"grep -r {i} src/")]
    assert task_of(of_targets(*mixed)).kind == "api_call"
    prose = [f"the well-known road no. {i} goes to town and/or the sea" for i in range(40)]
    assert task_of(of_targets(*prose)).kind == "generation"
    lower = [f"paris is city number {i} of france" for i in range(40)]
    assert task_of(of_targets(*lower)).kind == "generation"
