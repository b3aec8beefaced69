"""API calls: every target is a call of a function, or a command."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rung.data import Loaded
from rung.errors import DataError
from rung.evaluation.calls import name_of_call, read_call, same_call, words_of_command
from rung.evaluation.languages import SMALL_WORDS
from rung.evaluation.tasks.kind import Grade, Kind, list_of, register
from rung.records import Task

_SHELL = re.compile(r"(?:^|\s)(?:-{1,2}[A-Za-z]|\||>|\S*/\S)")
_NAMED = 20  # functions named in the instruction


class ApiCall(Kind):
    """Right where the call is the target's; ``task.functions`` holds names, most frequent first."""

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
                f"API call: {names.total():,} of {len(targets):,} targets are calls, "
                f"most often of {names.most_common(1)[0][0]}."
            )
        return _commands(targets)

    def fill(self, task: Task, loaded: Loaded) -> Task:
        calls = (read_call(example.target) for example in loaded.examples)
        names = Counter(call.name for call in calls if call is not None)
        return replace(task, functions=tuple(name for name, _ in names.most_common()))

    def parse(self, task: Task, text: str) -> str | None:
        call = read_call(text, task.functions)
        return None if call is None else call.text

    def grade(self, task: Task, target: str, answer: str | None) -> Grade:
        wanted = read_call(target, task.functions)
        if wanted is None:
            raise DataError("the row's target is not a call or a command")
        found = read_call(answer, task.functions) if answer is not None else None
        return Grade(
            {
                "exact_call": float(found is not None and same_call(found, wanted)),
                "function_match": float(found is not None and found.name == wanted.name),
            }
        )

    def instruction(self, task: Task) -> str:
        names = task.functions[:_NAMED]
        programs = Counter(name.split()[0] for name in task.functions)
        if any(" " in name for name in names):
            program = f" {next(iter(programs))}" if len(programs) == 1 else ""
            return f"Answer with the one{program} command that does it and nothing else."
        if len(task.functions) == 1:
            return f"Answer with one call {names[0]}(...) and nothing else."
        if not names:
            return "Answer with the one command or call that does it and nothing else."
        return f"Answer with one call of one of these functions and nothing else:{list_of(names)}"

    def features(self, target: str) -> set[str]:
        return set(re.findall(r"[\w./:-]+", target))


def _commands(targets: Sequence[str]) -> str:
    """Commands share few programs and, unlike prose, many have options, paths or pipes."""
    programs = Counter(words[0] for target in targets if (words := words_of_command(target)))
    shared = {name: n for name, n in programs.items() if n >= max(2, 0.02 * len(targets))}
    like_shell = sum(bool(_SHELL.search(target)) for target in targets)
    small_words = sum(n for name, n in shared.items() if name in SMALL_WORDS["English"])
    if sum(shared.values()) < 0.9 * len(targets) or small_words > 0.1 * len(targets):
        return ""
    if like_shell < 0.2 * len(targets):
        return ""
    top = max(shared, key=lambda name: shared[name])
    return (
        f"API call: {sum(shared.values()):,} of {len(targets):,} targets are commands of "
        f"{len(shared)} program{'s' * (len(shared) > 1)}, most often {top}."
    )


register(ApiCall())
