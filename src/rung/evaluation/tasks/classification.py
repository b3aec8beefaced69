"""Classification: every target is one of few labels, which may be the steps of a scale."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal

from rung.data import Loaded
from rung.evaluation.calls import name_of_call
from rung.evaluation.labels import equal_label, is_number, plain_text, spelling, twin
from rung.evaluation.parse import read_label
from rung.evaluation.scales import main_labels, number_in, numbered, scale_of
from rung.evaluation.tasks.kind import Grade, Kind, counted, list_of, register
from rung.evaluation.tasks.multi_label import sets_in
from rung.records import Example, Task

MOST_LABELS, LABEL_LENGTH = 200, 200  # different labels; characters of one
SHORT_WORDS, SHORT_LENGTH = 6, 60  # of a label that is short
FEW = 12  # labels so few that each need not come back often
_NAMED = 60  # labels named in the instruction
_SHOWN = 3  # labels named in a note
SKEWED = 0.7  # share of the commonest label from which accuracy alone says little
MEAN_ERROR = "mean_absolute_error"


class Classification(Kind):
    """Right where the answer is the target's label; labels are those of the file, most frequent first.

    ``task.facts["scale"]`` holds the number of each label where labels are steps of a scale, or may be.
    """

    name = "classification"
    title = "Classification"
    metrics = ("accuracy", "macro_f1")
    row_metric = "accuracy"
    wanted = "single label"
    any_text = False

    def infer(self, loaded: Loaded) -> str:
        targets = [example.target for example in loaded.examples]
        counts = Counter(spelling(target) for target in targets)
        if loaded.hint == self.name and sets_in(targets) is None and _named_as_labels(counts):
            return _why(counts, len(targets))
        if sum(bool(name_of_call(target)) for target in targets) >= 0.9 * len(targets):
            return ""
        if sets_in(targets) is not None:
            return ""
        again = Counter({label: n for label, n in counts.items() if n > 1 and _is_label(label)})
        most = len(targets) // 5
        if all(map(_is_short, again)):
            most = max(most, min(FEW, len(targets) // 2))
        odd = len(targets) - again.total()
        if not 2 <= len(again) <= min(MOST_LABELS, most) or odd > max(1, 0.05 * len(targets)):
            return ""
        return _why(again, len(targets))

    def fill(self, task: Task, loaded: Loaded) -> Task:
        spellings: dict[str, Counter[str]] = defaultdict(Counter)
        for example in loaded.examples:
            spellings[spelling(example.target)][example.target.strip()] += 1
        counts = Counter({_commonest(ways): ways.total() for ways in spellings.values()})
        labels = tuple(sorted(counts, key=lambda label: (-counts[label], label)))
        meanings, main = dict(loaded.label_names), main_labels(counts)
        scale = scale_of(main, meanings, loaded.parts.get("target", ()))
        notes = (_same_but_for_case(labels), _numbers(labels, bool(scale)), _skewed(labels, counts))
        task = replace(task, labels=labels, notes=tuple(filter(None, notes)), meanings=meanings)
        if scale:
            low, high = min(scale, key=scale.__getitem__), max(scale, key=scale.__getitem__)
            note = (
                f"labels are steps of a scale, {low} to {high}: mean absolute error says how far answers "
                "are off, so that a near miss counts for more than a far one"
            )
            task = replace(task, metrics=(*task.metrics, MEAN_ERROR), notes=(*task.notes, note))
        numbers = scale or numbered(main, meanings)
        return replace(task, facts={**task.facts, "scale": numbers}) if len(numbers) > 2 else task

    def more_metrics(self, task: Task) -> tuple[str, ...]:
        return (MEAN_ERROR,) if task.facts.get("scale") else ()

    def doubts(self, task: Task, example: Example) -> Iterator[str]:
        written = example.target.strip()
        if not written:
            return
        label = equal_label(written, task.labels)
        if label is None and spelling(written) not in task.meanings:
            yield f"has the label {written!r}, which no train row has: correct it, or add train rows with it"
        elif label is not None and label != written:
            yield f"has {written!r}, which is read as {label!r}: they differ by case, space or Unicode form"
        elif label is not None:
            yield from twin(label, task.labels)
        if MEAN_ERROR in task.metrics and (label or written) not in task.facts["scale"]:
            low, high = (pick(task.facts["scale"].values()) for pick in (min, max))
            number = number_in(written)
            what = (
                "no number" if number is None else "outside" if not low <= number <= high else "between steps"
            )
            yield (
                f"has the rating {written!r}, which is {what} of the scale {low:g} to {high:g}: correct it, "
                "or leave the row out"
            )

    def tidy(self, task: Task, target: str) -> str:
        """The task's own spelling of the label, found as loosely as an answer is but never inside a text."""
        label = equal_label(target, task.labels)
        meaning = task.meanings.get(spelling(target)) if label is None else None
        return label or meaning or target

    def parse(self, task: Task, text: str) -> str | None:
        return read_label(text, task.labels)

    def answer(self, task: Task, example: Example, text: str) -> str | None:
        """A label that the task does not know can still be right."""
        return read_label(text, tuple(dict.fromkeys((*task.labels, _label(task, example.target)))))

    def grade(self, task: Task, example: Example, answer: str | None) -> Grade:
        wanted = _label(task, example.target)
        values = {"accuracy": float(answer == wanted)}
        if scale := task.facts.get("scale"):
            values |= _how_far(scale, wanted, answer)
        return Grade(values, {"wanted": wanted, "got": answer})

    def instruction(self, task: Task) -> str:
        labels = task.labels[:_NAMED]
        between = "\n" if any("," in label for label in labels) else ", "
        which = "labels" if len(labels) == len(task.labels) else "labels or one like them"
        return (
            f"Classify the text. Answer with one of these {which} and nothing else:{list_of(labels, between)}"
        )

    def headings(self, task: Task) -> tuple[str, str]:
        return "Text", "Label"


