"""A learning rate that makes the base worse is lowered, and training begins again.

A default rate that is right for one base can be far too high for another. Where the loss on dev is above
that of the untuned base at the first look after training began (`rung.train.best.hurts`), or where a step is
not finite, the rate is divided by 4, at most 3 times. How often it was lowered is kept next to the
checkpoints, so that a run that continues does not find it out again. A rate that the user gave stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rung import storage
from rung.ladder.race_rules import LOWER, MOST_LOWERED
from rung.records import from_json, to_json

FILE = "lowered.json"  # in the folder of the checkpoints


@dataclass(frozen=True, slots=True)
class Lowered:
    """How often the rate of a training was lowered, and the seconds that went into what was given up."""

    times: int = 0
    seconds: float = 0.0

    @property
    def may_go_on(self) -> bool:
        """Whether it may be lowered once more."""
        return self.times < MOST_LOWERED

    def rate(self, first: float) -> float:
        """What is left of the rate that training began with."""
        return first / LOWER**self.times

    def folder(self, checkpoints: Path) -> Path:
        """Where this training keeps its checkpoints: those of another rate are none of its."""
        return checkpoints / f"lowered-{self.times}" if self.times else checkpoints

    def note(self, first: float) -> tuple[str, ...]:
        """A sentence for the record; nothing where the rate stayed."""
        if not self.times:
            return ()
        return (
            f"the learning rate was lowered from {first:g} to {self.rate(first):g}: with more, the first "
            "steps made the loss on dev higher than that of the untuned base",
        )


def read(checkpoints: Path) -> Lowered:
    """What is kept in `checkpoints`. Raises `ResumeError` where the file is damaged."""
    path = checkpoints / FILE
    return from_json(Lowered, storage.read_json(path), FILE) if path.is_file() else Lowered()


def lower(checkpoints: Path, before: Lowered, seconds: float) -> Lowered:
    """Give up a training that took `seconds`, and keep that. Raises `ResourceError`."""
    found = Lowered(before.times + 1, before.seconds + seconds)
    storage.write_json(checkpoints / FILE, to_json(found))
    return found


def clear(checkpoints: Path, now: Lowered) -> None:
    """Delete the checkpoints of the trainings that were given up."""
    for times in range(now.times):
        for old in [*Lowered(times).folder(checkpoints).glob("step-*")]:
            storage.remove(old)
