"""Tuned models on dev rows: what each way of answering scores there, and choices made by it.

The rows are shown as they are, as in training. Where answers are written and labels are scored too, both come
from one reading of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rung import cost, numbers
from rung.data.split import sample
from rung.evaluation.label_rules import LabelRule
from rung.evaluation.label_scores import PER_TOKEN, RAW, few_nodes, picks_after, picks_of
from rung.evaluation.metrics import METRICS, grade
from rung.evaluation.run import Speaker, Watch, write
from rung.evaluation.tasks import grammars
from rung.generate.choose import Scored
from rung.ladder.answer_by import WRITING, AnswerBy
from rung.ladder.forms import can_keep
from rung.ladder.prepare import Prepared
from rung.ladder.trials import CONSTRAINED, GENERATE
from rung.ladder.watch import Late, Watcher
from rung.records import Choice, Completion, Example, Measure, Task

RULES: Mapping[str, LabelRule] = {RAW: LabelRule(), PER_TOKEN: LabelRule(per_token=True)}


@dataclass(frozen=True, slots=True)
class DevRead:
    """What one reading of the dev rows gave, by way of answering."""

    values: Mapping[str, float]  # the primary metric, its sign as it is; absent where no row could be graded
    rows: Mapping[str, list[float]]  # see `DevScores.rows`


class DevScores:
    """The dev rows on which a tuned model is measured while its adapter is attached.

    The ways of answering are "writing", where the task has a form also with answers kept to it, and, where
    it has labels, "likelihood" and "likelihood per token". Each call reads the rows again, since the adapter
    may have changed.
    """

    def __init__(
        self,
        prepared: Prepared,
        dev: Sequence[Example],
        rows: int,
        writes: bool = True,
        labels: bool = True,
        forms: bool = True,
    ) -> None:
        """At most `rows` of `dev`, a seeded sample; with `writes`, `labels` or `forms` off, without these
        ways."""
        self.task = prepared.task
        self.examples = sample(dev, rows, prepared.settings.seed)
        self.rules = RULES if labels and self.task.labels else {}
        self._writes = writes
        self.constrains = writes and forms and can_keep(prepared)
        self._max_new_tokens = prepared.max_new_tokens
        renderer = prepared.speaker.renderer
        self._ids = renderer.prompts(self.examples, [example.prompt for example in self.examples])
        self._choices = [renderer.completion_ids(label) for label in self.task.labels]

    def values(self, speaker: Speaker, watch: Watch | None = None) -> dict[str, float]:
        """Way of answering -> value of the task's primary metric on these rows, its sign as it is."""
        return dict(self.read(speaker, watch).values)

    def rows(self, speaker: Speaker, watch: Watch | None = None) -> dict[str, list[float]]:
        """Way of answering -> the part of each row in the value, in the order of `examples`.

        For a mean, such as accuracy, the score of the row; for another function of totals its pseudo-value,
        n value - (n - 1) value without the row (the jackknife, Tukey 1958). So the difference of two lists
        has the mean and the standard error of a paired comparison. NaN for a row that cannot be graded.
        """
        return dict(self.read(speaker, watch).rows)

    def read(self, speaker: Speaker, watch: Watch | None = None) -> DevRead:
        """Both, of one reading. Raises what `Engine.generate` and `log_likelihoods` raise."""
        found = {name: self._graded(answers) for name, answers in self._answers(speaker, watch).items()}
        cost.trim()
        values = {name: value for name, (value, _) in found.items() if np.isfinite(value)}
        return DevRead(values, {name: rows for name, (_, rows) in found.items()})

    def _answers(self, speaker: Speaker, watch: Watch | None) -> dict[str, list[Completion]]:
        """By way of answering."""
        labels, picked = self.task.labels, {}
        scored = None
        if self.rules and self._writes and few_nodes(self._choices):
            scored = Scored(speaker.base, self._ids, self._choices)
        elif self.rules:
            picked = picks_after(speaker, labels, self.rules, self._ids, watch)
        found = {}
        if self.constrains:
            kept = grammars(self.task, self.examples)
            held = write(speaker, self.examples, self._ids, self._max_new_tokens, watch, grammars=kept)
            found[CONSTRAINED], found[GENERATE] = held, self._freed(speaker, held, watch)
        elif self._writes:
            found[GENERATE] = write(
                speaker, self.examples, self._ids, self._max_new_tokens, watch, on_read=scored
            )
        if scored is not None:
            picked = picks_of(labels, self.rules, scored.scores, [len(one) for one in self._choices])
        for name, texts in picked.items():
            found[name] = [
                Completion(one.id, text, 0) for one, text in zip(self.examples, texts, strict=True)
            ]
        return found

    def _freed(self, speaker: Speaker, held: Sequence[Completion], watch: Watch | None) -> list[Completion]:
        """What is written freely; the same where the form changed nothing."""
        places = [place for place, one in enumerate(held) if one.altered]
        some, ids = [self.examples[place] for place in places], [self._ids[place] for place in places]
        found = list(held)
        if places:
            again = write(speaker, some, ids, self._max_new_tokens, watch)
            for place, one in zip(places, again, strict=True):
                found[place] = one
        return found

    def _graded(self, answers: Sequence[Completion]) -> tuple[float, list[float]]:
        """The value, NaN over no rows, and the parts of the rows."""
        task, metric = self.task, METRICS[self.task.primary]
        scores = [grade(task, one, said) for one, said in zip(self.examples, answers, strict=True)]
        kept = [i for i, score in enumerate(scores) if score.status != "error"]
        parts = np.full(len(scores), np.nan)
        if not kept:
            return float("nan"), parts.tolist()
        own = [self.examples[i] for i in kept], [scores[i] for i in kept], [answers[i].text for i in kept]
        rows = metric.rows(task, *own)  # (n, k)
        total, n = rows.sum(0), len(kept)
        value = float(metric.value(total))
        parts[kept] = n * value - (n - 1) * metric.value(total - rows) if n > 1 else value
        return value, parts.tolist()