def _label(task: Task, target: str) -> str:
    return equal_label(target, task.labels) or target.strip()


def _is_label(text: str) -> bool:
    """Whether a target can be a label at all: one line, and not a JSON object or list of them."""
    return len(text.splitlines()) == 1 and len(text) <= LABEL_LENGTH and not text.startswith(("{", "[{"))


def _is_short(label: str) -> bool:
    return len(label) <= SHORT_LENGTH and len(label.split()) <= SHORT_WORDS


def _named_as_labels(counts: Counter[str]) -> bool:
    """Whether targets that the file calls labels can be: few, or short, or used again."""
    few = len(counts) <= max(FEW, counts.total() // 2)
    return len(counts) <= MOST_LABELS and all(map(_is_label, counts)) and (few or all(map(_is_short, counts)))


def _why(counts: Counter[str], rows: int) -> str:
    if len(counts) == 1:
        return (
            f"Classification: all {rows:,} targets are one label." if rows > 1 else "Classification: 1 label."
        )
    labels = f"{len(counts)} {'short ' if all(map(_is_short, counts)) else ''}labels"
    return f"Classification: {counts.total():,} of {counted(rows, 'target')} are one of {labels}."


def _commonest(ways: Mapping[str, int]) -> str:
    """The spelling to learn: the most frequent one, the plain one where two are equal."""
    return min(ways, key=lambda way: (-ways[way], way != spelling(way), way))


def _how_far(scale: Mapping[str, float], wanted: str, answer: str | None) -> dict[str, float]:
    """The absolute error of an answer; nothing where the target is no number.

    An answer that has no number is as far off as an answer on the scale can be.
    """
    target = scale.get(wanted, number_in(wanted))
    if target is None:
        return {}
    got = None if answer is None else scale.get(answer, number_in(answer))
    if got is None:
        got = max(scale.values(), key=lambda step: abs(step - target))
    return {"absolute_error": abs(got - target)}


def _skewed(labels: tuple[str, ...], counts: Mapping[str, int]) -> str:
    """The note on one label that most rows have, with what it is worth to answer it always.

    Its F1 is 2p / (1 + p) at a share p of the rows, and that of all other labels is 0.
    """
    if len(labels) < 2:
        return ""
    rows, first = sum(counts.values()), counts[labels[0]]
    share = first / rows
    if share < SKEWED:
        return ""
    macro = 2 * share / (1 + share) / len(labels)
    return (
        f"{share:.0%} of the rows have the label {labels[0]}: to answer it always has an accuracy of "
        f"{share:.0%} and a macro F1 of {macro:.0%}. Macro F1 counts every label the same; to choose by it: "
        "--metric macro_f1"
    )


def _same_but_for_case(labels: Iterable[str]) -> str:
    by_letters: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        by_letters[plain_text(label).casefold()].append(label)
    groups = "; ".join(", ".join(group) for group in by_letters.values() if len(group) > 1)
    return f"labels that differ only by case: {groups}" if groups else ""


def _numbers(labels: tuple[str, ...], ordered_scale: bool) -> str:
    """The note on labels that are numbers; empty where one is not."""
    if not all(map(is_number, labels)):
        return ""
    ordered = sorted(labels, key=lambda label: (Decimal(plain_text(label)), label))
    if len(ordered) == 1:
        return ""
    if len(ordered) == 2:
        names, pairs = " and ".join(ordered), f"{ordered[0]}=negative,{ordered[1]}=positive"
    else:
        names = ", ".join(ordered[:_SHOWN]) + (", ..." if len(ordered) > _SHOWN else "")
        pairs = ",".join(f"{label}=NAME" for label in ordered[:_SHOWN])
    note = (
        f"labels {names} are numbers: a base cannot know what they mean. Say it with --label-names {pairs}; "
        "otherwise prompting starts with a handicap"
    )
    if len(ordered) == 2 or ordered_scale:
        return note
    return (
        f"{note}. Numbers are compared as text, so a near miss counts as wrong; if they are ratings, "
        f"--metric {MEAN_ERROR} says how far answers are off"
    )


register(Classification())
