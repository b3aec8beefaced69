"""Frozen records that packages pass to each other. No torch; methods only compute a value from the fields.

What a run measured is written to disk in these: `to_json` turns them into JSON, `from_json` checks them when
they are read. What was not measured is ``None``, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from rung.errors import ResumeError
from rung.expected import Forecast as Forecast
from rung.expected import Point as Point
from rung.expected import Quote as Quote

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
TaskKind = str  # a name in the registry of `rung.evaluation.tasks`
ScoreStatus = Literal["ok", "unparsed", "truncated", "error"]
RungStatus = Literal["ok", "unfinished", "failed", "skipped"]  # unfinished: cut short, not compared
Certainty = Literal["clear", "likely", "open"]
RungKind = Literal["floor", "classical", "prompt", "probe", "tune", "remote"]  # of rungs
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str
    learn: bool = True  # false for an assistant turn that the file marks as not to be learned


@dataclass(frozen=True, slots=True)
class Example:
    """One row of the user's data; its last assistant turn is the target."""

    id: str  # hex content hash of the messages
    messages: tuple[Message, ...]
    row: int  # 1-based: the line of a JSONL file, the record of any other
    source: str = ""  # name of the file, without folders
    group: str = ""  # rows of one group stay on one side of the split; "" for a row without a group
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)  # JSON: what else it says

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The turns before the target."""
        return self.messages[:-1]

    @property
    def target(self) -> str:
        """The text to learn."""
        return self.messages[-1].content


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document, or a record of a catalogue, that can be shown in a prompt."""

    id: str  # hex content hash of title and text
    text: str
    title: str = ""  # of the document and the headings above the text, or the record's name
    source: str = ""  # the file, as a path inside the folder that was read


@dataclass(frozen=True, slots=True)
class Task:
    """What the examples ask for, inferred once from all rows of the file or said by the user."""

    kind: TaskKind
    why: str  # one sentence for the screen
    metrics: tuple[str, ...]  # names in the metric registry; the first is the primary one
    labels: tuple[str, ...] = ()  # classification: every label of the file, most frequent first
    fields: tuple[str, ...] = ()  # extraction: JSON keys, most frequent first; translation: (from, to)
    functions: tuple[str, ...] = ()  # api_call: function or command names, most frequent first
    several: bool = False  # api_call: many targets hold more than one call
    row_metric: str = ""  # says how good a single row is, higher is better; the primary one if empty
    notes: tuple[str, ...] = ()  # what the user should know, a sentence each
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # extraction: path -> (min, max)
    meanings: Mapping[str, str] = field(default_factory=dict)  # label as the file writes it -> its meaning
    facts: Mapping[str, Any] = field(default_factory=dict)  # JSON: what else its kind knows of the rows

    @property
    def primary(self) -> str:
        return self.metrics[0]


@dataclass(frozen=True, slots=True)
class Rendered:
    """An example as tokens. ``mask[i]`` is true where ``ids[i]`` is a token to be learned: those of the last
    answer, with which the row ends, and of every earlier one that may be learned."""

    example_id: str
    ids: tuple[int, ...]
    mask: tuple[bool, ...]
    rewritten: int = 0  # earlier answers not learned, because the chat template leaves out their thoughts
    label: int | None = None  # of a prompt alone, for a head that learns labels

    @property
    def answer_start(self) -> int:
        """Where the last answer begins, the one that is measured: after the last token not to be learned."""
        unlearned = (i for i in range(len(self.mask), 0, -1) if not self.mask[i - 1])
        return next(unlearned, 0)

    @property
    def answer_length(self) -> int:
        """Number of tokens of the last answer, its end of turn included."""
        return len(self.ids) - self.answer_start

    @property
    def learned(self) -> int:
        """Number of tokens to be learned, in all answers."""
        return sum(self.mask)


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered to one prompt."""

    example_id: str
    text: str
    tokens: int  # generated, the end of turn included; 0 where labels were scored instead
    truncated: bool = False  # the token limit came before the end of turn
    read: int = 0  # tokens of the prompt, examples in it included; 0 where no model reads
    values: Mapping[str, float] = field(default_factory=dict, hash=False)  # what it measured of the row
    altered: bool = False  # a grammar kept the model from a token that it preferred


@dataclass(frozen=True, slots=True)
class Score:
    """One completion, graded. A model that misses the format is `unparsed`: wrong, and counted apart.
    `error` is a fault of the grader: the row is left out of every mean."""

    example_id: str
    status: ScoreStatus
    values: Mapping[str, float] = field(default_factory=dict)  # per metric that is a mean over rows
    answer: str | None = None  # what was understood, in the task's own words
    note: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)  # what the grade was made from, as JSON


@dataclass(frozen=True, slots=True)
class Measure:
    """A number with its 95% interval; all ``None`` where there was nothing to measure."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0  # rows behind it
    higher_is_better: bool = True
    unit: str = ""  # "" for a share of 1, "points" for 0-100 scales, "nats/token", ...
    note: str = ""  # for example sacrebleu's signature


