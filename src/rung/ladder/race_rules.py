"""The rules of a race between settings: who runs, how far, and who goes on. Arithmetic, no torch, no clock.

Successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943): all arms are trained on the same few rows,
the better half go on from where they stopped with the next rows, and so on until two are left; the better of
these wins. Rows in all that an arm has seen double from round to round. Each round of an arm is one whole
schedule, warm-up and decay included: a high rate looks bad until it has decayed, so comparing arms in the
middle of a schedule would favour low rates (Wu et al. 2018, arXiv 1803.02021).

The best rate of a short training is higher than that of a long one (Bjorck et al. 2024, arXiv 2409.19913).
So of arms that are not clearly apart the one with the lowest rate wins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

SHARE = 0.15  # of the planned seconds of training that a race may take
FEWEST_ROWS, MOST_ROWS = 48, 192  # of the first round
STEPS = 12  # of the first round, where its rows allow so many
STEP_ROWS = 4  # of a step at least
DEV_ROWS = 48  # on which arms are compared
FEWEST_DEV = 16
SHORT = 256  # steps: a training up to here may need more than twice the usual rate
LOWER = 4.0  # what a rate that makes the base worse is divided by
MOST_LOWERED = 3  # times


@dataclass(frozen=True, slots=True)
class Arm:
    """One setting."""

    rate: float  # peak learning rate
    top_layers: int | None = None  # that are trained; None: as many as without a race

    @property
    def gentle(self) -> tuple[float, int]:
        """Less is gentler where every arm diverges: the lowest rate, and of these the fewest layers."""
        return self.rate, self.top_layers or 0

    def named(self, usual: int | None) -> str:
        """For the screen; it says which layers are trained where `usual` top layers are without a race."""
        which = f"the top {usual} layers" if self.top_layers is None else "all layers"
        return f"learning rate {self.rate:g}" + (f", {which}" if usual else "")


@dataclass(frozen=True, slots=True)
class Planned:
    """A race as it will be run."""

    arms: tuple[Arm, ...]
    rows: int  # of the first round
    seconds: float  # of the whole race


def arms_for(rate: float, *, every: int | None, short: bool) -> tuple[Arm, ...]:
    """The arms, the most useful first: where time is short, the last ones are left out.

    `every` is the number of decoder layers where only the top half is trained without a race.
    """
    arms = [Arm(rate), Arm(rate / 2), Arm(2 * rate)]
    if every:
        arms.insert(1, Arm(rate / 2, every))
    if short:
        arms.append(Arm(rate, every) if every else Arm(4 * rate))
    return tuple(arm for arm in arms if arm.rate <= 1)


def rounds(arms: int, rows: int) -> list[tuple[int, int]]:
    """The rounds of a race: (arms in it, rows that are new to each of them)."""
    found: list[tuple[int, int]] = []
    seen = 0
    while arms > 1:
        new = seen or rows
        found.append((arms, new))
        seen += new
        arms = 1 if arms == 2 else -(-arms // 2)
    return found


def rows_needed(arms: int, rows: int) -> int:
    """Train rows that an arm sees which stays to the end."""
    return sum(new for _, new in rounds(arms, rows))


def planned(
    arms: Sequence[Arm],
    train_rows: int,
    training: float,
    cost: Callable[[int], float],
    once: float = 0.0,
    share: float = SHARE,
) -> Planned | None:
    """The race with the most arms, and then the most rows, that takes at most `share` of `training` seconds.

    `cost` gives the seconds of one arm in one round with so many new rows; `once` are those of the base's
    own loss on dev.
    The first round is on `FEWEST_ROWS` rows at least. None where not even two arms fit.
    """

    def seconds(count: int, rows: int) -> float:
        return once + sum(left * cost(new) for left, new in rounds(count, rows))

    for count in range(len(arms), 1, -1):
        most = min(MOST_ROWS, train_rows // max(1, rows_needed(count, 1)))
        low, high = FEWEST_ROWS - 1, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if seconds(count, middle) <= share * training else (low, middle - 1)
        if low >= FEWEST_ROWS:
            return Planned(tuple(arms[:count]), low, seconds(count, low))
    return None


def step_tokens(rows: int, row_tokens: float, usual: int) -> int:
    """Tokens of an optimizer step in a race whose first round has `rows` rows: `STEPS` steps, or larger ones.

    At most the `usual` number of the long training.
    """
    return max(1, min(usual, round(max(STEP_ROWS, rows / STEPS) * row_tokens)))


Losses = Sequence[float]  # nats of each dev row; nothing where the training diverged


def ranked(arms: Sequence[Arm], losses: Sequence[Losses]) -> list[int]:
    """Places of `arms`, the best first, without those that diverged.

    Arms that are not clearly worse than the one with the least loss come first, fewer layers before more, and
    then the lowest rate before the others: these forget less. An arm is clearly worse where the mean of its
    differences, row by row, is more than one standard error above 0.
    """
    ran = [place for place, own in enumerate(losses) if own and all(map(math.isfinite, own))]
    if not ran:
        return []

    def gentle(place: int) -> tuple[float, float]:
        return arms[place].top_layers or 0, arms[place].rate

    best = min(ran, key=lambda place: (fmean(losses[place]), *gentle(place)))
    equal = [place for place in ran if place == best or not clearly_worse(losses[place], losses[best])]
    others = [place for place in ran if place not in equal]
    return sorted(equal, key=gentle) + sorted(others, key=lambda place: fmean(losses[place]))


def clearly_worse(one: Losses, best: Losses) -> bool:
    """Whether the losses `one` are above `best` by more than a standard error, on the same rows; or no
    numbers."""
    differences = [a - b for a, b in zip(one, best, strict=True)]
    if len(differences) < 2:
        return sum(differences) > 0
    within = fmean(differences) <= stdev(differences) / math.sqrt(len(differences))
    return not within


def ruins(losses: Losses, base: Losses) -> bool:
    """Whether a training came to more than the untuned base has: its loss is higher, or it diverged."""
    return not losses or not math.isfinite(sum(losses)) or fmean(losses) > fmean(base)
