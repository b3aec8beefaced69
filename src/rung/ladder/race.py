"""A short race on dev: which learning rate, and how many layers, a tuned rung is trained with.

`rung.ladder.race_rules` has the rules. Arms share what they can: the rendered rows, the base in memory, the
general texts, and the file of the frozen trunk where the same layers are frozen. The long training begins at
the method's start, not where an arm ended, so it is the training that the same rate would have given without
a race.

race.json, next to the checkpoints, holds what is raced, which is settled before the first arm begins, and the
loss of each arm that is done. A race that was stopped continues after the last of them.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rung import numbers, storage
from rung.data.split import sample
from rung.ladder import race_rules
from rung.ladder.context import Context
from rung.ladder.forecast import TrainRate, step_tokens
from rung.ladder.general import more_tokens
from rung.ladder.layers import depth_of, usual_layers
from rung.ladder.options import settings_of
from rung.ladder.race_rules import LOWER, MOST_LOWERED, Arm, Planned, ranked, rounds, ruins
from rung.methods.table import METHODS
from rung.records import Choice, from_json, to_json

if TYPE_CHECKING:
    from rung.ladder.plan import Plan
    from rung.records import Rendered
    from rung.train.keep import Keep
    from rung.train.trainer import TrainSettings

FILE = "race.json"  # in the folder of the checkpoints
_SHARED = "race"  # a folder for the states that go on to another round, and for trunks
_STATE = "state.safetensors"


@dataclass(frozen=True, slots=True)
class Ran:
    """What one arm came to in one round."""

    arm: int  # its place in `Race.every`
    turn: int  # the round, from 0
    losses: tuple[float, ...]  # on dev, nats of each row; nothing where it diverged
    seconds: float


@dataclass(frozen=True, slots=True)
class Race:
    """race.json."""

    mark: str  # of what else decides the result
    arms: tuple[Arm, ...] = ()  # nothing where it was settled that there is no race
    rows: int = 0  # of the first round
    step_tokens: int = 0
    expected: float = 0.0  # seconds
    base: tuple[float, ...] = ()  # loss of the untuned base on the same dev rows
    ran: tuple[Ran, ...] = ()
    lower: tuple[Arm, ...] = ()  # tried where even the best arm made the base worse

    @property
    def every(self) -> tuple[Arm, ...]:
        return (*self.arms, *self.lower)

    @property
    def seconds(self) -> float:
        return sum(one.seconds for one in self.ran)

    def find(self, place: int, turn: int) -> Ran | None:
        return next((one for one in self.ran if (one.arm, one.turn) == (place, turn)), None)

    def last(self, place: int) -> tuple[float, ...]:
        """The losses of an arm after the last round that it was in."""
        return max((one for one in self.ran if one.arm == place), key=lambda one: one.turn).losses


@dataclass(frozen=True, slots=True)
class Won:
    """What the race came to."""

    arm: Arm
    choice: Choice
    notes: tuple[str, ...]
    seconds: float
    late: float  # seconds that it took more than expected


def planned(context: Context, method: str, rate: TrainRate, training: float) -> Planned | None:
    """The race before a training of `training` seconds at ``context.size``; None where there is none."""
    settings, work, size, speeds = context.settings, context.work, context.size, context.speeds
    if not settings.race or settings.budget is None or settings.learning_rate is not None:
        return None
    dev = min(race_rules.DEV_ROWS, len(context.split.dev))
    own_loss = METHODS.classifies(method) or METHODS.prefers(method)
    if own_loss or dev < race_rules.FEWEST_DEV:
        return None
    reading = dev * work.row_tokens / speeds.prefill
    usual = step_tokens(settings, work, size.train, size.epochs)
    row = more_tokens(settings, method) * work.trained_tokens / rate.tokens_per_second

    def one(new: int) -> float:
        read = new * work.trained_tokens * rate.trunk_seconds + reading
        steps = max(1.0, new * work.trained_tokens / race_rules.step_tokens(new, work.trained_tokens, usual))
        return rate.attach_seconds + new * row + steps * rate.step_seconds + read

    steps = size.train * size.epochs * work.trained_tokens / usual
    return race_rules.planned(arms(context, method, steps), size.train, training, one, reading)


def arms(context: Context, method: str, steps: float) -> tuple[Arm, ...]:
    """All arms for a training in so many steps."""
    from rung.ladder.rates import rate_for

    prepared, asked = context.prepared, settings_of(context.settings, method)
    return race_rules.arms_for(
        rate_for(prepared, method, asked),
        every=depth_of(prepared.base) if usual_layers(prepared, method, asked) else None,
        short=METHODS[method].half_rate is not None and steps <= race_rules.SHORT,
    )


def run(context: Context, rung: str, method: str, plan: Plan, keep: Keep | None) -> Won | None:
    """Race before the training that `plan` describes; None where the rung was quoted without a race.

    Nothing may be attached to the base, and nothing is afterwards. Raises `ResumeError` where race.json is
    damaged, and what a training raises, but for one that diverges: it has lost.
    """
    quote = context.plan.find(rung)
    if quote is None or not quote.race_seconds:
        return None
    ground = _Ground(context, rung, method, plan, keep)
    race = ground.settled(quote.train_seconds or 0.0)
    return ground.run(race) if race.arms else None


class _Ground:
    """What all arms of one race share."""

    def __init__(self, context: Context, rung: str, method: str, plan: Plan, keep: Keep | None) -> None:
        self.context, self.rung, self.method, self.plan, self.keep = context, rung, method, plan, keep
        self.folder = context.folder.file("checkpoints", rung)
        self.seed = context.settings.seed
        prepared = context.prepared
        self.train = sample(prepared.split.train, plan.train_rows, self.seed)
        self.dev = sample(context.split.dev, race_rules.DEV_ROWS, self.seed)
        self.layers = usual_layers(prepared, method, settings_of(context.settings, method))

    def settled(self, training: float) -> Race:
        """The race as race.json has it, or as it is settled now; then it is written there."""
        path, mark = self.folder / FILE, self._mark()
        if path.is_file():
            found = from_json(Race, storage.read_json(path), FILE)
            if found.mark == mark:
                return found
            storage.remove(self.folder / _SHARED)  # of another training
        context = self.context
        size, context.size = context.size, self.plan.size
        try:
            plan = planned(context, self.method, context.speeds.train[self.method], training)
        finally:
            context.size = size
        if plan is None:  # the machine has become slower
            return self._kept(Race(mark))
        step = race_rules.step_tokens(plan.rows, context.work.trained_tokens, self.plan.step_tokens)
        return self._kept(Race(mark, plan.arms, plan.rows, step, round(plan.seconds, 1)))

    def run(self, race: Race) -> Won:
        """All rounds, but for what is done in `race`."""
        names = numbers.listed([arm.named(self.layers) for arm in race.arms])
        self._say(
            f"a race of {len(race.arms)} settings, first on {race.rows} train rows each, compared on "
            f"{len(self.dev)} dev rows: {names}"
        )
        if not race.base:
            race = self._kept(replace(race, base=tuple(self._losses())))
        order = left = list(range(len(race.arms)))
        for turn, (most, _) in enumerate(rounds(len(race.arms), race.rows)):
            if turn and len(order) < 2:
                break  # the others have diverged
            left = sorted(order[:most])
            for place in left:
                race = self._ran(race, place, turn)
            found = ranked([race.arms[place] for place in left], [race.last(place) for place in left])
            order = [left[i] for i in found]
            self._drop(left, turn)
        best = order[0] if order else min(left, key=lambda place: race.arms[place].gentle)
        return self._won(*self._guarded(race, best), best)

    def _guarded(self, race: Race, best: int) -> tuple[Race, int]:
        """The place of the arm `best`, or of one with a lower rate where it makes the base worse."""
        place = best
        while ruins(race.last(place), race.base) and place < len(race.arms) + MOST_LOWERED - 1:
            arm = race.every[place]
            place = len(race.arms) if place == best else place + 1
            if place == len(race.every):
                lower = (*race.lower, replace(arm, rate=arm.rate / LOWER))
                race = self._kept(replace(race, lower=lower))
            race = self._ran(race, place, 0)
        return race, place

    def _won(self, race: Race, place: int, first: int) -> Won:
        arm, losses = race.every[place], race.last(place)
        name = arm.named(self.layers)
        tried = {
            one.named(self.layers): fmean(own) if (own := race.last(at)) else None
            for at, one in enumerate(race.every)
        }
        base = fmean(race.base)
        came_to = f"{fmean(losses):.3f}" if losses else "no finite loss"
        self._say(f"{name} won the race: {came_to} nats a row on dev, {base:.3f} without tuning")
        notes = []
        if place != first:
            notes.append(
                f"the learning rate was lowered from {race.arms[first].rate:g} to {arm.rate:g}: with more, a "
                "short training made the loss on dev higher than that of the untuned base"
            )
        self.context.folder.event("raced", rung=self.rung, won=name, losses=tried, base=base)
        storage.remove(self.folder / _SHARED)
        late = max(0.0, race.seconds - race.expected)
        return Won(arm, Choice("setting", name, tried), tuple(notes), race.seconds, late)

    def _ran(self, race: Race, place: int, turn: int) -> Race:
        """`race` with what the arm at `place` comes to in round `turn`."""
        if race.find(place, turn) is not None:
            return race
        from rung.train.optim import Diverged

        start = time.monotonic()
        try:
            losses = self._trained(race, place, turn)
        except Diverged as error:
            self.context.folder.event("diverged", rung=self.rung, rate=race.every[place].rate, why=str(error))
            losses = []
        if not all(map(math.isfinite, losses)):
            losses = []
        seconds = round(time.monotonic() - start, 3)
        return self._kept(replace(race, ran=(*race.ran, Ran(place, turn, tuple(losses), seconds))))

    def _trained(self, race: Race, place: int, turn: int) -> list[float]:
        """Losses on dev after one more round of an arm, which goes on where it stopped."""
        from rung.ladder.options import attached_for, with_layers
        from rung.methods.on_disk import OnDisk, write
        from rung.train.trainer import Trainer

        arm, rows = race.every[place], self._rows(race, turn)
        prepared, watcher = self.context.prepared, self.context.watcher
        watcher.begin(self.rung, f"racing, {arm.named(self.layers)}")
        with attached_for(with_layers(prepared, arm.top_layers), self.method) as attached:
            if turn:
                attached.load(OnDisk(self._state(place, turn - 1) / _STATE))
            else:
                attached.begin(rows)
            shared = self.folder / _SHARED / f"layers-{arm.top_layers or 'all'}"
            settings = self._settings(race, arm, turn)
            Trainer(prepared.base.model, attached, rows, [], settings, shared, watcher, self.keep).finish()
            losses = self._losses()
            if turn + 1 < len(rounds(len(race.arms), race.rows)):
                state = attached.state(copy=False)
                storage.write_folder(self._state(place, turn), {_STATE: partial(write, state)})
            return losses

    def _losses(self) -> list[float]:
        """Nats of each dev row with what is attached, if anything is."""
        from rung.train.loss import row_losses

        prepared = self.context.prepared
        return row_losses(prepared.base.model, [prepared.rendered[example.id] for example in self.dev])

    def _settings(self, race: Race, arm: Arm, turn: int) -> TrainSettings:
        """One whole schedule over the rows of the round, each once."""
        from rung.ladder.tuning import train_settings_of

        context = self.context
        sizes = {"epochs": 1.0, "step_tokens": race.step_tokens, "pack_tokens": self.plan.pack_tokens}
        found = train_settings_of(context.prepared, self.method, **sizes)
        return replace(found, learning_rate=arm.rate, seed=self.seed + turn)

    def _rows(self, race: Race, turn: int) -> list[Rendered]:
        """Those of a round; an arm has seen none of them before."""
        news = [new for _, new in rounds(len(race.arms), race.rows)]
        from rung.ladder.texts import train_rows

        before, now = (
            train_rows(self.context.prepared, self.method, sample(self.train, sum(some), self.seed))
            for some in (news[:turn], news[: turn + 1])
        )
        seen = {row.example_id for row in before}
        return [row for row in now if row.example_id not in seen]

    def _state(self, place: int, turn: int) -> Path:
        return self.folder / _SHARED / f"arm-{place}-round-{turn}"

    def _drop(self, places: list[int], turn: int) -> None:
        """Delete what the round before has left: nothing reads it any more."""
        for place in places:
            storage.remove(self._state(place, turn - 1))

    def _kept(self, race: Race) -> Race:
        storage.make_folder(self.folder)
        storage.write_json(self.folder / FILE, to_json(race))
        return race

    def _mark(self) -> str:
        """Of everything but the clock: settings, the base, rows and general texts."""
        plan, context = self.plan, self.context
        sizes = (plan.epochs, plan.step_tokens, plan.pack_tokens)
        rows = [[example.id for example in part] for part in (self.train, self.dev)]
        facts = self.keep.facts() if self.keep is not None else None
        return storage.fingerprint(
            [context.fingerprint, context.prepared.base.fingerprint, sizes, rows, facts]
        )

    def _say(self, text: str) -> None:
        self.context.watcher.say(f"{self.rung}: {text}")
