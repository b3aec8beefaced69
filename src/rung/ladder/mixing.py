"""The mixture of sources, chosen on dev: ``--mix dev``.

A few mixtures (`candidates`) are compared as a race compares settings (`rung.ladder.race_rounds`): short
trainings with the same method and rate, each on rows of its own mixture. The rows as they are win unless
another mixture is clearly better.

A mixture is measured by the mean over sources of the loss on dev, in nats a token of the answers. With the
mean over rows, or the task's own metric on them, a source would count by its rows. That is what the rows as
they are make small, so nothing else could win, and a small source would be lost without a trace. Nats a token
are used because a source with long answers would otherwise count more than one with labels.

What short trainings do not show: how much is lost where the rows of a small source come again many times.

The choice is made once, before the rungs that need a base are planned. mixture.json keeps it in the spelling
of ``--mix``, so a run that continues, and one with another budget, has the same rows.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING

from rung import numbers, storage
from rung.cost import Stopwatch
from rung.data.mix import DEV, EVEN, TEMPERATURE, by_loss, mix, mixture, shares, source_of
from rung.data.split import sample
from rung.errors import ResourceError
from rung.ladder import memory, race_rules
from rung.ladder.context import Context
from rung.ladder.forecast import step_tokens
from rung.ladder.options import settings_of
from rung.ladder.race_rounds import Race, Rounds, seconds_of
from rung.ladder.race_rules import Arm, Losses, Planned
from rung.methods.table import METHODS
from rung.records import Choice, Example, from_json, to_json

if TYPE_CHECKING:
    from rung.config import Settings
    from rung.ladder.prepare import Prepared
    from rung.ladder.rungs import Rung
    from rung.run_folder import RunFolder

FILE = "mixture.json"
NAME = "mixture"  # of the choice, of the folder of the race, and on the screen
PROPORTIONAL = "proportional"
BY_LOSS = "by loss"  # more of what the base finds hard
SHARE = 0.1  # of the time that is left, or, without a budget, of the rows of one long training
OF_SOURCE, MOST_DEV = 4, 128  # dev rows of each source, where there are so many; and of all
_METHOD = "lora"  # with which mixtures are compared, unless other rungs alone are tuned


@dataclass(frozen=True, slots=True)
class Mixed:
    """mixture.json."""

    mix: str  # as ``--mix`` takes it
    chosen: str  # the name of the mixture
    tried: Mapping[str, float | None] = field(default_factory=dict)  # nats a token, mean over sources
    why: str = ""  # why nothing was compared

    @property
    def choice(self) -> Choice:
        return Choice(NAME, self.chosen, self.tried)


def known(folder: RunFolder) -> Mixed | None:
    """What was chosen in `folder`, if anything was. Raises `ResumeError` where the file is damaged."""
    path = folder.file(FILE)
    return from_json(Mixed, storage.read_json(path), FILE) if path.is_file() else None


def choices_of(context: Context) -> tuple[Choice, ...]:
    """The choice for the record of a tuned rung."""
    found = known(context.folder) if context.settings.mix == DEV else None
    return (found.choice,) if found else ()


def resolved(settings: Settings, folder: RunFolder) -> Settings:
    """`settings` with the mixture that dev has chosen, where it has."""
    found = known(folder) if settings.mix == DEV else None
    return settings.model_copy(update={"mix": found.mix}) if found else settings


def choose(context: Context, rungs: Sequence[Rung], clock: Stopwatch) -> bool:
    """Choose a mixture for the tuned ones of `rungs` and write it down; False where there is nothing to do.

    `clock` shows the seconds that the climb has taken. Where nothing can be compared the rows stay as they
    are, and the screen and mixture.json say why. Raises `ResourceError` where the disk refuses.
    """
    tuned = [rung for rung in rungs if rung.trains]
    if context.settings.mix != DEV or not tuned or known(context.folder):
        return False
    try:
        found = _compared(context, _method(tuned), clock)
    except ResourceError:
        raise
    except Exception as error:  # noqa: BLE001  the climb continues with proportional rows
        from rung.ladder.sized import reason_of

        context.folder.event("mixtures were not compared", trace=traceback.format_exc())
        found = Mixed(PROPORTIONAL, PROPORTIONAL, why=reason_of(error))
    if found.why:
        context.watcher.say(f"{NAME}: the rows of each source are learned as they are: {found.why}")
    storage.write_json(context.folder.file(FILE), to_json(found))
    storage.remove(context.folder.file(NAME))
    return True


def candidates(counts: Mapping[str, int], losses: Mapping[str, float]) -> dict[str, str]:
    """Name -> mixture as ``--mix`` takes it, the simplest first, for the train rows of each source.

    `losses` are those of the untuned base on dev, nats a token by source. "by loss" gives each source a share
    as large as its loss; it is left out where a source has a name that ``--mix`` cannot spell. Of mixtures
    that are the same to the percent, the first is kept.
    """
    found = {text: text for text in (PROPORTIONAL, f"temperature={TEMPERATURE:g}", f"temperature={EVEN:g}")}
    weights = by_loss(counts, losses)
    text = ",".join(f"{name}={weight:.4g}" for name, weight in weights.items())
    with suppress(ValueError):
        if set(mixture(text).given) == set(weights):
            found[BY_LOSS] = text
    different: dict[str, str] = {}  # shares in % -> the first mixture with them
    for name, text in found.items():
        parts = {one: round(100 * share) for one, share in shares(counts, mixture(text)).items()}
        different.setdefault(str(parts), name)
    return {name: found[name] for name in different.values()}


def _method(tuned: Sequence[Rung]) -> str:
    """LoRA, if it is tuned or no other method has the loss of the rows; else the first that has."""
    fit = [one.method for one in tuned if not (METHODS.classifies(one.method) or METHODS.prefers(one.method))]
    return _METHOD if _METHOD in fit or not fit else fit[0]


def _compared(context: Context, method: str, clock: Stopwatch) -> Mixed:
    """The best of the candidates, or the rows as they are with the reason."""
    counts = Counter(map(source_of, context.prepared.split.train))
    dev = len(context.split.dev)
    if len(counts) < 2:
        return Mixed(PROPORTIONAL, PROPORTIONAL, why="they are all of one source")
    if dev < race_rules.FEWEST_DEV:
        why = f"{dev} dev rows are too few to compare mixtures on; {race_rules.FEWEST_DEV} would do"
        return Mixed(PROPORTIONAL, PROPORTIONAL, why=why)
    if why := memory.need(context, method).why:
        return Mixed(PROPORTIONAL, PROPORTIONAL, why=why)
    ground = _Ground(context, method)
    race = ground.settled(clock)
    if not race.arms:
        same = len(ground.ways(race)) < 2
        why = "every mixture is the same" if same else "the budget leaves no time to compare mixtures"
        return Mixed(PROPORTIONAL, PROPORTIONAL, why=why)
    return ground.best(race)


class _Ground(Rounds):
    """A race of mixtures."""

    def __init__(self, context: Context, method: str) -> None:
        super().__init__(context, NAME, method, context.folder.file(NAME), context.pack_tokens, None)
        prepared = context.prepared
        self.counts = Counter(map(source_of, prepared.split.train))
        self.tokens: Counter[str] = Counter()  # of the answers of the dev rows, by source
        for one in self.dev:
            self.tokens[source_of(one)] += sum(prepared.rendered[one.id].mask)

    def dev_rows(self) -> tuple[Example, ...]:
        """Every source with its share of them."""
        dev = self.context.split.dev
        wanted = OF_SOURCE * len(set(map(source_of, dev)))
        rows = min(MOST_DEV, max(race_rules.DEV_ROWS, wanted))
        return sample(dev, rows, self.seed, source_of)

    def counted(self, losses: Losses) -> Losses:
        """So weighted that the mean is the mean over sources of the nats a token."""
        rows, sources = len(self.dev), len(self.tokens)
        weights = (rows / (sources * max(1, self.tokens[source_of(one)])) for one in self.dev)
        return [loss * weight for loss, weight in zip(losses, weights, strict=bool(losses))]

    def ways(self, race: Race) -> list[tuple[str, str]]:
        """Name and mixture of each arm. The losses of the base must be known for the last one."""
        losses = dict.fromkeys(self.tokens, 0.0)
        for one, loss in zip(self.dev, race.base, strict=True):
            losses[source_of(one)] += loss / max(1, self.tokens[source_of(one)])
        return list(candidates(self.counts, losses).items())

    def named(self, race: Race, place: int) -> str:
        return self.ways(race)[place][0]

    def prepared_of(self, race: Race, place: int) -> Prepared:
        how = mixture(self.ways(race)[place][1])
        return with_rows(self.context.prepared, mix(self.context.prepared.split.train, how, self.seed))

    def settled(self, clock: Stopwatch) -> Race:
        """The race as race.json has it, or as it is settled now; without arms where there is no time."""
        context, size, work = self.context, self.context.size, self.context.work
        mark = storage.fingerprint([context.fingerprint, context.prepared.base.fingerprint])
        found = self.read(mark)
        if found is not None:
            return found
        rate = context.settings.learning_rate or self._rate()
        base = tuple(self._losses())
        arms = [Arm(rate)] * len(self.ways(Race(mark, base=base)))
        plan = self._planned(arms, clock) if len(arms) > 1 else None
        if plan is None:
            return self.kept(Race(mark, base=base))
        usual = step_tokens(context.settings, work, size.train, size.epochs)
        step = race_rules.step_tokens(plan.rows, work.trained_tokens, usual)
        return self.kept(Race(mark, plan.arms, plan.rows, step, round(plan.seconds, 1), base))

    def best(self, race: Race) -> Mixed:
        """What wins after all rounds, but for what is done in `race`."""
        ways = self.ways(race)[: len(race.arms)]
        names = numbers.listed([one for one, _ in ways])
        self.say(
            f"{len(ways)} mixtures of {len(self.counts)} sources in short trainings, first on {race.rows} "
            f"train rows each, compared on {len(self.dev)} dev rows: {names}"
        )
        race, place = self.play(race)
        name, text = ways[place]
        tried = {
            one: fmean(self.counted(own)) if (own := race.last(at)) else None
            for at, (one, _) in enumerate(ways)
        }
        value = tried[name]
        came_to = "no finite loss" if value is None else f"{value:.3f} nats a token on dev"
        base = fmean(self.counted(race.base))
        self.say(f"{name} is taken: {came_to}, the mean over sources; {base:.3f} without tuning")
        self.context.folder.event("mixtures", won=name, mix=text, losses=tried, base=base)
        return Mixed(text, name, tried)

    def _rate(self) -> float:
        from rung.ladder.rates import rate_for

        prepared = self.context.prepared
        return rate_for(prepared, self.method, settings_of(prepared.settings, self.method))

    def _planned(self, arms: Sequence[Arm], clock: Stopwatch) -> Planned | None:
        """Within `SHARE` of the time that is left; without a budget by rows alone, so that the same command
        always compares the same trainings."""
        context, size, budget = self.context, self.context.size, self.context.settings.budget
        if budget is not None:
            rate = context.speeds.train[self.method]
            one, reading = seconds_of(context, self.method, rate, len(self.dev))
            left = max(0.0, budget - clock.seconds)
            return race_rules.planned(arms, size.train, left, one, reading, share=SHARE)
        needed = race_rules.rows_needed(len(arms), 1)  # of train, for each row of the first round
        learned = sum(count * new for count, new in race_rules.rounds(len(arms), 1))
        wanted = max(race_rules.FEWEST_ROWS, round(SHARE * size.train * size.epochs / learned))
        return Planned(tuple(arms), max(1, min(race_rules.MOST_ROWS, size.train // needed, wanted)), 0.0)


def with_rows(prepared: Prepared, train: Sequence[Example]) -> Prepared:
    """`prepared` with other train rows: some of its own, those that come again under ids of their own."""
    tokens = dict(prepared.rendered)
    for one in train:
        if one.id not in tokens:
            first = tokens[one.id.partition("-")[0]]
            tokens[one.id] = replace(first, example_id=one.id)
    split = replace(prepared.split, train=tuple(train))
    return replace(prepared, split=split, rendered=tokens)
