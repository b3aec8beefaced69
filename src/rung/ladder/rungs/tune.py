"""What the tuned rungs share: a method of `rung.methods` is trained, its best state on dev answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rung import cost
from rung.config import Settings
from rung.evaluation.tasks import KINDS
from rung.ladder import forecast, memory, mixing, race
from rung.ladder.context import Context
from rung.ladder.forecast import Size, TrainRate, Workload
from rung.ladder.general import keep_of, more_tokens, reading_seconds, weakening_seconds
from rung.ladder.layers import epochs_of_all
from rung.ladder.options import asked_options, settings_of
from rung.ladder.responder import Responder
from rung.ladder.rungs.rung import Outcome, Rung
from rung.methods.table import METHODS
from rung.records import Choice, Quote, RungKind

if TYPE_CHECKING:
    from rung.ladder.answer_by import AnswerBy
    from rung.ladder.prepare import Prepared
    from rung.ladder.tuning import Tuned

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
        bits = context.settings.bits
        if bits and not METHODS[self.method].promises.few_bits:
            why = f"weights held in {bits} bits cannot be trained; leave --bits out for it"
            return Quote(self.name, fits=False, why=why)
        needed = memory.need(context, self.method)
        if needed.why:
            return Quote(self.name, fits=False, why=needed.why, memory_bytes=needed.bytes)
        size, work, settings = context.size, context.work, context.settings
        rate = context.speeds.train[self.method]
        judging = forecast.judging_seconds(work, context.speeds, self.judged_rows(context, size))
        training = self.train_seconds(context, rate) + judging
        measured = self._texts(context) / max(1, len(context.texts))
        forgetting = rate.forget_seconds * work.general_tokens * measured
        choosing = forecast.choosing_seconds(work, context.speeds, size) if self.picks(context) else 0.0
        if METHODS[self.method].promises.scalable:
            choosing += weakening_seconds(work, context.speeds)
        raced = race.planned(context, self.method, rate, training)
        racing, states = (raced.seconds, 2 * len(raced.arms)) if raced else (0.0, 0)
        rest = forgetting + choosing + self.answer_seconds(context)
        seconds = self.start_seconds(context) + racing + training + rest
        return Quote(
            rung=self.name,
            fits=True,
            seconds=seconds,
            train_rows=size.train,
            epochs=size.epochs,
            train_tokens=round(self._tokens(context, size)),
            dev_rows=size.dev,
            test_rows=size.test,
            memory_bytes=needed.bytes,
            pack_tokens=needed.pack_tokens if needed.pack_tokens < context.pack_tokens else 0,
            money=cost.money(seconds, settings.price_per_hour),
            train_seconds=training,
            race_seconds=racing,
            disk_bytes=4 * rate.parameters * max(_NUMBERS * _CHECKPOINTS + 1, states),  # 1: the best value
        )

    def train_seconds(self, context: Context, rate: TrainRate) -> float:
        """Of training at `rate`, measuring dev loss included, but not the answers to dev rows."""
        dev_rows, speeds = len(context.prepared.split.dev), context.speeds
        slower = replace(
            rate, tokens_per_second=rate.tokens_per_second / more_tokens(context.settings, self.method)
        )
        work = self._work(context)
        return forecast.train_seconds(context.settings, work, speeds, slower, context.size, dev_rows)

    def start_seconds(self, context: Context) -> float:
        """What is done before training."""
        return reading_seconds(context, self.method, self._tokens(context, context.size))

    def judged_rows(self, context: Context, size: Size) -> int:
        """Dev rows that are answered at each look at dev in training; 0 where the loss alone is looked at.

        Without a budget they depend on no clock, so that the same command trains the same weights.
        """
        settings, work, speeds = context.settings, context.work, context.speeds
        if KINDS[context.task.kind].pairs or METHODS.prefers(self.method):
            return 0  # the loss says as much, for less
        most = dev = len(context.prepared.split.dev)
        if settings.budget is not None:
            rate = speeds.train[self.method]
            training = forecast.train_seconds(settings, work, speeds, rate, size, dev)
            most = min(dev, forecast.judged_in_time(work, speeds, training))
        return forecast.judged_rows(work, size.train, size.epochs, most)

    def picks(self, context: Context) -> bool:
        """Whether dev also tries labels by likelihood, or answers in the task's form."""
        if not (context.task.labels or context.work.constrained):
            return False
        return context.settings.budget is None or forecast.picks_in_time(context.work, context.speeds)

    def answer_seconds(self, context: Context) -> float:
        """Of answering the test rows."""
        if KINDS[context.task.kind].pairs:
            return forecast.preferring_seconds(context.work, context.speeds, context.size.test)
        return forecast.tuned_answer_seconds(context.work, context.speeds, context.size, self.picks(context))

    def run(self, context: Context, limit: float | None) -> Outcome:
        from rung.ladder import tuning, weaken
        from rung.ladder.answer_by import WRITING

        prepared, folder, watcher = context.prepared, context.folder, context.watcher
        watch = cost.Stopwatch()
        checkpoints, plan = folder.file("checkpoints", self.name), context.plan.of(self.name, context)
        judged = self.judged_rows(context, plan.size)
        keep = keep_of(context, self.method, self._tokens(context, plan.size))
        won = race.run(context, self.name, self.method, plan, keep)
        if won is not None:
            limit = None if limit is None else max(0.0, limit - won.late)
            if won.arm.top_layers is not None:  # all, where the plan is for the top half
                plan = replace(plan, epochs=epochs_of_all(plan.epochs))
        watcher.begin(self.name, "training")
        tuned = tuning.train(
            prepared, plan, self.method, checkpoints, watcher, limit, judged, keep, won.arm if won else None
        )
        trained = tuned.outcome
        learning = trained.seconds + tuned.given_up + (won.seconds if won else 0.0)
        earlier = max(0.0, learning - watch.seconds)
        try:
            adapter = folder.file("adapters", self.name)
            size = tuning.save(prepared, tuned, adapter)
            cost.trim()  # what training held and is free now lies in pieces
            watcher.begin(self.name, "measuring what it forgot")
            held = weaken.hold(prepared, tuned, context.texts[: self._texts(context)], checkpoints)
            cost.trim()
            tuned.applied["strength"] = held.strength
            by, chosen, said = self._answer_by(context)
            if held.strength != 1 or by != WRITING:
                size = tuning.save(prepared, tuned, adapter, by)
        except BaseException:
            tuned.attached.detach()
            raise
        return Outcome(
            _answering(prepared, tuned, adapter, by),
            choices=(
                *mixing.choices_of(context),
                *([won.choice] if won else []),
                *tuned.choices,
                *held.choices,
                *chosen,
            ),
            curve=trained.curve,
            forgetting=held.drift,
            tradeoffs=held.tradeoffs,
            notes=(*(won.notes if won else ()), *tuned.notes, *trained.notes, *held.notes, *said),
            mechanisms=trained.mechanisms,
            applied=tuned.applied | {"max_new_tokens": prepared.max_new_tokens},
            train_seconds=trained.seconds,
            earlier_seconds=earlier,
            train_tokens=trained.tokens,
            trainable_parameters=tuned.trainable,
            adapter_bytes=size,
            done=1.0 if trained.early else trained.steps / max(1, trained.planned_steps),
            close=tuned.attached.detach,
        )

    def _answer_by(self, context: Context) -> tuple[AnswerBy, tuple[Choice, ...], tuple[str, ...]]:
        """How the trained model, which is attached, answers: what is best on dev, and a note about it."""
        from rung.ladder.answer_by import usual
        from rung.ladder.tuned_dev import DevScores, choose_answer

        if not self.picks(context):
            return usual(context.task), (), ()
        context.watcher.begin(self.name, "choosing on dev")
        prepared = context.prepared
        scores = DevScores(prepared, context.split.dev, forecast.MOST_CHOOSING_ROWS)
        cheaper = forecast.labels_cheaper(context.work)
        by, choice, said = choose_answer(scores, prepared.speaker, cheaper, context.watcher)
        return by, (choice,), (said,)

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

    def _work(self, context: Context) -> Workload:
        """The tokens of what it is trained on."""
        return context.work.in_pairs if METHODS.prefers(self.method) else context.work

    def _tokens(self, context: Context, size: Size) -> float:
        """Of the train rows, in all epochs."""
        return size.train * size.epochs * self._work(context).trained_tokens


def _answering(prepared: Prepared, tuned: Tuned, adapter: Path, by: AnswerBy) -> Responder:
    """What answers with the method that was trained, as it is saved in `adapter`."""
    from rung.ladder import tuning
    from rung.ladder.speaking import base_of

    about, longest = base_of(prepared), prepared.max_new_tokens
    return tuning.responder(prepared.speaker, tuned.attached, longest, adapter, about, by, prepared.task)
