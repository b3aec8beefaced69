"""Train, dev and test parts that share no near-duplicate, whatever order the rows come in.

Rows whose prompts say the same (`prompt_key`), or that the file puts in one group (the same document, the
same customer), form a group, and a group goes to one part as a whole.
Groups are drawn by a hash of the seed and their own text, so the parts depend on nothing else.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rung.errors import DataError
from rung.records import Example, Passage

TEXT = "text"  # in `Example.facts`, of a piece of a document


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of a data set, each in the order of its file."""

    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    leaked: tuple[Example, ...] = ()  # train rows left out: the test file holds their prompt or their group
    texts: tuple[Passage, ...] = ()  # documents, whose text tuned rungs learn besides the train rows
    duplicates: int = 0  # rows left out because an earlier row of the same file is exactly the same

    @property
    def text_alone(self) -> bool:
        """Whether no train row asks anything: they are pieces of documents (`is_text`)."""
        return bool(self.train) and all(map(is_text, self.train))

    @property
    def asking(self) -> tuple[Example, ...]:
        """Rows to see what questions and answers look like: train, or dev where train is text alone."""
        return self.dev if self.text_alone else self.train


class _Marks(dict[int, str | int]):
    """Translation of punctuation to a space, of apostrophes to nothing, learned as it is met."""

    def __missing__(self, code: int) -> str | int:
        mark = unicodedata.category(chr(code)).startswith("P")
        self[code] = " " if mark else code
        return self[code]


_MARKS = _Marks({ord("'"): "", ord("’"): ""})
# A mark that changes a number stays: 5-3 is not 5/3, 3.5 is not 35, -5 is not 5.
_SIGN = re.compile(r"((?<=\d)[.,:](?=\d)|(?:(?<=\d)|(?<=\d\s))[-/*%](?=\s?\d)|(?:^|(?<=\s))-(?=\d))")


