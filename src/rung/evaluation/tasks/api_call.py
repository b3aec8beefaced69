"""API calls: every target is a call of a function or a command, or several of them in order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rung.data import Loaded
from rung.errors import DataError
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
from rung.evaluation.tasks.kind import Grade, Kind, counted, list_of, register
from rung.records import Example, Task

_SHELL = re.compile(r"(?:^|\s)(?:-{1,2}[A-Za-z]|\||>|\S*/\S)")
_NAMED = 20  # functions named in the instruction
_SEVERAL = 0.1  # share of targets with several calls from which the instruction asks for several


class ApiCall(Kind):
    """Right where all calls are the target's; ``task.functions`` holds names, most frequent first."""

    name = "api_call"
    title = "API call"
    metrics = ("exact_call", "function_match")
    row_metric = "exact_call"
    wanted = "call"
    any_text = False

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
        """The names of the calls; a target that is prose has none, and is found unreadable later."""
        targets = [example.target.strip() for example in loaded.examples]
        programs = _shared_programs(targets)
        read = [calls for target in targets if (calls := _meant(target, programs))]
        names = Counter(call.name for calls in read for call in calls if call.joint == THEN)
        several = sum(sum(call.joint == THEN for call in calls) > 1 for calls in read)
        functions = tuple(name for name, _ in names.most_common())
        return replace(task, functions=functions, several=several > _SEVERAL * len(read))

    def unreadable(self, task: Task, example: Example) -> str:
        if read_calls(example.target, task.functions):
            return ""
        return f"its target is not a {'command' if _are_commands(task) else 'call'}"

    def parse(self, task: Task, text: str) -> str | None:
        return text_of(read_calls(text, task.functions)) or None

    def grade(self, task: Task, example: Example, answer: str | None) -> Grade:
        wanted = read_calls(example.target, task.functions)
        if not wanted:
            raise DataError("the row's target is not a call or a command")
        found = read_back(answer, task.functions) if answer is not None else ()
        want, got = [call.name for call in wanted], [call.name for call in found]
        pairs = [(one, two) for one, two in zip(wanted, found, strict=False) if one.name == two.name]
        differ = dict.fromkeys(name for pair in pairs for name in different_arguments(*pair))
        return Grade(
            {"exact_call": float(same_calls(found, wanted)), "function_match": float(want == got)},
            {"wanted": want, "got": got, "arguments": list(differ)},
        )

    def instruction(self, task: Task) -> str:
        names = task.functions[:_NAMED]
        programs = Counter(name.split()[0] for name in task.functions)
        if _are_commands(task):
            program = f" {next(iter(programs))}" if len(programs) == 1 else ""
            if task.several:
                return f"Answer with the{program} commands that do it, one a line, and nothing else."
            return f"Answer with the one{program} command that does it and nothing else."
        if not names:
            return "Answer with the one command or call that does it and nothing else."
        if task.several:
            return f"Answer with calls of these functions, one a line, and nothing else:{list_of(names)}"
        if len(task.functions) == 1:
            return f"Answer with one call {names[0]}(...) and nothing else."
        return f"Answer with one call of one of these functions and nothing else:{list_of(names)}"

    def headings(self, task: Task) -> tuple[str, str]:
        return "Request", "Command" if _are_commands(task) else "Call"

    def features(self, target: str) -> set[str]:
        return set(re.findall(r"[\w./:-]+", target))


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