class DevJudge:
    """The task's metric on a few dev rows, as `rung.train.trainer.Trainer` asks for it: higher is better.

    Labels are picked by likelihood; tasks without labels write.
    """

    def __init__(self, prepared: Prepared, rows: int) -> None:
        labels = bool(prepared.task.labels)
        self._speaker = prepared.speaker
        self._way = RAW if labels else GENERATE
        self._scores = DevScores(prepared, prepared.split.dev, rows, writes=not labels, forms=False)
        self._metric = METRICS[prepared.task.primary]
        self.rows = len(self._scores.examples)
        self.name = numbers.metric_name(prepared.task.primary)

    @property
    def slack(self) -> float:
        """What one row is worth."""
        return (100.0 if self._metric.unit == "points" else 1.0) / max(1, self.rows)

    def __call__(self) -> float:
        value = self._scores.values(self._speaker).get(self._way, float("nan"))
        return value if self._metric.higher_is_better else -value


def choose_answer(
    scores: DevScores, speaker: Speaker, labels_cheaper: bool, watcher: Watcher | None = None
) -> tuple[AnswerBy, Choice, str]:
    """The way of answering that is best on dev, what was tried, and a line for the screen.

    Of equals the one in the task's form is taken, then the cheapest: likelihood where `labels_cheaper`, else
    writing. Where the time is up before all rows are read, the cheapest is taken.
    """
    task = scores.task
    order = [*scores.rules, GENERATE] if labels_cheaper else [GENERATE, *scores.rules]
    untried = order[0]
    if scores.constrains:  # of equals, since it never misses the form
        order.insert(0, CONSTRAINED)
    try:
        values = scores.values(speaker, watcher.rows if watcher else None)
    except Late:
        values = {}
    sign = 1 if METRICS[task.primary].higher_is_better else -1
    name = max(order, key=lambda way: sign * values.get(way, -sign * np.inf)) if values else untried
    by = WRITING if name == GENERATE else AnswerBy(name, task.labels, scores.rules.get(name))
    tried = {way: values.get(way) for way in order}
    return by, Choice("answer by", name, tried), _line(task, name, values, len(scores.examples))


def _line(task: Task, name: str, values: Mapping[str, float], rows: int) -> str:
    if name not in values:
        return f"answers by {name}: there was no time to try both ways on dev"
    measured = {
        way: Measure(task.primary, one, unit=METRICS[task.primary].unit) for way, one in values.items()
    }
    others = ", ".join(f"{way} {numbers.quality(one)}" for way, one in measured.items() if way != name)
    return f"answers by {name}: {numbers.named(measured[name])} on {rows} dev rows ({others})"
