"""API calls: every target is a call of a function, a tool or a command, or several of them.

Metrics of a row, each 0 or 1: ``exact_call``, right as a whole; ``function_match``, the right functions (APIs
of the catalogue, where there is one).  Where it is known what there is to call, the tools of the row or a
catalogue, a wrong answer with calls is exactly one of ``hallucination`` (it calls something, or uses an
argument or a flag, that does not exist), ``wrong_choice`` (another API, or another number of calls) and
``wrong_argument``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rung.data import Loaded
from rung.evaluation import admissible
from rung.evaluation.call_grammar import MOST, CallForm, grammar_of_calls, learn_form, too_many
from rung.evaluation.calls import (
    Call,
    different_arguments,
    name_of_call,
    read_back,
    read_calls,
    same_calls,
    text_of,
)
from rung.evaluation.commands import THEN, words_of_command
from rung.evaluation.languages import SMALL_WORDS
from rung.evaluation.offered import catalogue_of, offered_to
from rung.evaluation.tasks.kind import Grade, Kind, counted, list_of, register
from rung.records import Example, Task

_SHELL = re.compile(r"(?:^|\s)(?:-{1,2}[A-Za-z]|\||>|\S*/\S)")
_NAMED = 20  # functions named in the instruction
_SEVERAL = 0.1  # share of targets with several calls from which the instruction asks for several
_SHOWN = 5  # rows named in a note
MISTAKES = ("hallucination", "wrong_choice", "wrong_argument")
_TEXT = "(text)"
_FORM = "form"  # in `Task.facts`: how calls are written in train, see `CallForm`
_GRAMMARS: dict[tuple[str, str], str] = {}  # the last one of a catalogue, by its file's sha256 and the form


class ApiCall(Kind):
    """Right where all calls are the target's; ``task.functions`` holds names, most frequent first.

    ``task.facts``: ``apis`` is the catalogue (`rung.data.catalogue`), ``own_tools`` says that rows bring
    their own.
    """

    name = "api_call"
    title = "API call"
    metrics = ("exact_call", "function_match")
    row_metric = "exact_call"
    wanted = "call"
    any_text = False
    shares = "API"

    def infer(self, loaded: Loaded) -> str:
        targets = [example.target.strip() for example in loaded.examples]
        names = Counter(name for target in targets if (name := name_of_call(target)))
        if names.total() >= 0.9 * len(targets):
            return (
                f"API call: {names.total():,} of {counted(len(targets), 'target')} are calls, "
                f"most often of {names.most_common(1)[0][0]}."
            )
        return _commands(targets)

    def fill(self, task: Task, loaded: Loaded) -> Task:
        """The names of the calls, what answers can be held against, and notes on odd rows."""
        targets = [example.target.strip() for example in loaded.examples]
        programs = _shared_programs(targets)
        read = [calls for target in targets if (calls := _meant(target, programs))]
        names = Counter(call.name for calls in read for call in calls if call.joint == THEN)
        several = sum(sum(call.joint == THEN for call in calls) > 1 for calls in read)
        task = replace(
            task,
            functions=tuple(name for name, _ in names.most_common()),
            several=several > _SEVERAL * len(read),
        )
        own = [example for example in loaded.examples if example.facts.get("tools")]
        if own or task.facts.get("apis"):
            task = replace(
                task, metrics=(*task.metrics, *MISTAKES), facts={**task.facts, "own_tools": bool(own)}
            )
        return task

    def learn(self, task: Task, train: Sequence[Example]) -> Task:
        """How calls are written, where it is known what there is to call."""
        if "hallucination" not in task.metrics:
            return task
        form = learn_form(train, lambda example: offered_to(task, example), task.functions)
        if form is not None:
            return replace(task, facts={**task.facts, _FORM: form.as_json()})
        many = f"the catalogue has more than {MOST:,} APIs" if too_many(catalogue_of(task)) else ""
        why = many or "no grammar takes the train targets that call only what exists"
        return replace(task, notes=(*task.notes, f"answers cannot be kept to what exists: {why}"))

    def grammar(self, task: Task, example: Example) -> str:
        kept = task.facts.get(_FORM)
        if kept is None:
            return ""
        if example.facts.get("tools"):
            return grammar_of_calls(offered_to(task, example), CallForm.of_json(kept))
        known = (task.facts.get("apis", {}).get("sha256", ""), repr(kept))
        if known not in _GRAMMARS:
            _GRAMMARS.clear()
            _GRAMMARS[known] = grammar_of_calls(catalogue_of(task), CallForm.of_json(kept))
        return _GRAMMARS[known]

    def doubts(self, task: Task, example: Example) -> Iterator[str]:
        calls = read_calls(example.target, task.functions)
        if not calls:
            form = "command" if _are_commands(task) else "call"
            what = f"its target is not a {form}, so answers are compared with it as text"
            yield f"{what}: write the {form}, or leave the row out"
        offered = offered_to(task, example)
        unknown = dict.fromkeys(name for call in calls for name in offered.made_up(call)) if offered else {}
        if not unknown:
            return
        whose = "the row does not offer" if example.facts.get("tools") else "the catalogue does not have"
        yield f"its target uses what {whose} ({', '.join(unknown)}): correct the call or the list"

    def parse(self, task: Task, text: str) -> str | None:
        return text_of(read_calls(text, task.functions)) or None

    def answer(self, task: Task, example: Example, text: str) -> str | None:
        """The calls; the whole text where there are none and the target is a text too."""
        found = self.parse(task, text)
        if found is None and not read_calls(example.target, task.functions):
            return text.strip() or None
        return found

    def grade(self, task: Task, example: Example, answer: str | None) -> Grade:
        wanted = read_calls(example.target, task.functions)
        found = read_back(answer, task.functions) if answer is not None else ()
        if not wanted:
            same = answer is not None and answer.split() == example.target.split()
            return _graded(task, example, found, [_TEXT], [_TEXT] if answer and not found else None, same, [])
        truth = example.facts.get("ground_truth")
        offered = offered_to(task, example)
        if truth:
            right = admissible.is_right(found, truth, offered.required)
            together = admissible.differences(found, truth, offered.required)
        else:
            loose = offered.tools  # calls of tools have no order
            ours, theirs = (_sorted(calls) if loose else calls for calls in (wanted, found))
            right = same_calls(theirs, ours)
            both = _paired(wanted, found) if loose else zip(wanted, found, strict=False)
            together = [different_arguments(one, two) for one, two in both if one.name == two.name]
        differ = list(dict.fromkeys(name for names in together for name in names))
        want = [offered.name(call) for call in wanted]
        return _graded(task, example, found, want, None, right, differ)

    def shared(self, task: Task, example: Example) -> tuple[str, ...]:
        offered = catalogue_of(task)
        calls = read_calls(example.target, task.functions)
        return tuple(dict.fromkeys(offered.name(call) for call in calls))

    def instruction(self, task: Task) -> str:
        if _are_commands(task):
            programs = Counter(name.split()[0] for name in task.functions)
            program = f" {next(iter(programs))}" if len(programs) == 1 else ""
            if task.several:
                return f"Answer with the{program} commands that do it, one a line, and nothing else."
            return f"Answer with the one{program} command that does it and nothing else."
        if task.facts.get("own_tools"):
            calls = (
                "calls of these tools that do it, one a line"
                if task.several
                else "one call of these tools that does it"
            )
            return f"Answer with the {calls}, written as name(argument=value), and nothing else."
        names = _signatures(task)
        if not names:
            return "Answer with the one command or call that does it and nothing else."
        if task.several:
            return f"Answer with calls of these functions, one a line, and nothing else:{list_of(names)}"
        if len(task.functions) == 1:
            return f"Answer with one call {task.functions[0]}(...) and nothing else."
        return f"Answer with one call of one of these functions and nothing else:{list_of(names)}"

    def headings(self, task: Task) -> tuple[str, str]:
        return "Request", "Command" if _are_commands(task) else "Call"

    def features(self, target: str) -> set[str]:
        return set(re.findall(r"[\w./:-]+", target))


def _graded(
    task: Task,
    example: Example,
    found: Sequence[Call],
    want: list[str],
    got: list[str] | None,
    right: bool,
    differ: list[str],
) -> Grade:
    """The values of a row and its evidence; `got` are the names of what was answered, if not of `found`."""
    offered = offered_to(task, example)
    got = [offered.name(call) for call in found] if got is None else got
    order = sorted if offered.tools or example.facts.get("ground_truth") else list
    same = order(want) == order(got) and want != [_TEXT]
    values = {"exact_call": float(right), "function_match": float(right or same)}
    evidence: dict[str, Any] = {"wanted": want, "got": got, "arguments": differ}
    if "hallucination" in task.metrics:
        made_up = (
            [] if right else [name for call in found for name in offered.made_up(call)] if offered else []
        )
        kind = ""
        if found and not right:
            kind = "hallucination" if made_up else "wrong_argument" if same else "wrong_choice"
        values |= {name: float(name == kind) for name in MISTAKES}
        evidence |= {"made_up": list(dict.fromkeys(made_up))}
    return Grade(values, evidence)


def _sorted(calls: Sequence[Call]) -> list[Call]:
    return sorted(calls, key=lambda call: call.tokens)


def _paired(wanted: Sequence[Call], found: Sequence[Call]) -> list[tuple[Call, Call]]:
    """Calls of the same function, those that are nearest to each other first."""
    near = sorted(
        (len(different_arguments(one, two)), i, j)
        for i, one in enumerate(wanted)
        for j, two in enumerate(found)
        if one.name == two.name
    )
    pairs: list[tuple[Call, Call]] = []
    rows, columns = set[int](), set[int]()
    for _, i, j in near:
        if i not in rows and j not in columns:
            rows.add(i)
            columns.add(j)
            pairs.append((wanted[i], found[j]))
    return pairs


def _signatures(task: Task) -> tuple[str, ...]:
    """The functions named in the instruction, with the arguments that a catalogue gives them."""
    entries: Sequence[Mapping[str, Any]] = task.facts.get("apis", {}).get("entries", ())
    tools = [f"{one['call']}({', '.join(one['arguments'] or ())})" for one in entries if one.get("tool")]
    return tuple(tools) if 0 < len(tools) <= _NAMED else task.functions[:_NAMED]


def _are_commands(task: Task) -> bool:
    return any(" " in name for name in task.functions)


def _meant(target: str, programs: Counter[str]) -> tuple[Call, ...]:
    """The calls of a target, where it is no prose: Python, a shared program, or the look of a command."""
    calls = read_calls(target)
    if not calls or calls[0].form == "python":
        return calls
    known = calls[0].tokens[0] in programs or len(target.split()) == 1 or _SHELL.search(target)
    return calls if known else ()


def _shared_programs(targets: Sequence[str]) -> Counter[str]:
    """The programs that more than a few targets begin with, and how many do."""
    programs = Counter(words[0] for target in targets if (words := words_of_command(target)))
    return Counter({name: n for name, n in programs.items() if n >= max(2, 0.02 * len(targets))})


def _commands(targets: Sequence[str]) -> str:
    """Commands share few programs and, unlike prose, many have options, paths or pipes."""
    shared = _shared_programs(targets)
    like_shell = sum(bool(_SHELL.search(target)) for target in targets)
    small_words = sum(n for name, n in shared.items() if name in SMALL_WORDS["English"])
    if shared.total() < 0.9 * len(targets) or small_words > 0.1 * len(targets):
        return ""
    if like_shell < 0.2 * len(targets):
        return ""
    return (
        f"API call: {shared.total():,} of {counted(len(targets), 'target')} are commands of "
        f"{counted(len(shared), 'program')}, most often {shared.most_common(1)[0][0]}."
    )


register(ApiCall())
