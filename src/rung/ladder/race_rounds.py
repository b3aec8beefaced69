"""The rounds of a race: short trainings on growing parts of the rows; the better half on dev goes on.

`rung.ladder.race_rules` has the rules. What an arm is, and which rows it learns, is the business of a race:
`rung.ladder.race` compares settings, `rung.ladder.mixing` mixtures of sources. Arms share what they can: the
rendered rows, the base in memory, the general texts, and the file of the frozen trunk where the same layers
are frozen and the same rows are learned.

race.json holds what is raced, which is settled before the first arm begins, and the loss of each arm that is
done. A race that was stopped continues after the last of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rung import storage
from rung.data.split import sample
from rung.ladder import race_rules
from rung.ladder.context import Context
from rung.ladder.forecast import TrainRate, step_tokens
from rung.ladder.general import more_tokens
from rung.ladder.race_rules import Arm, Losses, ranked, rounds
from rung.records import Example, from_json, to_json

if TYPE_CHECKING:
    from rung.ladder.prepare import Prepared
    from rung.records import Rendered
    from rung.train.keep import Keep
    from rung.train.trainer import TrainSettings

FILE = "race.json"  # in the folder of the race
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


def seconds_of(
    context: Context, method: str, rate: TrainRate, dev: int
) -> tuple[Callable[[int], float], float]:
    """What gives the seconds of one arm in one round with so many new rows, and those of reading `dev` rows.

    The sizes of the long training are those of ``context.size``.
    """
    settings, work, size = context.settings, context.work, context.size
    reading = dev * work.row_tokens / context.speeds.prefill
    usual = step_tokens(settings, work, size.train, size.epochs)
    row = more_tokens(settings, method) * work.trained_tokens / rate.tokens_per_second

    def one(new: int) -> float:
        read = new * work.trained_tokens * rate.trunk_seconds + reading
        steps = max(1.0, new * work.trained_tokens / race_rules.step_tokens(new, work.trained_tokens, usual))
        return rate.attach_seconds + new * row + steps * rate.step_seconds + read

    return one, reading


class Rounds:
    """What all arms of one race share, and how they are run."""

    def __init__(
        self, context: Context, rung: str, method: str, folder: Path, pack_tokens: int, keep: Keep | None
    ) -> None:
        self.context, self.rung, self.method, self.folder = context, rung, method, folder
        self.pack_tokens, self.keep = pack_tokens, keep
        self.seed = context.settings.seed
        self.dev = self.dev_rows()

    def dev_rows(self) -> tuple[Example, ...]:
        """On which arms are compared."""
        return sample(self.context.split.dev, race_rules.DEV_ROWS, self.seed)

    def named(self, race: Race, place: int) -> str:
        """An arm of `race`, for the screen."""
        raise NotImplementedError

    def prepared_of(self, race: Race, place: int) -> Prepared:
        """What an arm is trained with; its train rows are those that the arm learns from."""
        raise NotImplementedError

    def counted(self, losses: Losses) -> Losses:
        """Losses of the dev rows as they are compared: their mean is what has to be small."""
        return losses

    def read(self, mark: str) -> Race | None:
        """The race as race.json has it; what belongs to another one is deleted. Raises `ResumeError`."""
        if not (self.folder / FILE).is_file():
            return None
        found = from_json(Race, storage.read_json(self.folder / FILE), FILE)
        if found.mark == mark:
            return found
        self.clear()
        return None

    def clear(self) -> None:
        """Delete what only a race that goes on needs."""
        storage.remove(self.folder / _SHARED)

    def play(self, race: Race) -> tuple[Race, int]:
        """All rounds, but for what is done in `race`; and the place of the best arm."""
        if not race.base:
            race = self.kept(replace(race, base=tuple(self._losses())))
        order = left = list(range(len(race.arms)))
        for turn, (most, _) in enumerate(rounds(len(race.arms), race.rows)):
            if turn and len(order) < 2:
                break  # the others have diverged
            left = sorted(order[:most])
            for place in left:
                race = self.ran(race, place, turn)
            losses = [self.counted(race.last(place)) for place in left]
            order = [left[i] for i in ranked([race.arms[place] for place in left], losses)]
            self._drop(left, turn)
        return race, order[0] if order else min(left, key=lambda place: race.arms[place].gentle)

    def ran(self, race: Race, place: int, turn: int) -> Race:
        """`race` with what the arm at `place` comes to in round `turn`."""
        if race.find(place, turn) is not None:
            return race
        from rung.train.optim import Diverged

        start = time.monotonic()
        try:
            losses = self._trained(race, place, turn)
        except Diverged as error:
            self.context.folder.event("diverged", rung=self.rung, arm=self.named(race, place), why=str(error))
            losses = []
        if not all(map(math.isfinite, losses)):
            losses = []
        seconds = round(time.monotonic() - start, 3)
        return self.kept(replace(race, ran=(*race.ran, Ran(place, turn, tuple(losses), seconds))))

    def kept(self, race: Race) -> Race:
        """`race`, after it was written."""
        storage.make_folder(self.folder)
        storage.write_json(self.folder / FILE, to_json(race))
        return race

    def say(self, text: str) -> None:
        self.context.watcher.say(f"{self.rung}: {text}")

    def _trained(self, race: Race, place: int, turn: int) -> list[float]:
        """Losses on dev after one more round of an arm, which goes on where it stopped."""
        from rung.ladder.options import attached_for
        from rung.methods.on_disk import OnDisk, write
        from rung.train.trainer import Trainer

        arm, prepared = race.every[place], self.prepared_of(race, place)
        rows, watcher = self._rows(race, prepared, turn), self.context.watcher
        watcher.begin(self.rung, f"racing, {self.named(race, place)}")
        with attached_for(prepared, self.method) as attached:
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

        sizes = {"epochs": 1.0, "step_tokens": race.step_tokens, "pack_tokens": self.pack_tokens}
        found = train_settings_of(self.context.prepared, self.method, **sizes)
        return replace(found, learning_rate=arm.rate, seed=self.seed + turn)

    def _rows(self, race: Race, prepared: Prepared, turn: int) -> list[Rendered]:
        """Those of a round; an arm has seen none of them before."""
        from rung.ladder.texts import train_rows

        news = [new for _, new in rounds(len(race.arms), race.rows)]
        before, now = (
            train_rows(prepared, self.method, sample(prepared.split.train, sum(some), self.seed))
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
