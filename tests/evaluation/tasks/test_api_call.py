"""API calls: what is taken for one, which targets can be used, and what is right."""

from __future__ import annotations

from rows_of import of_targets, task_of
from rung.evaluation.metrics import grade
from rung.evaluation.tasks import KINDS, unreadable
from rung.records import Completion, Score, Task


def graded(task: Task, target: str, text: str) -> Score:
    example = of_targets(target)[0]
    return grade(task, example, Completion(example.id, text, 1))


def test_calls_are_found_even_where_they_are_not_quite_python() -> None:
    targets = [f"hub.load('repo{i}', model='m{i}', 'x')" if i % 9 == 0 else f"f(x={i})" for i in range(40)]
    task = task_of(of_targets(*targets))
    assert (task.kind, task.primary) == ("api_call", "exact_call")
    assert task.functions == ("f", "hub.load")
    assert task.why == "API call: 40 of 40 targets are calls, most often of f."
    prose = [f"Rome (it fell in {i})" for i in range(40)]
    assert task_of(of_targets(*prose)).kind == "generation"


def test_several_calls_are_calls() -> None:
    for form in ("f(x={0})\ng(y={0})", "[f(x={0}), g(y={0})]", "f({0}); g({0})"):
        task = task_of(of_targets(*[form.format(i) for i in range(30)]))
        assert (task.kind, task.functions, task.several) == ("api_call", ("f", "g"), True)
    assert "calls of these functions, one a line, and nothing else: f, g." in KINDS["api_call"].instruction(
        task
    )
    assert task_of(of_targets("f(x=1)", "f(x=2)", times=20)).kind == "api_call"  # and not two labels


def test_commands_are_not_taken_for_prose() -> None:
    commands = [f"git {('add', 'commit')[i % 3 > 0]} --path=file{i}" for i in range(40)]
    task = task_of(of_targets(*commands))
    assert (task.kind, task.functions) == ("api_call", ("git commit", "git add"))
    assert task.why == "API call: 40 of 40 targets are commands of 1 program, most often git."
    mixed = [c for i in range(15) for c in (f"find . -name {i}", f"ls -l /tmp/{i}", f"grep -r {i} src/")]
    assert task_of(of_targets(*mixed)).kind == "api_call"
    prose = [f"the well-known road no. {i} goes to town and/or the sea" for i in range(40)]
    assert task_of(of_targets(*prose)).kind == "generation"
    lower = [f"paris is city number {i} of france" for i in range(40)]
    assert task_of(of_targets(*lower)).kind == "generation"
    several = task_of(of_targets(*[f"git add f{i}\ngit commit -m 'm{i}'" for i in range(30)]))
    assert (several.functions, several.several) == (("git add", "git commit"), True)
    assert "the git commands that do it, one a line," in KINDS["api_call"].instruction(several)
    piped = task_of(of_targets(*[f"git log --max {i} | head -{i}" for i in range(30)]))
    assert (piped.functions, piped.several) == (("git log",), False)


def test_targets_that_are_no_calls_are_named() -> None:
    commands = [f"git {('add', 'commit')[i % 2]} --path=file{i}" for i in range(40)]
    targets = [*commands, "ls", "jq -r .name", "see the manual", "There is none."]
    task = task_of(of_targets(*targets))
    assert unreadable(task, of_targets(*targets)) == [
        (43, "its target is not a command"),
        (44, "its target is not a command"),
    ]
    calls = [*[f"f(x={i})" for i in range(20)], "I cannot do that (sorry)"]
    assert unreadable(task_of(of_targets(*calls)), of_targets(*calls)) == [(21, "its target is not a call")]


GIT = Task("api_call", "", ("exact_call", "function_match"), functions=("git add", "git commit"))


def test_all_calls_count() -> None:
    both = graded(GIT, "git add f\ngit commit -m x", "git add f && git commit -m x")
    assert both.values == {"exact_call": 1.0, "function_match": 1.0}
    assert both.answer == "git add f\ngit commit -m x"
    more = graded(GIT, "git add f", "git add f\nrm -rf /")
    assert more.values == {"exact_call": 0.0, "function_match": 0.0}
    assert more.evidence == {"wanted": ["git add"], "got": ["git add", "rm"], "arguments": []}
    other = graded(GIT, "git add f\ngit commit -m x", "git add g\ngit commit -m y")
    assert other.values == {"exact_call": 0.0, "function_match": 1.0}
    assert other.evidence["arguments"] == ["word 3", "-m"]


def test_calls_in_a_fence_all_count_whatever_their_program() -> None:
    score = graded(GIT, "git add f", "```\nreboot\ngit add f\n```")
    assert (score.answer, score.values["exact_call"]) == ("reboot\ngit add f", 0.0)
    assert graded(GIT, "git add f", "```\ngit add f\n```").values["exact_call"] == 1


def test_an_answer_without_a_call() -> None:
    score = graded(GIT, "git add f", "I would not do that.")
    assert (score.status, score.answer) == ("unparsed", None)
    assert score.evidence == {"wanted": ["git add"], "got": [], "arguments": []}