@dataclass(frozen=True, slots=True)
class Cost:
    """What a rung used; ``None`` where it was not measured."""

    seconds: float | None = None  # wall clock of making and answering; grading is not counted
    train_seconds: float | None = None
    eval_seconds: float | None = None
    train_tokens: int | None = None  # tokens seen in training, all epochs
    peak_memory_bytes: int | None = None  # resident set of the process at its highest
    trainable_parameters: int | None = None
    adapter_bytes: int | None = None
    money: float | None = None
    currency: str = ""
    answer_seconds: float | None = None  # the part of `seconds` spent on answering the test rows
    answers: int = 0  # how many rows were answered in that time
    answer_tokens: float | None = None  # mean tokens of an answer, read and written; 0 where no model reads
    answer_written: float | None = None  # the written ones among them
    answer_money: float | None = None  # the part of `money` spent on answering the test rows

    @property
    def making_seconds(self) -> float | None:
        """Everything before the test rows: choosing, fitting, training."""
        return _rest(self.seconds, self.answer_seconds)

    @property
    def making_money(self) -> float | None:
        """What everything before the test rows costs."""
        return _rest(self.money, self.answer_money)

    @property
    def one_answer(self) -> float | None:
        """Seconds an answer."""
        return _each(self.answer_seconds, self.answers)

    @property
    def one_answer_money(self) -> float | None:
        """Money an answer."""
        return _each(self.answer_money, self.answers)

    def at(self, volume: float) -> float | None:
        """Seconds to make the rung and to answer `volume` rows with it."""
        return _total(self.making_seconds, self.one_answer, volume)

    def money_at(self, volume: float) -> float | None:
        """Money to make the rung and to answer `volume` rows with it."""
        return _total(self.making_money, self.one_answer_money, volume)


def _rest(whole: float | None, part: float | None) -> float | None:
    return None if whole is None or part is None else max(0.0, whole - part)


def _each(part: float | None, answers: int) -> float | None:
    return None if part is None or not answers else part / answers


def _total(making: float | None, each: float | None, volume: float) -> float | None:
    return None if making is None or each is None else making + volume * each


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One point of a learning curve."""

    step: int
    tokens: int
    seconds: float
    train_loss: float | None = None  # nats per target since the point before
    dev_loss: float | None = None  # nats per target: a token, or a label
    learning_rate: float | None = None
    dev_score: float | None = None  # the task's metric on dev rows, its sign turned where lower is better


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A way to compute the same result faster, and whether it was used."""

    name: str
    on: bool
    why: str  # what it saved, or why it was off


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice made on dev: what was tried and what each scored."""

    name: str  # for example "k" or "answer by"
    chosen: str
    tried: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """A tuned rung with its change at one strength."""

    strength: float  # 1: as trained
    loss: float  # on dev, nats a row
    kl: float  # forgotten, nats a token
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One test row as one rung answered it: a line of predictions/<rung>.jsonl."""

    example_id: str
    text: str
    status: ScoreStatus
    answer: str | None
    values: Mapping[str, float] = field(default_factory=dict)
    tokens: int = 0
    note: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)  # as in `Score`


