"""What the tuned rungs share: a method of `rung.methods` is trained, its best state on dev answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rung import cost
from rung.config import Settings
from rung.ladder import memory
from rung.ladder.context import Context
from rung.ladder.forecast import Size, TrainRate, train_seconds, tuned_answer_seconds
from rung.ladder.general import keep_of, more_tokens, reading_seconds
from rung.ladder.options import asked_options, settings_of
from rung.ladder.responder import Responder
from rung.ladder.rungs.rung import Outcome, Rung
from rung.records import Choice, Quote, RungKind

FORGETTING = 0.05  # of the budget is spent by a rung on measuring what it forgot, about
FEWEST_TEXTS = 8
_CHECKPOINTS = 2  # kept at the same time
_NUMBERS = 4  # fp32 numbers of a parameter in a checkpoint: itself, two moments, its best value


class TuneRung(Rung):
    """Tuning with one method; the adapter is in ``adapters/<name>``."""

    kind: RungKind = "tune"

    def __init__(self, name: str, title: str, method: str, on_request: bool = False) -> None:
        self.name = name
        self.title = title
        self.method = method  # a name in `rung.methods.METHODS`
        self.on_request = on_request

    def check(self, settings: Settings) -> None:
        if asked_options(settings):
            settings_of(settings, self.method)

    def quote(self, context: Context) -> Quote:
        from rung.methods import METHODS

        bits = context.settings.bits
        if bits and not METHODS[self.method].promises.few_bits:
            why = f"weights held in {bits} bits cannot be trained; leave --bits out for it"
            return Quote(self.name, fits=False, why=why)
        needed = memory.need(context, self.method)
        if needed.why:
            return Quote(self.name, fits=False, why=needed.why, memory_bytes=needed.bytes)
        size, work, settings = context.size, context.work, context.settings
        rate = context.speeds.train[self.method]
        training = self.train_seconds(context, rate)
        measured = self._texts(context) / max(1, len(context.texts))
        forgetting = rate.forget_seconds * work.general_tokens * measured
        seconds = self.start_seconds(context) + training + forgetting + self.answer_seconds(context)
        return Quote(
            rung=self.name,
            fits=True,
            seconds=seconds,
            train_rows=size.train,
            epochs=size.epochs,
            train_tokens=round(_tokens(context, size)),
            dev_rows=size.dev,
            test_rows=size.test,
            memory_bytes=needed.bytes,
            pack_tokens=needed.pack_tokens if needed.pack_tokens < context.pack_tokens else 0,
            money=cost.money(seconds, settings.price_per_hour),
            train_seconds=training,
            disk_bytes=4 * rate.parameters * (_NUMBERS * _CHECKPOINTS + 1),  # 1: the best value, once more
        )

    def train_seconds(self, context: Context, rate: TrainRate) -> float:
        """Of training at `rate`, measuring dev loss included."""
        dev_rows, speeds = len(context.prepared.split.dev), context.speeds
        slower = replace(
            rate, tokens_per_second=rate.tokens_per_second / more_tokens(context.settings, self.method)
        )
        return train_seconds(context.settings, context.work, speeds, slower, context.size, dev_rows)

    def start_seconds(self, context: Context) -> float:
        """What is done before training."""
        return reading_seconds(context, self.method, _tokens(context, context.size))

    def answer_seconds(self, context: Context) -> float:
        """Of answering the test rows."""
        return tuned_answer_seconds(context.work, context.speeds, context.size)

    def run(self, context: Context, limit: float | None) -> Outcome:
        from rung.ladder import tuning, weaken
        from rung.ladder.speaking import base_of

        prepared, folder, watcher = context.prepared, context.folder, context.watcher
        watch = cost.Stopwatch()
        checkpoints, plan = folder.file("checkpoints", self.name), context.plan.of(self.name, context)
        keep = keep_of(context, self.method, _tokens(context, plan.size))
        watcher.begin(self.name, "training")
        tuned = tuning.train(prepared, plan, self.method, checkpoints, watcher, limit, keep)
        trained = tuned.outcome
        earlier = max(0.0, trained.seconds - watch.seconds)
        try:
            adapter = folder.file("adapters", self.name)
            size = tuning.save(prepared, tuned, adapter)
            cost.trim()  # what training held and is free now lies in pieces
            watcher.begin(self.name, "measuring what it forgot")
            held = weaken.hold(prepared, tuned, context.texts[: self._texts(context)], checkpoints)
            cost.trim()
            if held.strength != 1:
                tuned.applied["strength"] = held.strength
                tuning.save(prepared, tuned, adapter)
        except BaseException:
            tuned.attached.detach()
            raise
        best = Choice("best checkpoint", f"step {trained.best_step} of {trained.planned_steps}")
        return Outcome(
            tuning.responder(
                prepared.speaker, tuned.attached, prepared.max_new_tokens, adapter, base_of(prepared)
            ),
            choices=(*tuned.choices, best, *held.choices),
            curve=trained.curve,
            forgetting=held.drift,
            tradeoffs=held.tradeoffs,
            notes=(*trained.notes, *held.notes),
            mechanisms=trained.mechanisms,
            applied=tuned.applied | {"max_new_tokens": prepared.max_new_tokens},
            train_seconds=trained.seconds,
            earlier_seconds=earlier,
            train_tokens=trained.tokens,
            trainable_parameters=tuned.trainable,
            adapter_bytes=size,
            done=trained.steps / max(1, trained.planned_steps),
            close=tuned.attached.detach,
        )

    def _texts(self, context: Context) -> int:
        """The number of texts on which forgetting is measured: as many as there is time for."""
        every, budget = len(context.texts), context.settings.budget
        seconds = context.speeds.train[self.method].forget_seconds * context.work.general_tokens
        if budget is None or seconds <= FORGETTING * budget:
            return every
        return min(every, max(FEWEST_TEXTS, int(every * FORGETTING * budget / seconds)))

    def load(self, folder: Path) -> Responder:
        from rung.ladder import tuning

        return tuning.load(folder)


def _tokens(context: Context, size: Size) -> float:
    """Of the train rows, in all epochs."""
    return size.train * size.epochs * context.work.row_tokens
