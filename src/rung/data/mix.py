"""A mixture of sources: how often the rows of each are learned.

A source is a file, or a value of a column. Every source has a weight for its rows:

- proportional: 1, so that a source counts by its rows;
- temperature T: n^(1/T - 1) for n rows, so that its share of the mixture is n^(1/T) over the sum of these
  (Raffel et al. 2020, arXiv 1910.10683, section 3.5.2); T = 1 is proportional, a large T gives all
  sources the same;
- given: numbers by source; sources without one keep 1, and 0 leaves a source out.

``dev`` leaves the choice to dev (`rung.ladder.mixing`), among these and weights by loss (`by_loss`).

The mixture has as many rows as there are. Where a source has more than its share, some of its rows are left
out; where it has fewer, rows come again, under ids of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rung.data.rows import SOURCE
from rung.data.split import sample
from rung.errors import UsageError, nearest
from rung.records import Example

DEV = "dev"  # instead of a mixture
TEMPERATURE = 2.0
_MOST = 1000.0  # that a weight or a temperature may be
EVEN = _MOST  # a temperature with which all sources count the same


@dataclass(frozen=True, slots=True)
class Mixture:
    """Which weight each source has."""

    temperature: float = 1.0
    given: Mapping[str, float] = field(default_factory=dict)


def mixture(text: str) -> Mixture:
    """``proportional``, ``temperature``, ``temperature=3`` or ``news=2,mail=0.5``. Raises `ValueError`."""
    said = text.strip()
    if said == "proportional":
        return Mixture()
    if said == "temperature":
        return Mixture(TEMPERATURE)
    found: dict[str, float] = {}
    for part in said.split(","):
        name, equal, value = (piece.strip() for piece in part.rpartition("="))
        if not equal or not name:
            raise ValueError(f"{part.strip()!r} is not dev, proportional, temperature=2 or source=weight")
        if name in found:
            raise ValueError(f"{name!r} has two weights")
        found[name] = _number(value)
    if list(found) == ["temperature"]:
        if found["temperature"] < 1:
            raise ValueError("a temperature is 1 or more")
        return Mixture(found["temperature"])
    return Mixture(given=found)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _MOST:
        raise ValueError(f"{text!r} is not a number from 0 to {_MOST:g}")
    return value


def source_of(example: Example) -> str:
    """The source of a row: by its column where the file has one, else its file."""
    return str(example.facts.get(SOURCE) or example.source)


def shares(counts: Mapping[str, int], how: Mixture) -> dict[str, float]:
    """Source -> share of the mixture, for the number of rows of each; the shares add up to 1.

    Raises `UsageError` for a weight of a source that is not there, and where all weights are 0.
    """
    for name in how.given:
        if name not in counts:
            raise UsageError(
                f"there is no source {name!r} to weigh.{nearest(name, counts)}",
                fix=f"The sources are {_listed(list(counts))}",
            )
    sizes = {name: n ** (1 / how.temperature) * how.given.get(name, 1.0) for name, n in counts.items() if n}
    total = sum(sizes.values())
    if total <= 0:
        raise UsageError(
            "every source has the weight 0, so there is nothing to learn", fix="Give one a weight"
        )
    return {name: size / total for name, size in sizes.items()}


def by_loss(counts: Mapping[str, int], losses: Mapping[str, float]) -> dict[str, float]:
    """Source -> weight such that its share is in proportion to its loss, not to its number of rows.

    `losses` are those of the untuned base, in nats a token. Sources without a loss are not in the result:
    they keep their share, and so do the others together.
    """
    found = {name: loss for name, loss in losses.items() if counts.get(name) and loss > 0}
    rows, total = sum(counts[name] for name in found), sum(found.values())
    return {name: min(_MOST, loss / total * rows / counts[name]) for name, loss in found.items()}


def mix(
    examples: Sequence[Example], how: Mixture, seed: int, source: Callable[[Example], str] = source_of
) -> tuple[Example, ...]:
    """As many rows as `examples`, each source with its share; the same for the same seed.

    They keep their order; a row that comes again stands behind itself.
    """
    counts = Counter(map(source, examples))
    wanted = _whole(shares(counts, how), len(examples))
    times: Counter[str] = Counter()
    for name, n in counts.items():
        own = [example for example in examples if source(example) == name]
        every, rest = divmod(wanted.get(name, 0), n)
        more = {one.id for one in sample(own, rest, seed)}
        times.update({one.id: every + (one.id in more) for one in own})
    return tuple(
        example if number == 1 else replace(example, id=f"{example.id}-{number}")
        for example in examples
        for number in range(1, times[example.id] + 1)
    )


def _whole(parts: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers that add up to `total`, by the largest remainder; 0 stays 0."""
    exact = {name: share * total for name, share in parts.items()}
    found = {name: int(value) for name, value in exact.items()}
    order = sorted((name for name in exact if parts[name] > 0), key=lambda name: found[name] - exact[name])
    for name in order[: total - sum(found.values())]:
        found[name] += 1
    return found


def mixed_line(before: Sequence[Example], after: Sequence[Example]) -> str:
    """A sentence on what the mixture did to the sources, the largest first."""
    was, is_ = Counter(map(source_of, before)), Counter(map(source_of, after))
    listed = [f"{name} {n:,} -> {is_[name]:,}" for name, n in was.most_common()]
    again = len(after) - len({one.id.partition("-")[0] for one in after})
    return f"train rows by source, as they are and as mixed: {_listed(listed)}; {again:,} rows come again"


def _listed(words: Sequence[str], shown: int = 6) -> str:
    more = f" and {len(words) - shown:,} more" if len(words) > shown else ""
    return ", ".join(words[:shown]) + more