@dataclass(frozen=True, slots=True)
class Result:
    """What one rung measured: results/<rung>.json."""

    rung: str  # "zero-shot", "few-shot", "lora", "full", ...
    method: str  # "prompt", "lora", "full", ...
    status: RungStatus
    order: int  # place on the ladder, cheapest first
    base: str
    fingerprint: str
    reason: str = ""  # why it failed or was skipped
    primary: Measure | None = None
    metrics: tuple[Measure, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)  # rows by score status
    cost: Cost = field(default_factory=Cost)
    quote: Quote | None = None
    choices: tuple[Choice, ...] = ()
    forgetting: tuple[Measure, ...] = ()  # "kl" in nats/token and "top1_agreement"; empty if not tuned
    curve: tuple[CurvePoint, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)  # settings as the user gave them
    applied: Mapping[str, Any] = field(default_factory=dict)  # settings as used
    notes: tuple[str, ...] = ()
    mechanisms: tuple[Mechanism, ...] = ()  # of training
    started: str = ""  # ISO 8601, UTC
    finished: str = ""
    kind: RungKind | Literal[""] = ""  # empty in runs from before it was kept
    done: float | None = None  # unfinished: the share of the planned steps or rows that was done
    needs_seconds: float | None = None  # unfinished: the budget of a climb that would finish it
    tradeoffs: tuple[Tradeoff, ...] = ()  # strengths of the change that were tried, the weakest first
    forecast: Forecast | None = None  # of a tuned rung, from short trainings before it
    dev: Measure | None = None  # the primary metric on dev rows, where a later rung is compared with it

    @property
    def prompts(self) -> bool:
        """Whether the rung asks the plain base."""
        if self.kind:
            return self.kind == "prompt"
        return self.method == "prompt" and not self.cost.trainable_parameters

    @property
    def tunes(self) -> bool:
        """Whether the rung changed weights of the base, or added some."""
        return self.kind == "tune" if self.kind else not self.prompts


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two rungs on the same test rows; `difference` is first minus second, in the primary metric."""

    first: str
    second: str
    difference: Measure
    p_value: float | None = None
    test: str = ""  # "exact McNemar", "paired Wald test" or "paired bootstrap"
    distinguishable: bool = False
    rows_needed: int | None = None  # rough number of test rows that would tell them apart


@dataclass(frozen=True, slots=True)
class Regret:
    """How far a rung falls behind the best one, over bootstrap samples of the test rows."""

    rung: str
    expected: float  # mean shortfall, on the primary metric's own scale; 0 or more
    chance: float  # share of the samples in which it is within the tolerance of the best


@dataclass(frozen=True, slots=True)
class Verdict:
    """The recommendation, drawn from results alone."""

    recommended: str | None  # a rung, or None where nothing can be said
    sentence: str
    reasons: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    best: str | None = None
    best_prompting: str | None = None
    conclusive: bool = True
    regrets: tuple[Regret, ...] = ()  # in the order of the ladder
    certainty: Certainty | None = None  # None in runs from before it was kept, or with nothing to compare
    tolerance: float | None = None  # on the primary metric's own scale
    volume: int | None = None  # answers by which cost was ordered
    helps: tuple[str, ...] = ()  # what would help most, a sentence each, the most useful first


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a report needs apart from the results: run.json."""

    name: str
    task: Task
    base: str
    data: Mapping[str, Any] = field(default_factory=dict)  # file names, counts, drops, samples
    asked: Mapping[str, Any] = field(default_factory=dict)
    applied: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    started: str = ""
    finished: str = ""
    seconds: float | None = None


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def to_json(record: Any) -> Any:
    """A record as plain JSON values."""
    return _adapter(type(record)).dump_python(record, mode="json")  # type: ignore[arg-type]


def from_json(kind: type[T], value: Any, where: str = "") -> T:
    """A record of `kind` from JSON values. Raises `ResumeError` where they do not fit."""
    try:
        return _adapter(kind).validate_python(value)  # type: ignore[no-any-return, arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        raise ResumeError(
            f"{kind.__name__} field {'.'.join(map(str, first['loc']))!r}: {first['msg']}",
            where=where,
            fix="The file was written by another version of rung or changed by hand; delete it and run again",
        ) from error
