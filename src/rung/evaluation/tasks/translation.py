"""Translation: prompt and target say the same in two languages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

from rung.data import Loaded
from rung.evaluation import overlap
from rung.evaluation.frame import Frame
from rung.evaluation.languages import language_of, letters_only
from rung.evaluation.tasks.kind import Grade, Kind, counted, register
from rung.records import Example, Task

_TRANSLATE = re.compile(r"\b(translat\w*|tradu[iczs]\w*|übersetz\w*|vertaal\w*)", re.IGNORECASE)


COPIED = 0.8  # share of the words of both in common from which an answer is a copy of its source


class Translation(Kind):
    """Graded by characters in common; ``task.fields`` holds the two languages where they are known."""

    name = "translation"
    title = "Translation"
    metrics = ("chrf", "bleu", "length_ratio", "copied", "empty")
    row_metric = "chrf"

    def infer(self, loaded: Loaded) -> str:
        examples = loaded.examples
        if loaded.hint == self.name:
            named = f", from {loaded.languages[0]} to {loaded.languages[1]}" if loaded.languages else ""
            return f"Translation: {counted(len(examples), 'pair')}{named}, as the file says."
        asking = sum(bool(_TRANSLATE.search(_instructions(example))) for example in examples)
        if asking >= 0.9 * len(examples):
            return f"Translation: {asking:,} of {counted(len(examples), 'prompt')} ask to translate."
        pair = languages(examples)
        ratios = [(len(e.target) + 1) / (len(_question(e)) + 1) for e in examples]
        near = sum(1 / 3 <= ratio <= 3 for ratio in ratios)
        shared = median(_overlap(_question(example), example.target) for example in examples)
        if pair is None or near < 0.8 * len(examples) or shared > 0.4:
            return ""
        return (
            f"Translation: prompts are in {pair[0]}, targets in {pair[1]}, and {near:,} of "
            f"{counted(len(examples), 'pair')} are of similar length."
        )

    def fill(self, task: Task, loaded: Loaded) -> Task:
        frame = Frame.around([_question(example) for example in loaded.examples])
        facts = {**task.facts, "frame": [frame.before, frame.after]}
        return replace(task, fields=loaded.languages or languages(loaded.examples) or (), facts=facts)

    def grade(self, task: Task, example: Example, answer: str | None) -> Grade:
        said, source = answer or "", source_of(task, example)
        counts = overlap.chrf_rows([said], [example.target])[0]
        copied = same_text(said, source) and not same_text(example.target, source)
        values = {"chrf": float(overlap.chrf_of(counts)), "copied": float(copied), "empty": float(not said)}
        return Grade(values)

    def doubts(self, task: Task, example: Example) -> Iterator[str]:
        source = source_of(task, example)
        if example.target.strip() and example.target.strip() == source.strip():
            yield "has a target that is its own source: translate it, or keep it if it is a name"

    def instruction(self, task: Task) -> str:
        pair = f" from {task.fields[0]} to {task.fields[1]}" if len(task.fields) == 2 else ""
        return f"Translate the text{pair}. Answer with the translation only."

    def headings(self, task: Task) -> tuple[str, str]:
        return (task.fields[0], task.fields[1]) if len(task.fields) == 2 else ("Text", "Translation")


def source_of(task: Task, example: Example) -> str:
    """What is to be translated: the question without what all questions of the file begin and end with."""
    return Frame(*task.facts.get("frame", ())).inside(_question(example))


def same_text(text: str, source: str) -> bool:
    """Whether `text` is `source` or mostly repeats it: words in common, in order, for four fifths of both.

    Case and punctuation do not count; texts without words are compared as they are.
    """
    if not text.strip():
        return False
    said, asked = overlap.words(text), overlap.words(source)
    if not said or not asked:
        return text.strip() == source.strip()
    common = overlap.common_subsequence(said, asked)
    return common >= COPIED * max(len(said), len(asked))


def languages(examples: Sequence[Example]) -> tuple[str, str] | None:
    """The languages of prompts and targets, if both are known and they differ."""
    asked = language_of(_question(example) for example in examples)
    answered = language_of(example.target for example in examples)
    return (asked, answered) if asked and answered and asked != answered else None


def _question(example: Example) -> str:
    """The last user turn."""
    return next((m.content for m in reversed(example.prompt) if m.role == "user"), "")


def _instructions(example: Example) -> str:
    """Where an instruction would stand: the system text and the edges of the question."""
    question = _question(example)
    system = [message.content for message in example.prompt if message.role == "system"]
    return "\n".join([*system, question[:120], question[-60:]])


def _overlap(first: str, second: str) -> float:
    one, two = set(letters_only(first)), set(letters_only(second))
    return len(one & two) / min(len(one), len(two)) if one and two else 0.0


register(Translation())
