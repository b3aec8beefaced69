"""A way to ask, tried on dev rows: with written answers, or with labels by their likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rung.evaluation.label_rules import LabelRule
from rung.evaluation.label_scores import RAW, LabelScores
from rung.evaluation.metrics import METRICS
from rung.evaluation.preferred import WAYS, Read, by_likelihood, picks, read_pairs
from rung.evaluation.run import Watch, write
from rung.evaluation.tasks import grammars
from rung.ladder.classical.fitted import graded
from rung.ladder.ways import Asker, Way
from rung.records import Example

GENERATE = "writing"
CONSTRAINED = "writing in the task's form"  # kept to the grammar of the task
Begin = Callable[[Way], Watch]  # says that a way is read, and gives what counts its rows


class Trial:
    """One arm of the choice; see `rung.ladder.halving.Arm`.

    Attributes: `asker`, the way; `rows`, the dev rows of its values; `writes`, whether answers are written.
    """

    writes: bool
    first: str  # the simplest way to read an answer

    def __init__(self, asker: Asker, dev: Sequence[Example], begin: Begin) -> None:
        self.asker = asker
        self.dev = dev
        self.rows = 0
        self._begin = begin
        self._answered = 0
        self._worth: dict[str, float] = {}  # higher is better; -inf where no row could be graded

    def read(self, rows: int) -> None:
        """Measure it on the first `rows` dev rows; rows that were answered before are not answered again."""
        if rows > self._answered:
            self._read(self.dev[self._answered : rows], self._begin(self.asker.way))
            self._answered = rows
        self.rows = rows
        task, seen = self.asker.task, self.dev[:rows]
        for how, texts in self._texts().items():
            self._worth[how] = graded(task, seen, texts[:rows]).value(task.primary)

    def worth(self) -> float:
        """The best value on these rows, its sign turned where lower is better."""
        return max(self._worth.values(), default=-np.inf)

    def best(self) -> str:
        """The name of the best way to read an answer, the first of equals; `first` where no row was read."""
        return max(self._worth, key=self._worth.__getitem__, default=self.first)

    def values(self) -> dict[str, float | None]:
        """By way to read an answer, the primary metric on these rows."""
        sign = 1 if METRICS[self.asker.task.primary].higher_is_better else -1
        return {how: sign * worth if np.isfinite(worth) else None for how, worth in self._worth.items()}

    def rules(self) -> dict[str, LabelRule]:
        """By way to read an answer, the rule that picks a label; empty where answers are written."""
        return {}

    def _read(self, examples: Sequence[Example], watch: Watch) -> None:
        raise NotImplementedError

    def _texts(self) -> dict[str, list[str]]:
        raise NotImplementedError


class Both:
    """What one way writes freely and in the task's form; a row is read once where these are the same."""

    def __init__(self, asker: Asker, max_new_tokens: int) -> None:
        self._asker = asker
        self._max_new_tokens = max_new_tokens
        self._found: dict[bool, dict[str, str]] = {False: {}, True: {}}  # constrained? -> example id -> text

    def texts(self, examples: Sequence[Example], constrained: bool, watch: Watch) -> list[str]:
        """The answers; an answer that its grammar never touched is also the free one."""
        found, free = self._found[constrained], self._found[False]
        new = [one for one in examples if one.id not in found]
        if new:
            asker = self._asker
            kept = grammars(asker.task, new) if constrained else None
            answers = write(asker.speaker, new, asker.ids(new), self._max_new_tokens, watch, grammars=kept)
            for one in answers:
                found[one.example_id] = one.text
                if not one.altered:
                    free.setdefault(one.example_id, one.text)
        return [found[one.id] for one in examples]


class Written(Trial):
    """Answers are written, freely or in the task's form."""

    writes = True

    def __init__(
        self, asker: Asker, dev: Sequence[Example], begin: Begin, both: Both, constrained: bool = False
    ) -> None:
        super().__init__(asker, dev, begin)
        self.first = CONSTRAINED if constrained else GENERATE
        self._both, self._constrained = both, constrained
        self._answers: list[str] = []

    def _read(self, examples: Sequence[Example], watch: Watch) -> None:
        self._answers += self._both.texts(examples, self._constrained, watch)

    def _texts(self) -> dict[str, list[str]]:
        return {self.first: self._answers}


class Picked(Trial):
    """Labels are picked by their likelihood, under each rule."""

    writes, first = False, RAW

    def __init__(self, asker: Asker, dev: Sequence[Example], begin: Begin, shares: Sequence[float]) -> None:
        super().__init__(asker, dev, begin)
        empty = asker.empty_ids(dev[0]) if dev else ()
        self._scores = LabelScores(asker.speaker, asker.task.labels, shares, empty)

    def rules(self) -> dict[str, LabelRule]:
        return dict(self._scores.rules)

    def _read(self, examples: Sequence[Example], watch: Watch) -> None:
        self._scores.read(self.asker.ids(examples), watch)

    def _texts(self) -> dict[str, list[str]]:
        return self._scores.picks()


class Preferred(Trial):
    """Of the two answers of a pair, the likelier one is taken."""

    writes, first = False, RAW

    def __init__(self, asker: Asker, dev: Sequence[Example], begin: Begin) -> None:
        super().__init__(asker, dev, begin)
        self._pairs: list[Read] = []

    def _read(self, examples: Sequence[Example], watch: Watch) -> None:
        self._pairs += read_pairs(self.asker.speaker, examples, self.asker.ids(examples), watch)

    def _texts(self) -> dict[str, list[str]]:
        seen = self.dev[: len(self._pairs)]
        return {how: [one.text for one in by_likelihood(seen, self._pairs, how)] for how in WAYS}


def trials_of(
    asker: Asker,
    dev: Sequence[Example],
    shares: Sequence[float],
    max_new_tokens: int,
    begin: Begin,
    writes: bool | None = None,
    constrained: bool = False,
) -> list[Trial]:
    """The trials of one way: written answers, in the task's form (`constrained`) and freely, and, where the
    task has labels, picked ones; or only those that `writes` says. Of pairs an answer is picked."""
    if picks(asker.task, dev):
        return [Preferred(asker, dev, begin)]
    found: list[Trial] = []
    if writes is not False:
        both = Both(asker, max_new_tokens)
        found += [Written(asker, dev, begin, both, True)] if constrained else []
        found.append(Written(asker, dev, begin, both))
    if asker.task.labels and not writes:
        found.append(Picked(asker, dev, begin, shares))
    return found
