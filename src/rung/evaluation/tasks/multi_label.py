"""Multi-label classification: every target is a set of labels, in any order.

Labels are learned in one order, the most frequent first (as in SGM, Yang et al. 2018, arXiv 1806.04822), so
that a model that writes has one right text for a set. Grading does not see the order.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rung.data import Loaded
from rung.data.label_lists import (
    LIST,
    MARKS,
    Found,
    counted_with,
    found_in,
    items,
    joint_of,
    listed,
    parts,
    says_none,
    written,
)
from rung.evaluation.calls import name_of_call
from rung.evaluation.label_sets import grammar_of_sets, read_labels
from rung.evaluation.labels import equal_label, spelling, twin
from rung.evaluation.tasks.kind import Grade, Kind, counted, list_of, register
from rung.records import Example, Task

NAME = "multi_label"
_SHELL = re.compile(r"(?:^|\s)(?:-{1,2}[A-Za-z]|>|/\S)")  # an option, a path or a redirection
_NAMED = 60  # labels named in the instruction
_MOST = "most"  # in `Task.facts`: labels of a train row
_MOST_TOGETHER = 12  # labels in a constant answer


class MultiLabel(Kind):
    """Right where the answer has the target's labels and no others.

    ``task.facts`` holds the labels, most frequent first, and the joint between two of them.
    """

    name = NAME
    title = "Multi-label classification"
    metrics = ("micro_f1", "exact_set", "macro_f1", "jaccard", "samples_f1")
    row_metric = "exact_set"
    wanted = "label"
    any_text = False

    def infer(self, loaded: Loaded) -> str:
        targets = [example.target for example in loaded.examples]
        found = sets_in(targets)
        if found is None and loaded.hint == NAME:
            found = counted_with(targets, _joint(targets))
        if found is None:
            return ""
        return (
            f"{self.title}: {found.several:,} of {counted(len(targets), 'target')} hold several of "
            f"{counted(len(found.counts), 'label')}; their order does not matter."
        )

    def fill(self, task: Task, loaded: Loaded) -> Task:
        targets = [example.target for example in loaded.examples]
        joint = _joint(targets)
        ways: dict[str, Counter[str]] = defaultdict(Counter)
        sizes: Counter[int] = Counter()
        for target in targets:
            labels = [loaded.label_names.get(one, one) for one in items(target, joint)]
            sizes[len(labels)] += 1
            for label in labels:
                ways[spelling(label)][label] += 1
        counts = {min(found, key=lambda way: (-found[way], way)): found.total() for found in ways.values()}
        labels = sorted(counts, key=lambda label: (-counts[label], label))
        facts = {**task.facts, "labels": labels, "joint": joint, "empty": bool(sizes[0])}
        mean = sum(n * rows for n, rows in sizes.items()) / max(1, sizes.total())
        note = f"{mean:.1f} labels a row, {min(sizes)} to {max(sizes)}"
        if labels:
            most, least = labels[0], labels[-1]
            note += f"; {most} in {counted(counts[most], 'row')}, {least} in {counts[least]:,}"
        return replace(task, facts=facts, notes=(note,), meanings=dict(loaded.label_names))

    def tidy(self, task: Task, target: str) -> str:
        """The task's own spelling and order of the labels, each once."""
        labels, joint = labels_of(task), _joint_of(task)
        found = [task.meanings.get(one, one) for one in items(target, joint)]
        if not found and not (says_none(target) or listed(target) == []):
            return target  # nothing but separators: `unreadable` names it
        return _in_order([equal_label(one, labels) or one for one in found], labels, joint)

    def unreadable(self, task: Task, example: Example) -> str:
        target = example.target
        if items(target, _joint_of(task)) or says_none(target) or listed(target) == []:
            return ""
        return "its target has separators and no label"

    def doubts(self, task: Task, example: Example) -> Iterator[str]:
        labels, joint = labels_of(task), _joint_of(task)
        if not example.target.strip():
            yield f"has an empty target and is dropped; write {written((), joint)!r} where no label applies"
            return
        found = listed(example.target)
        found = parts(example.target, joint.strip() or ";") if found is None else found
        if "" in found and any(found):
            yield "has an empty label between separators; it is left out, correct the row if one is missing"
        named = [one for one in found if one]
        if len(set(named)) < len(named):
            yield "has a label twice; it counts once"
        if any(map(says_none, named)) and len(named) > 1:
            yield "says that it has no label next to labels; the labels count"
        for one in items(example.target, joint):
            own = equal_label(task.meanings.get(one, one), labels)
            if own is None:
                yield f"has the label {one!r}, which no train row has: correct it, or add train rows with it"
            elif own != one and one not in task.meanings:
                yield f"has {one!r}, which is read as {own!r}: they differ by case, space or Unicode form"
            else:
                yield from twin(own, labels)

    def learn(self, task: Task, train: Sequence[Example]) -> Task:
        """How many labels a row has at most."""
        sizes = [len(items(one.target, _joint_of(task))) for one in train]
        return replace(task, facts={**task.facts, _MOST: max(sizes)}) if sizes else task

    def grammar(self, task: Task, example: Example) -> str:
        most = task.facts.get(_MOST)
        empty = bool(task.facts.get("empty"))
        return grammar_of_sets(labels_of(task), _joint_of(task), most, empty) if most else ""

    def parse(self, task: Task, text: str) -> str | None:
        return self._read(task, text, labels_of(task))

    def answer(self, task: Task, example: Example, text: str) -> str | None:
        """Labels that the task does not know can still be right."""
        return self._read(task, text, tuple(dict.fromkeys((*labels_of(task), *wanted_of(task, example)))))

    def _read(self, task: Task, text: str, labels: Sequence[str]) -> str | None:
        joint = _joint_of(task)
        found = read_labels(text, labels, joint)
        return None if found is None else _in_order(found, labels, joint)

    def grade(self, task: Task, example: Example, answer: str | None) -> Grade:
        return graded_sets(
            wanted_of(task, example), None if answer is None else items(answer, _joint_of(task))
        )

    def instruction(self, task: Task) -> str:
        labels, joint = labels_of(task)[:_NAMED], _joint_of(task)
        every = len(labels) == len(labels_of(task))
        which = "these labels" if every else "these labels and others like them"
        form = "as a JSON list" if joint == LIST else f'separated by "{joint.strip()}"'
        nothing = "" if not task.facts.get("empty") else f" If none applies, answer {written((), joint)}."
        between = "\n" if any("," in label for label in labels) else ", "
        return (
            f"Which of {which} apply to the text? Several may apply. Answer with all that apply, {form}, and "
            f"nothing else.{nothing} The labels:{list_of(labels, between)}"
        )

    def headings(self, task: Task) -> tuple[str, str]:
        return "Text", "Labels"

    def features(self, target: str) -> set[str]:
        found = listed(target)
        return set(
            found if found is not None else items(target, next((m for m in MARKS if m in target), ";"))
        )

    def constants(self, task: Task, targets: Sequence[str]) -> list[str]:
        """The most frequent label, the two most frequent ones, and so on."""
        labels, joint = labels_of(task), _joint_of(task)
        return [written(labels[: n + 1], joint) for n in range(min(len(labels), _MOST_TOGETHER))]


