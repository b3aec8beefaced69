"""A short race on dev: which learning rate, and how many layers, a tuned rung is trained with.

`rung.ladder.race_rounds` runs it. The long training begins at the method's start, not where an arm ended, so
it is the training that the same rate would have given without a race. race.json is next to the checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

from rung import numbers, storage
from rung.data.split import sample
from rung.ladder import race_rules
from rung.ladder.context import Context
from rung.ladder.forecast import TrainRate, step_tokens
from rung.ladder.layers import depth_of, usual_layers
from rung.ladder.options import settings_of, with_layers
from rung.ladder.race_rounds import Race, Rounds, seconds_of
from rung.ladder.race_rules import LOWER, MOST_LOWERED, Arm, Planned, ruins
from rung.methods.table import METHODS
from rung.records import Choice

if TYPE_CHECKING:
    from rung.ladder.plan import Plan
    from rung.ladder.prepare import Prepared
    from rung.train.keep import Keep


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
    settings, work, size = context.settings, context.work, context.size
    if not settings.race or settings.budget is None or settings.learning_rate is not None:
        return None
    dev = min(race_rules.DEV_ROWS, len(context.split.dev))
    own_loss = METHODS.classifies(method) or METHODS.prefers(method)
    if own_loss or dev < race_rules.FEWEST_DEV:
        return None
    one, reading = seconds_of(context, method, rate, dev)
    usual = step_tokens(settings, work, size.train, size.epochs)
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
    return ground.won(race) if race.arms else None


class _Ground(Rounds):
    """What all arms of one race share."""

    def __init__(self, context: Context, rung: str, method: str, plan: Plan, keep: Keep | None) -> None:
        folder = context.folder.file("checkpoints", rung)
        super().__init__(context, rung, method, folder, plan.pack_tokens, keep)
        self.plan = plan
        prepared = context.prepared
        self.train = sample(prepared.split.train, plan.train_rows, self.seed)
        self.layers = usual_layers(prepared, method, settings_of(context.settings, method))

    def named(self, race: Race, place: int) -> str:
        return race.every[place].named(self.layers)

    def prepared_of(self, race: Race, place: int) -> Prepared:
        return with_layers(self.context.prepared, race.every[place].top_layers)

    def settled(self, training: float) -> Race:
        """The race as race.json has it, or as it is settled now; then it is written there."""
        mark = self._mark()
        found = self.read(mark)
        if found is not None:
            return found
        context = self.context
        size, context.size = context.size, self.plan.size
        try:
            plan = planned(context, self.method, context.speeds.train[self.method], training)
        finally:
            context.size = size
        if plan is None:  # the machine has become slower
            return self.kept(Race(mark))
        step = race_rules.step_tokens(plan.rows, context.work.trained_tokens, self.plan.step_tokens)
        return self.kept(Race(mark, plan.arms, plan.rows, step, round(plan.seconds, 1)))

    def won(self, race: Race) -> Won:
        """What wins after all rounds, but for what is done in `race`."""
        names = numbers.listed([self.named(race, place) for place in range(len(race.arms))])
        self.say(
            f"a race of {len(race.arms)} settings, first on {race.rows} train rows each, compared on "
            f"{len(self.dev)} dev rows: {names}"
        )
        race, best = self.play(race)
        return self._won(*self._guarded(race, best), best)

    def _guarded(self, race: Race, best: int) -> tuple[Race, int]:
        """The place of the arm `best`, or of one with a lower rate where it makes the base worse."""
        place = best
        while ruins(race.last(place), race.base) and place < len(race.arms) + MOST_LOWERED - 1:
            arm = race.every[place]
            place = len(race.arms) if place == best else place + 1
            if place == len(race.every):
                lower = (*race.lower, replace(arm, rate=arm.rate / LOWER))
                race = self.kept(replace(race, lower=lower))
            race = self.ran(race, place, 0)
        return race, place

    def _won(self, race: Race, place: int, first: int) -> Won:
        arm, losses = race.every[place], race.last(place)
        name = self.named(race, place)
        tried = {
            self.named(race, at): fmean(own) if (own := race.last(at)) else None
            for at in range(len(race.every))
        }
        base = fmean(race.base)
        came_to = f"{fmean(losses):.3f}" if losses else "no finite loss"
        self.say(f"{name} won the race: {came_to} nats a row on dev, {base:.3f} without tuning")
        notes = []
        if place != first:
            notes.append(
                f"the learning rate was lowered from {race.arms[first].rate:g} to {arm.rate:g}: with more, a "
                "short training made the loss on dev higher than that of the untuned base"
            )
        self.context.folder.event("raced", rung=self.rung, won=name, losses=tried, base=base)
        self.clear()
        late = max(0.0, race.seconds - race.expected)
        return Won(arm, Choice("setting", name, tried), tuple(notes), race.seconds, late)

    def _mark(self) -> str:
        """Of everything but the clock: settings, the base, rows and general texts."""
        plan, context = self.plan, self.context
        sizes = (plan.epochs, plan.step_tokens, plan.pack_tokens)
        rows = [[example.id for example in part] for part in (self.train, self.dev)]
        facts = self.keep.facts() if self.keep is not None else None
        return storage.fingerprint(
            [context.fingerprint, context.prepared.base.fingerprint, sizes, rows, facts]
        )