def normalise(text: str) -> str:
    """`text` as compared for near-duplicates: NFKC, casefolded, without punctuation, single spaces.

    Digits stay, and so do signs inside and before numbers. A text of punctuation alone is kept.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    pieces = _SIGN.split(folded)
    bare = "".join(piece if i % 2 else piece.translate(_MARKS) for i, piece in enumerate(pieces))
    return " ".join(bare.split()) or " ".join(folded.split())


def is_text(example: Example) -> bool:
    """Whether a row is a piece of a document: it has no question, and all of it is learned."""
    return TEXT in example.facts


def prompt_key(example: Example) -> str:
    """What near-duplicates have in common: the normalised text of all turns before the target, or of the
    target where there are none."""
    return normalise("\n".join(message.content for message in example.prompt or example.messages))


def split(
    examples: Sequence[Example],
    *,
    seed: int,
    dev_fraction: float,
    test_fraction: float,
    test: Sequence[Example] | None = None,
) -> Split:
    """Divide `examples`; a pure function of the seed and the rows' content, not of their order.

    The fractions are of the rows left after exact duplicates are taken out, and are met as closely
    as whole groups allow. Given a `test` part, only dev is drawn, and train rows whose prompt or group is
    in it are left out. Every part gets at least one row. Raises `DataError` where there are too few
    different prompts for that.
    """
    kept = _unique(examples)
    duplicates = len(examples) - len(kept)
    leaked: tuple[Example, ...] = ()
    given: list[Example] = []
    if test is not None:
        given = _unique(test)
        duplicates += len(test) - len(given)
        held = {prompt_key(example) for example in given}
        groups_held = {example.group for example in given if example.group}
        inside = [prompt_key(example) in held or example.group in groups_held for example in kept]
        leaked = tuple(example for example, same in zip(kept, inside, strict=True) if same)
        kept = [example for example, same in zip(kept, inside, strict=True) if not same]
    groups = _groups(kept, seed)
    parts = 2 if test is not None else 3
    if len(groups) < parts:
        raise _too_few(examples, len(groups), parts, len(leaked))
    total = len(kept)
    drawn = [] if test is not None else _take(groups, round(total * test_fraction), parts - 1)
    dev = _take(groups, min(round(total * dev_fraction), total - len(drawn) - 1), 1)
    taken = {*drawn, *dev}
    return Split(
        train=tuple(example for i, example in enumerate(kept) if i not in taken),
        dev=tuple(kept[i] for i in sorted(dev)),
        test=tuple(given) if test is not None else tuple(kept[i] for i in sorted(drawn)),
        leaked=leaked,
        duplicates=duplicates,
    )


def sample(
    examples: Sequence[Example], n: int, seed: int, stratum: Callable[[Example], str] | None = None
) -> tuple[Example, ...]:
    """`n` of the examples in their own order; a smaller `n` gives a subset of a larger one's.

    With a `stratum`, such as the label, each stratum has its share of the rows at every `n`, as nearly as
    whole rows allow.
    """
    order = sorted(range(len(examples)), key=lambda i: (_hash("sample", seed, examples[i].id), i))
    if stratum is not None:
        order = _evenly(order, [stratum(example) for example in examples], seed)
    return tuple(examples[i] for i in sorted(order[: max(n, 0)]))


def _evenly(order: Sequence[int], strata: Sequence[str], seed: int) -> list[int]:
    """`order` such that every beginning of it holds each stratum in proportion (systematic sampling).

    Row r of the m rows of a stratum stands at (r + u) / m, with u in [0, 1) drawn for the stratum.
    """
    members: dict[str, list[int]] = {}
    for i in order:
        members.setdefault(strata[i], []).append(i)
    at: dict[int, float] = {}
    for name, rows in members.items():
        start = int.from_bytes(_hash("stratum", seed, name)[:6]) / 2**48
        at |= {i: (rank + start) / len(rows) for rank, i in enumerate(rows)}
    return sorted(order, key=at.__getitem__)  # stable: rows at the same place keep their order


def _unique(examples: Iterable[Example]) -> list[Example]:
    first: dict[str, Example] = {}
    for example in examples:
        first.setdefault(example.id, example)
    return list(first.values())


def _groups(examples: Sequence[Example], seed: int) -> list[list[int]]:
    """Places of the rows that belong together, the groups in the order of their hashes."""
    keys = [prompt_key(example) for example in examples]
    first: dict[str, str] = {}  # group -> a prompt in it
    parent = {key: key for key in keys}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = key = parent[parent[key]]
        return key

    for example, key in zip(examples, keys, strict=True):
        if example.group:
            one, two = sorted((root(key), root(first.setdefault(example.group, key))))
            parent[two] = one
    groups: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(root(key), []).append(place)
    return [groups[key] for key in sorted(groups, key=lambda key: _hash("split", seed, key))]


def _take(groups: list[list[int]], target: int, leave: int) -> list[int]:
    """Move groups out of `groups`, in order, while they fit into `target` rows; at least one group.

    `leave` groups stay behind at least.
    """
    taken: list[int] = []
    rest: list[list[int]] = []
    for place, group in enumerate(groups):
        left = len(rest) + len(groups) - place - 1
        if len(taken) + len(group) <= target and left >= leave:
            taken += group
        else:
            rest.append(group)
    if not taken:
        taken = min(rest, key=len)
        rest.remove(taken)
    groups[:] = rest
    return taken


def _hash(use: str, seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{use}\0{seed}\0{text}".encode()).digest()


def _too_few(examples: Sequence[Example], groups: int, parts: int, leaked: int) -> DataError:
    why = f"{parts} are needed, because rows with the same prompt, or of the same group, stay in one part"
    if leaked:
        why += f"; {leaked} rows were left out because their prompt is in the test file"
    return DataError(
        f"{groups} different {'prompt' if groups == 1 else 'prompts'} to divide into train, dev and test",
        where=examples[0].source if examples else "",
        why=why,
        fix="Give more rows with different prompts",
    )
