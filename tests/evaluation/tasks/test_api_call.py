"""API calls: what is taken for one, which targets can be used, and what is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from rows_of import loaded_of, of_targets, task_of
from rung.data import example_of
from rung.evaluation.call_grammar import takes
from rung.evaluation.metrics import grade, measures
from rung.evaluation.tasks import KINDS, doubts, grammars, learn, understand, unreadable
from rung.records import Completion, Example, Message, Score, Task


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


def test_targets_that_are_no_calls_are_named_and_compared_as_text() -> None:
    commands = [f"git {('add', 'commit')[i % 2]} --path=file{i}" for i in range(40)]
    targets = [*commands, "ls", "jq -r .name", "see the manual", "There is none."]
    rows = of_targets(*targets)
    task = task_of(rows)
    why = "its target is not a command, so answers are compared with it as text: write the command, or leave "
    assert doubts(task, rows) == [(43, f"{why}the row out"), (44, f"{why}the row out")]
    assert unreadable(task, rows) == []
    assert graded(task, "There is none.", " There  is none.").values["exact_call"] == 1
    assert graded(task, "There is none.", "There is one.").values == {
        "exact_call": 0.0,
        "function_match": 0.0,
    }
    assert graded(task, "There is none.", "git add --path=x").evidence["got"] == ["git add"]
    assert graded(task, "There is none.", "").status == "unparsed"


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


PLACE = {"name": "find", "parameters": {"properties": {"what": {}, "town": {}}, "required": ["what"]}}
PAY = {"name": "refund", "parameters": {"properties": {"order": {}}}}


def tool_row(target: str, row: int = 0, **facts: Any) -> Example:
    turns = [Message("user", f"question {row}"), Message("assistant", target)]
    return example_of(turns, row, facts={"tools": [PLACE, PAY], **facts})


ROWS = [tool_row(f"find(what='w{i}')" if i % 2 else f"refund(order={i})", i) for i in range(30)]
TOOLS = task_of(ROWS)


@pytest.mark.parametrize(
    ("text", "right", "kind"),
    [
        ("find(what='a', town='b')", 1, ""),
        ('{"name": "find", "arguments": {"town": "b", "what": "a"}}', 1, ""),
        ("find(what='a')", 0, "wrong_argument"),
        ("refund(order='a')", 0, "wrong_choice"),
        ("find(what='a', town='b')\nrefund(order=1)", 0, "wrong_choice"),
        ("look_up(what='a', town='b')", 0, "hallucination"),
        ("find(what='a', town='b', colour='c')", 0, "hallucination"),
        ("I cannot do that.", 0, ""),
    ],
)
def test_a_wrong_answer_is_wrong_in_one_way(text: str, right: int, kind: str) -> None:
    example = tool_row("find(what='a', town='b')")
    values: Mapping[str, float] = grade(TOOLS, example, Completion(example.id, text, 1)).values
    assert values["exact_call"] == right
    assert [name for name in ("hallucination", "wrong_choice", "wrong_argument") if values[name]] == [
        *([kind] if kind else [])
    ]


def test_what_does_not_exist_is_in_the_evidence() -> None:
    example = tool_row("find(what='a')")
    score = grade(TOOLS, example, Completion(example.id, "find(what='a', colour=1)\ndrop(x=1)", 1))
    assert score.evidence["made_up"] == ["colour of find", "drop"]


def test_parallel_calls_of_tools_have_no_order_but_those_of_a_script_do() -> None:
    example = tool_row("find(what='a')\nrefund(order=1)")
    turned = Completion(example.id, "refund(order=1.0)\nfind(what='a')", 1)
    assert grade(TOOLS, example, turned).values["exact_call"] == 1
    assert grade(TOOLS, example, turned).values["function_match"] == 1
    plain = task_of(of_targets("f(x=1)\ng(y=2)", times=20))
    assert graded(plain, "f(x=1)\ng(y=2)", "g(y=2)\nf(x=1)").values["exact_call"] == 0


def test_admissible_values_of_the_row_decide() -> None:
    truth = [{"find": {"what": ["a", "an a"], "town": ["", "b"]}}]
    example = tool_row("find(what='a')", ground_truth=truth)
    for text in ("find(what='an a')", "find(what='A', town='b')"):
        assert grade(TOOLS, example, Completion(example.id, text, 1)).values["exact_call"] == 1
    wrong = grade(TOOLS, example, Completion(example.id, "find(what='a', town='c')", 1))
    assert (wrong.values["wrong_argument"], wrong.evidence["arguments"]) == (1.0, ["town"])


def test_rows_that_call_what_they_do_not_offer_are_named() -> None:
    rows = [*ROWS, tool_row("drop(x=1)", 31), tool_row("refund(order=1, sum=2)", 32)]
    task = task_of(rows)
    assert doubts(task, rows) == [
        (31, "its target uses what the row does not offer (drop): correct the call or the list"),
        (32, "its target uses what the row does not offer (sum of refund): correct the call or the list"),
    ]


def test_shares_of_mistakes_are_lower_better_and_need_something_to_hold_answers_against() -> None:
    assert task_of(of_targets("f(x=1)", "g(y=2)", times=20)).metrics == ("exact_call", "function_match")
    texts = ["find(what='w1')", "find(what='x')", "find(who='x')"]
    rows = [tool_row("find(what='w1')", i) for i in range(3)]
    scores = [grade(TOOLS, row, Completion(row.id, text, 1)) for row, text in zip(rows, texts, strict=True)]
    found = {one.name: one for one in measures(TOOLS, rows, scores, texts)}
    assert [round(found[name].value or 0, 2) for name in TOOLS.metrics] == [0.33, 1.0, 0.33, 0.0, 0.33]
    assert not found["hallucination"].higher_is_better
    assert found["hallucination"].low is not None
    assert TOOLS.metrics[2:] == ("hallucination", "wrong_choice", "wrong_argument")


def test_a_catalogue_says_which_api_a_call_is_of() -> None:
    entries = [{"call": f"hub.load('r', model='m{i}')"} for i in range(3)]
    targets = [f"hub.load('r', model='m{i}', big=True)" for i in range(3)] * 10
    facts = {"apis": {"file": "apis", "sha256": "x", "entries": entries}}
    task, loaded = understand(loaded_of(of_targets(*targets)), facts=facts)
    kind = KINDS["api_call"]
    assert kind.shared(task, loaded.examples[1]) == ("hub.load('m1', 'r')",)
    values = [
        graded(task, targets[0], f"hub.load('r', model='{model}', big=True)").values
        for model in ("m0", "m1", "m9")
    ]
    assert [one["function_match"] for one in values] == [1, 0, 0]
    assert [one["wrong_choice"] for one in values] == [0, 1, 0]
    assert [one["hallucination"] for one in values] == [0, 0, 1]


def test_the_instruction_says_how_to_call_tools() -> None:
    assert "these tools" in KINDS["api_call"].instruction(TOOLS)
    assert "name(argument=value)" in KINDS["api_call"].instruction(TOOLS)


def test_answers_can_be_kept_to_the_tools_of_a_row() -> None:
    def row(number: int, tools: list[str], target: str) -> Example:
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        facts = {"tools": [{"name": name, "parameters": schema} for name in tools]}
        return example_of([Message("user", "do"), Message("assistant", target)], number, facts=facts)

    examples = [row(1, ["f", "g"], "f(n=1)"), row(2, ["g", "h"], "h(n=2)\ng(n=3)")]
    task = learn(understand(loaded_of(examples * 9))[0], examples)
    one, two = grammars(task, examples)
    assert takes(one, "f(n=3)")
    assert takes(two, "g(n=3)\nh(n=3)")
    for bad in ("h(n=1)", "f()", "f(m=1)", "f(n='1')"):
        assert not takes(one, bad)
    assert grammars(task, of_targets("f(n=1)")) == [""]  # a row without tools, and there is no catalogue
    assert grammars(understand(loaded_of(examples * 9))[0], examples) == ["", ""]  # train is not known yet


def test_answers_can_be_kept_to_a_catalogue() -> None:
    def known(number: int, *targets: str) -> Task:
        entries = [{"call": f"hub.load('a/b', model='m{i}')"} for i in range(number)]
        facts = {"apis": {"file": "apis.jsonl", "sha256": f"kept {number}", "entries": entries}}
        return learn(understand(loaded_of(of_targets(*targets)), facts=facts)[0], of_targets(*targets))

    targets = [f"hub.load('a/b', model='m{i}')" for i in range(9)]
    task = known(9, *targets)
    grammar, same = grammars(task, of_targets("x", "y"))
    assert grammar is same
    assert all(takes(grammar, target) for target in targets)
    assert not takes(grammar, "hub.load('a/b', model='m9')")
    assert "form" not in known(1001, *targets).facts
    assert known(1001, *targets).notes[-1] == (
        "answers cannot be kept to what exists: the catalogue has more than 1,000 APIs"
    )
    odd = known(9, *(f"x = 1\n{target}" for target in targets))
    assert grammars(odd, of_targets("x")) == [""]
    assert odd.notes[-1].endswith("no grammar takes the train targets that call only what exists")
    assert learn(task_of(of_targets(*targets)), of_targets(*targets)).facts == {}  # no catalogue