def sets_in(targets: Sequence[str]) -> Found | None:
    """How targets hold several labels, or None; the parts of calls and of commands are no labels."""
    found = found_in(targets)
    if found is None or _calls(list(found.counts)) > 0.1 or _calls(targets) > 0.5:
        return None
    return None if sum(bool(_SHELL.search(target)) for target in targets) > 0.2 * len(targets) else found


def _calls(texts: Sequence[str]) -> float:
    """The share of calls among texts."""
    return sum(bool(name_of_call(text)) for text in texts) / max(1, len(texts))


def labels_of(task: Task) -> tuple[str, ...]:
    """The labels of a multi-label task, most frequent first; none of any other task."""
    return tuple(task.facts.get("labels", ())) if task.kind == NAME else ()


def wanted_of(task: Task, example: Example) -> list[str]:
    """The labels of a row, as the task writes them."""
    labels = labels_of(task)
    return [equal_label(one, labels) or one for one in items(example.target, _joint_of(task))]


def text_for(task: Task, labels: Sequence[str]) -> str:
    """A set of labels as an answer."""
    return _in_order(labels, labels_of(task), _joint_of(task))


def renamed(task: Task, text: str, name: Callable[[str], str]) -> str:
    """A set of labels with `name` put on each of them."""
    joint = _joint_of(task)
    return written([name(one) for one in items(text, joint)], joint)


def graded_sets(wanted: Sequence[str], got: Sequence[str] | None) -> Grade:
    """The grade of a set; None for an answer that could not be read, which has no label and is wrong.

    Jaccard is the share of labels of either set that are in both; F1 of a row is 2 tp / (2 tp + fp + fn).
    Both are 1 where neither set has a label.
    """
    want, have = set(wanted), set(got or ())
    tp, fp, fn = len(want & have), len(have - want), len(want - have)
    same = got is not None and want == have
    values = {
        "exact_set": float(same),
        "jaccard": tp / (tp + fp + fn) if tp + fp + fn else float(same),
        "samples_f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else float(same),
        "tp": float(tp),
        "fp": float(fp),
        "fn": float(fn),
    }
    return Grade(values, {"wanted": sorted(want), "got": None if got is None else sorted(have)})


def _joint(targets: Sequence[str]) -> str:
    """The joint of these targets, also where they do not look like sets of labels."""
    found = sets_in(targets)
    if found is not None:
        return found.joint
    if sum(listed(target) is not None for target in targets) > 0.5 * len(targets):
        return LIST
    mark = max(MARKS, key=lambda mark: sum(mark in target for target in targets))
    return joint_of(targets, mark)


def _joint_of(task: Task) -> str:
    return str(task.facts.get("joint", "; "))


def _in_order(found: Sequence[str], labels: Sequence[str], joint: str) -> str:
    """Labels of the task in its order, then the others, each once."""
    kept = set(found)
    known = [label for label in labels if label in kept]
    return written([*known, *(one for one in dict.fromkeys(found) if one not in set(known))], joint)


register(MultiLabel())
