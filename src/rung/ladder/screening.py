"""Many tuned rungs and one budget: each is trained a little, and the best on dev get the time.

A budget cut into equal slices trains none of them well. So where a climb with a budget has more than `MOST`
tuned rungs, LoRA, the default, goes on, and the others get a part of the time for short trainings, each from
its start to the end of its learning rate schedule, on the same rows. Those with the lowest loss on dev go on.
Short trainings rank by chance too: where there are many, twice as many as there are places are trained once
more, for longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rung import numbers
from rung.data.split import sample
from rung.ladder.context import Context
from rung.ladder.rungs.rung import Rung
from rung.methods.table import METHODS

if TYPE_CHECKING:
    from rung.ladder.forecast import TrainRate

MOST = 3  # tuned rungs that a budget is shared by
ALWAYS = "lora"  # one of them: what it can do is known better than a short training says
SHARE = 0.25  # of the time that is left is spent on screening
STEPS = 12  # of each training, where its time allows so many
DEV_ROWS = 48


@dataclass(frozen=True, slots=True)
class Screened:
    """What a short training of one rung came to."""

    rung: Rung
    loss: float  # on dev, nats per target token, the best one seen
    steps: int


@dataclass(frozen=True, slots=True)
class Screening:
    """What a screening came to."""

    gone: Mapping[str, str] = field(default_factory=dict)  # rung -> why it was left out
    worst_first: tuple[str, ...] = ()  # those that go on; where time is short they make room in this order


def screen(context: Context, rungs: Sequence[Rung], time: float | None) -> Screening:
    """Those of `rungs` that others are better than, and why; nothing where there are few or there is time.

    `time` is the number of seconds left for the climb. A rung that fails here is not left out: it fails where
    it is run. Those that learn labels or pairs go on: their loss is not that of the others.
    """
    tuned = [rung for rung in rungs if rung.trains and not _own_loss(rung.method)]
    if time is None or len(tuned) <= MOST:
        return Screening()
    kept = [rung.name for rung in tuned if rung.name == ALWAYS]
    left = [rung for rung in tuned if rung.name != ALWAYS]
    places = MOST - len(kept)
    rounds = [places] if len(left) <= 2 * places else [2 * places, places]
    also = f", alongside {' and '.join(kept)}" if kept else ""
    context.watcher.say(
        f"Screening {len(left)} methods with short trainings: the best {places} get the remaining time{also}"
    )
    gone: dict[str, str] = {}
    for most in rounds:
        share = SHARE * time / len(rounds) / len(left)
        found = [one for rung in left if (one := _short(context, rung, share)) is not None]
        found.sort(key=lambda one: one.loss)
        ahead = ", ".join([*kept, *(f"{one.rung.name} {one.loss:.3f}" for one in found[:most])])
        context.folder.event("screened", losses={one.rung.name: one.loss for one in found})
        gone |= {
            one.rung.name: (
                f"screened out: loss on dev {one.loss:.3f} after {one.steps} steps, and others have the time "
                f"({ahead}); alone or without a budget it is trained in full"
            )
            for one in found[most:]
        }
        left = [one.rung for one in found[:most]]
    return Screening(gone, (*(rung.name for rung in reversed(left)), *kept))


def _own_loss(method: str) -> bool:
    return METHODS.classifies(method) or METHODS.prefers(method)


def _short(context: Context, rung: Rung, seconds: float) -> Screened | None:
    """A training of `rung` that takes about `seconds`; None where it fails."""
    from rung.ladder.label_rows import rows_for
    from rung.ladder.options import attached_for
    from rung.ladder.texts import train_rows
    from rung.ladder.tuning import train_settings_of
    from rung.train.trainer import Trainer

    context = rung.view(context)
    prepared, work, method = context.prepared, context.work, rung.method
    rate = context.speeds.train[method]
    tokens = _tokens(rate, seconds)
    rows = max(1, min(len(prepared.split.train), round(tokens / work.trained_tokens)))
    epochs = max(1.0, tokens / (rows * work.trained_tokens))
    context.watcher.begin(rung.name, "screening")
    seed = context.settings.seed
    settings = train_settings_of(
        prepared,
        method,
        epochs=epochs,
        step_tokens=max(1, round(rows * epochs * work.trained_tokens / STEPS)),
        pack_tokens=context.pack_tokens,
        evaluations=2,
        limit_seconds=2 * seconds,
    )
    try:
        with attached_for(prepared, method) as attached:
            outcome = Trainer(
                prepared.base.model,
                attached,
                train_rows(prepared, method, sample(prepared.split.train, rows, seed)),
                rows_for(prepared, method, sample(prepared.split.dev, DEV_ROWS, seed)),
                settings,
            ).run()
    except Exception as error:  # noqa: BLE001  it fails again, and is said, where it is run
        context.folder.event("screening failed", rung=rung.name, error=numbers.one_line(str(error)))
        return None
    return Screened(rung, outcome.best_loss, outcome.steps)


def _tokens(rate: TrainRate, seconds: float) -> float:
    """Tokens of a training in `STEPS` steps that takes `seconds`; of three tiny steps at least."""
    left = seconds - rate.attach_seconds - STEPS * rate.step_seconds
    return max(100.0, 0.7 * left * rate.tokens_per_second)  # the rest is for dev loss
