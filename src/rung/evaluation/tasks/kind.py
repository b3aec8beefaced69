"""What rung knows about a kind of task: one object for each kind, found by its name in `KINDS`.

A new kind is a subclass of `Kind` in a file of its own, an instance of it given to `register`, one import
line (here: in `rung.evaluation.tasks`) and one row of the contract suite.  Its metrics are names in
`rung.evaluation.metrics.METRICS`.

Evidence is what a grade was made from, as JSON.  It is stored in the answer, and the report builds its
section "where it went wrong" from it alone, by its shape:

- ``{"wanted": text, "got": text or None}``: a table of what was mistaken for what;
- ``{"wanted": [labels], "got": [labels] or None}``: a table of labels, right, missing and extra;
- ``{"fields": [{"path", "wanted", "got", "right"}, ...]}``: a table of fields; a field that is missing from
  the answer has no "got", one that is not in the target has no "wanted";
- ``{"wanted": [names], "got": [names], "arguments": [names that differ]}``: a table of calls; there may be
  ``"made_up"``, the names of what does not exist.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from rung.data import Loaded
from rung.records import Example, Task
from rung.registry import Registry


@dataclass(frozen=True, slots=True)
class Grade:
    """What one answer is worth, and why."""

    values: Mapping[str, float]  # by metric, and the counts that other metrics are made of
    evidence: Mapping[str, Any] = field(default_factory=dict)  # JSON; see the module's docstring


class Kind(ABC):
    """One kind of task. The defaults suit a task whose answer is any text."""

    name: ClassVar[str]
    title: ClassVar[str]  # its name at the start of a sentence
    metrics: ClassVar[tuple[str, ...]]  # the primary one first
    shown: ClassVar[tuple[str, ...]] = ()  # metrics that are measured where they can be, and decide nothing
    against_others: ClassVar[bool] = False  # whether a target is compared with other rows' by likelihood
    row_metric: ClassVar[str]  # the one that says how good a single row is; higher is better
    wanted: ClassVar[str] = "text"  # what is missing where an answer cannot be read
    shares: ClassVar[str] = ""  # what `shared` names, such as "API"; empty where it names nothing
    pairs: ClassVar[bool] = False  # whether an answer is one of the row's two, picked and not written
    any_text: ClassVar[bool] = True  # whether any text is an answer, so that a cut-off one is graded too

    by_likelihood: ClassVar[bool] = False  # whether how likely its answers are is measured too

    def infer(self, loaded: Loaded) -> str:
        """Why these rows are of this kind, as one sentence with numbers; empty if they are not.

        Every target has text in it.  ``loaded.hint`` is the kind that the file's own words say.
        """
        return ""

    def fill(self, task: Task, loaded: Loaded) -> Task:
        """The task with what is kept of these rows: labels, fields, functions, ranges, notes."""
        return task

    def tidy(self, task: Task, target: str) -> str:
        """The target in the one spelling that is learned."""
        return target

    def learn(self, task: Task, train: Sequence[Example]) -> Task:
        """The task with what is known from the train rows alone, such as a schema; `fill` sees all rows."""
        return task

    def unreadable(self, task: Task, example: Example) -> str:
        """Why `grade` cannot use this row, as the end of a sentence about it; empty where it can."""
        return ""

    def doubts(self, task: Task, example: Example) -> Iterator[str]:
        """What may be wrong with a row that can be used, as it is in the file, and what to do about it: ends
        of sentences about the row."""
        yield from ()

    def constants(self, task: Task, targets: Sequence[str]) -> list[str]:
        """Answers worth trying as the answer to every row, besides the targets themselves."""
        return []

    def more_metrics(self, task: Task) -> tuple[str, ...]:
        """Metrics that are measured only where the user asks for one of them as the primary one."""
        return ()

    def grammar(self, task: Task, example: Example) -> str:
        """The grammar that answers to a row can be kept to, in llguidance's notation; empty where any text is
        an answer. Targets are not looked at."""
        return ""

    def needs_target(self, example: Example) -> bool:
        """Whether an answer to this row can only be graded by comparing it with a target."""
        return True

    def parse(self, task: Task, text: str) -> str | None:
        """The answer in a completion, in the task's own words; None where it has none."""
        return text.strip() or None

    def answer(self, task: Task, example: Example, text: str) -> str | None:
        """As `parse`, for a row whose target is known."""
        return self.parse(task, text)

    @abstractmethod
    def grade(self, task: Task, example: Example, answer: str | None) -> Grade:
        """The grade of what `answer` returned. Raises `DataError` for a row that `unreadable` names."""

    def shared(self, task: Task, example: Example) -> tuple[str, ...]:
        """What the target of a row has in common with other rows, by name, where `shares` says what it is; so
        that test rows can be split by whether train rows show it."""
        return ()

    def instruction(self, task: Task) -> str:
        """What to do, in a sentence or two for a small model; empty where the rows say it themselves."""
        return ""

    def headings(self, task: Task) -> tuple[str, str]:
        """What stands before a question and before its answer in a plain text, such as "Text" and "Label"."""
        return "Question", "Answer"

    def features(self, target: str) -> set[str]:
        """What a target shows, as names that targets share; empty where only its length tells."""
        return set()


KINDS: Registry[Kind] = Registry("task")


def register(kind: Kind) -> None:
    """Make a kind known by its name; a name can be taken once."""
    KINDS.add(kind.name, kind)


def list_of(names: tuple[str, ...], between: str = ", ") -> str:
    """Names at the end of an instruction: in the line, or each on its own."""
    if "\n" in between:
        return "\n" + between.join(names)
    return f" {between.join(names)}."


def counted(number: int, what: str) -> str:
    """``1 word``, ``2 words``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
