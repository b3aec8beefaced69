"""Speeds for the forecast: real work of each kind is timed on this machine; the rest is arithmetic.

Timing has an allowance. Each kind of work is tried on a little first; how much is then done, and how often,
follows from what is left. Where nothing is left for the expensive kinds (decoding, full fine-tuning), they
are guessed from the cheaper ones, and the range of the quotes grows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from statistics import median

import numpy as np

from rung import cost
from rung.compute import body
from rung.data.pack import computed
from rung.data.pairs import size, texts
from rung.evaluation.forgetting import BATCH_TEXTS, Text, drift
from rung.evaluation.prompts import zero_shot
from rung.generate.choose import best_choices
from rung.ladder import memory
from rung.ladder.forecast import Rates, TrainRate, Workload
from rung.ladder.label_rows import loss_for
from rung.ladder.options import attach
from rung.ladder.prepare import Prepared
from rung.ladder.texts import train_rows
from rung.ladder.watch import Silent, Watcher
from rung.methods import METHODS
from rung.methods.method import Attached
from rung.records import Rendered
from rung.train.trainer import StepTime, Trainer, TrainSettings

_SHARE = 0.08  # of the allowance is for one run of one kind of work
_RATES = ("prefill", "decode", "score")
_REPEATS, _MOST_REPEATS = 2, 5
_DISTURBED = 0.3  # a spread above which work is timed more often
_NEW = 12  # tokens written where decoding is timed
_TEXTS = BATCH_TEXTS  # on which measuring what was forgotten is timed
_LEAST_TOKENS = 200  # of a step that is timed where the machine is slow
_GUESSED = 0.5  # spread of what was not timed
_OF_PREFILL, _OF_CHEAPER = 0.3, 0.6  # guesses: decode of prefill; tokens/s of full of those of another method
_OF_READING = (
    3.0  # guess: choosing a label, or measuring drift on a text, takes so many times as long as reading
)
_SECONDS_PER_PARAMETER = 4e-9  # guess: an optimizer step


class Allowance:
    """Seconds that timing may take; None for as many as it needs."""

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds, self.clock = seconds, clock
        self.used = 0.0

    @property
    def left(self) -> float:
        return float("inf") if self.seconds is None else self.seconds - self.used

    def timed(self, work: Callable[[], object]) -> float:
        """Seconds that `work` takes, taken off the allowance."""
        start = self.clock()
        work()
        seconds = self.clock() - start
        self.used += seconds
        return seconds

    def rows(self, seconds_per_row: float, least: int, most: int) -> int:
        """How many rows one run of some work may have."""
        if self.seconds is None:
            return most
        return max(least, min(most, int(_SHARE * self.seconds / max(seconds_per_row, 1e-9))))


@dataclass(frozen=True, slots=True)
class Timed:
    """Times of the same work."""

    seconds: float  # the median
    spread: float  # half of what lies between the shortest and the longest, as a share of the median

    @classmethod
    def of(cls, times: Sequence[float]) -> Timed:
        middle = median(times)
        return cls(middle, (max(times) - min(times)) / 2 / max(middle, 1e-9))


def repeated(work: Callable[[], object], allowance: Allowance, first: float) -> Timed:
    """`work` timed `_REPEATS` times, more often where the times differ a lot, if the allowance permits.

    `first` is what one run should take; it stands for the time where not even one is affordable.
    """
    times: list[float] = []
    while len(times) < _MOST_REPEATS and allowance.left > (times[-1] if times else first):
        times.append(allowance.timed(work))
        if len(times) >= _REPEATS and Timed.of(times).spread <= _DISTURBED:
            break
    return Timed.of(times) if times else Timed(first, _GUESSED)


class Timing:
    """Speeds of this machine with this base and these rows; each is measured when it is first asked for.

    Measuring leaves the model as it was. See `rung.ladder.forecast.Speeds`; `known` are speeds that stay.
    """

    def __init__(
        self,
        prepared: Prepared,
        work: Workload,
        texts: Sequence[Text],
        pack_tokens: int,
        step_tokens: int,
        allowance: Allowance,
        watcher: Watcher | None = None,
        known: Rates | None = None,
    ) -> None:
        self.prepared, self.work, self.texts = prepared, work, texts
        self.pack_tokens, self.step_tokens = pack_tokens, step_tokens
        self.allowance = allowance
        self.watcher = watcher or Silent()
        self._spreads = [known.spread] if known else []
        self._train = _TrainRates(self, known.train if known else {})
        if known:
            self.__dict__ |= {name: rate for name in _RATES if (rate := getattr(known, name))}

    @property
    def train(self) -> Mapping[str, TrainRate]:
        """By method."""
        return self._train

    @property
    def spread(self) -> float:
        return max(self._spreads, default=0.0)

    @cached_property
    def prefill(self) -> float:
        """Tokens per second, forward only: prompts are read and their first token is written."""
        seconds, count = self._generated(1)
        return (self.work.prefix_tokens + count * self.work.tail_tokens) / seconds

    @cached_property
    def decode(self) -> float:
        """Tokens per second, all rows of a full batch together."""
        read = self.prefill
        if self.allowance.left <= 0:
            self._spreads.append(_GUESSED)
            return read * _OF_PREFILL
        seconds, count = self._generated(1 + _NEW)
        reading = (self.work.prefix_tokens + count * self.work.tail_tokens) / read
        step = max(seconds - reading, 0.1 * seconds) / _NEW
        alone = max(0.0, step - count / read)  # what a step costs besides the tokens it reads: the weights
        rows = self.prepared.speaker.engine.rows
        return rows / (alone + rows / read)

    @cached_property
    def score(self) -> float:
        """Seconds a row for finding the best label, reading included; 0 where there are no labels."""
        labels = self.prepared.task.labels
        if not labels:
            return 0.0
        if self.allowance.left <= 0:
            self._spreads.append(_GUESSED)
            return _OF_READING * self.work.tail_tokens / self.prefill
        choices = [self.prepared.speaker.renderer.completion_ids(label) for label in labels]
        corrections = np.zeros((2, len(choices)))
        base = self.prepared.base
        seconds, count = self._over_prompts(
            "choosing among labels", lambda some: best_choices(base, some, choices, corrections)
        )
        return seconds / count

    def rates(self) -> Rates:
        """What is known so far: a speed that no rung has asked for is 0."""
        found = {name: self.__dict__.get(name, 0.0) for name in _RATES}
        return Rates(**found, train=dict(self._train), spread=self.spread)

    def slower(self, training: float, answering: float) -> Timing:
        """See `Rates.slower`; what is timed later is as it is found."""
        known = self.rates().slower(training, answering)
        sizes = (self.pack_tokens, self.step_tokens)
        return Timing(self.prepared, self.work, self.texts, *sizes, self.allowance, self.watcher, known)

    def note(self, timed: Timed) -> float:
        """Remember the spread of the times; returns the time."""
        self._spreads.append(timed.spread)
        return timed.seconds

    def _generated(self, tokens: int) -> tuple[float, int]:
        """Seconds for writing `tokens` tokens after each of so many prompts."""
        engine = self.prepared.speaker.engine
        kind = "reading prompts" if tokens == 1 else "writing answers"
        return self._over_prompts(
            kind, lambda some: engine.generate(some, max_new_tokens=tokens, stop_ids=())
        )

    def _over_prompts(self, kind: str, ask: Callable[[list[list[int]]], object]) -> tuple[float, int]:
        """Seconds that `ask` takes for some prompts, and for how many: two first, then as many as it may."""
        prepared, speaker = self.prepared, self.prepared.speaker
        self.watcher.begin("", f"timing: {kind}")
        some = prepared.split.asking[: speaker.engine.rows]
        prompts = [speaker.renderer.prompt_ids(zero_shot(prepared.task, example)) for example in some]
        few = prompts[:2]
        first = self.allowance.timed(lambda: ask(few)) / len(few)  # warms up
        if self.allowance.left > first * len(few):
            first = min(first, self.allowance.timed(lambda: ask(few)) / len(few))
        count = self.allowance.rows(first, len(few), len(prompts))
        used = prompts[:count]
        return self.note(repeated(lambda: ask(used), self.allowance, first * count)), count


class _TrainRates(dict[str, TrainRate]):
    """Method -> its speed."""

    def __init__(self, timing: Timing, known: Mapping[str, TrainRate]) -> None:
        super().__init__(known)
        self.timing = timing

    def __missing__(self, method: str) -> TrainRate:
        self[method] = _guess(self.timing, method, self) or _train_rate(self.timing, method)
        return self[method]


def _train_rate(timing: Timing, method: str) -> TrainRate:
    """Real optimizer steps of the trainer, thrown away afterwards."""
    prepared, allowance = timing.prepared, timing.allowance
    timing.watcher.begin("", f"timing: training with {METHODS[method].title}")
    attached, peak = None, cost.PeakMemory()

    def put_on() -> None:
        nonlocal attached
        attached = attach(prepared, method)

    tokens = min(timing.step_tokens, max(_LEAST_TOKENS, allowance.left * timing.prefill / 6))
    peak.reset()
    before = cost.resident() or 0
    attach_seconds = allowance.timed(put_on)
    assert attached is not None
    try:
        cost.trim()
        held = (cost.resident() or 0) - before
        forgetting = _forget_seconds(timing, attached)
        rows = _sample(prepared, method, int(tokens))
        settings = _settings(timing, memory.pack_to_time(prepared, method, timing.pack_tokens))
        trainer = Trainer(prepared.base.model, attached, rows, [], settings, loss=loss_for(prepared, method))
        with ExitStack() as stack:
            allowance.timed(lambda: stack.enter_context(trainer.cached_trunk()))
            steps = _timed_steps(trainer, allowance)
            below = trainer.trunk.layers if trainer.trunk else 0
        largest = max(_computed(rows, pack) for step in trainer.plan[: len(steps)] for pack in step.packs)
        return TrainRate(
            tokens_per_second=1 / median(step.passes / step.tokens for step in steps),
            step_seconds=median(step.update for step in steps),
            attach_seconds=attach_seconds,
            parameters=sum(p.numel() for p in trainer.parameters),
            forget_seconds=forgetting,
            spread=Timed.of([step.seconds / step.tokens for step in steps]).spread,
            peak_bytes=max(0, (peak.bytes or 0) - before),
            held_bytes=max(0, held),
            pass_tokens=largest,
            pass_share=largest / memory.largest_pass(sum(map(size, rows)), settings.pack_tokens),
            trunk_seconds=below / body.depth(prepared.base.model) / timing.prefill,
        )
    finally:
        attached.detach()


def _forget_seconds(timing: Timing, attached: Attached) -> float:
    """Seconds that measuring what was forgotten takes for a token of its texts: the base and the tuned model
    read it, and its logits are compared; guessed where no time is left."""
    texts = timing.texts[:_TEXTS]
    tokens = sum(len(one.prompt) + len(one.written) for one in texts)
    guess = _OF_READING / timing.prefill
    if not texts or timing.allowance.left < 2 * tokens * guess:
        return guess
    return timing.allowance.timed(lambda: drift(timing.prepared.base, attached, texts)) / tokens


def _timed_steps(trainer: Trainer, allowance: Allowance) -> list[StepTime]:
    """Steps as `repeated` would take them; the first warms up and counts only where it is alone."""
    steps: list[StepTime] = []
    for step in islice(trainer.steps(allowance.clock), 1 + _MOST_REPEATS):
        allowance.used += step.seconds
        steps.append(step)
        spread = Timed.of([one.seconds / one.tokens for one in steps[1:] or steps]).spread
        if allowance.left < step.seconds or (len(steps) > _REPEATS and spread <= _DISTURBED):
            break
    return steps[1:] or steps


def _settings(timing: Timing, pack_tokens: int) -> TrainSettings:
    """Of real steps that change nothing."""
    return TrainSettings(
        learning_rate=0.0,
        epochs=1.0 + _MOST_REPEATS,
        step_tokens=timing.step_tokens,
        pack_tokens=pack_tokens,
        seed=timing.prepared.settings.seed,
    )


def _guess(timing: Timing, method: str, known: Mapping[str, TrainRate]) -> TrainRate | None:
    """The speed of full fine-tuning, from another method's, where there is no time left to try it."""
    if method != "full" or not known:
        return None
    name, other = next(iter(known.items()))
    parameters = sum(p.numel() for p in timing.prepared.base.model.parameters())
    rate = _OF_CHEAPER * other.tokens_per_second
    update = _SECONDS_PER_PARAMETER * parameters
    if timing.allowance.left > 2 * (timing.step_tokens / rate + update):
        return None
    return TrainRate(
        tokens_per_second=rate,
        step_seconds=update,
        attach_seconds=other.attach_seconds,
        parameters=parameters,
        forget_seconds=other.forget_seconds,
        spread=_GUESSED,
        peak_bytes=memory.guessed(timing.prepared, method, parameters, name, other),
        held_bytes=other.held_bytes,
        pass_tokens=other.pass_tokens,
        pass_share=other.pass_share,
    )


def _sample(prepared: Prepared, method: str, step_tokens: int) -> list[Rendered]:
    """Train rows for one step."""
    rows: list[Rendered] = []
    room = step_tokens
    for row in train_rows(prepared, method, prepared.split.train):
        if rows and size(row) > room:
            break
        rows.append(row)
        room -= size(row)
    return rows


def _computed(rows: Sequence[Rendered], pack: Sequence[int]) -> int:
    """Tokens that a pass over the rows at these places computes."""
    ids = [row.ids for row in texts([rows[place] for place in pack])]
    return computed(ids, range(len(ids)))
