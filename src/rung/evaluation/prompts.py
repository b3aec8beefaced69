"""What prompts are made of: an instruction in a few words, and examples worth showing.

The instruction is in the system turn, after the row's own system text, and the examples before the
row's own turns: rows with the same system text share everything up to their own turns, which the engine
reads once.  Examples come from train rows only.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from rung.evaluation.tasks import KINDS
from rung.records import Example, Message, Task

CONTENT_FREE = ("N/A", "", "[MASK]")
_POOL = 500  # candidates looked at for examples to show
_SHORT = 0.75  # share of the rows, shortest first, that examples come from before all others


def instruction(task: Task) -> str:
    """What to do, in a sentence or two for a small model; empty where the rows say it themselves."""
    return KINDS[task.kind].instruction(task)


def zero_shot(task: Task, example: Example) -> tuple[Message, ...]:
    """The row's prompt with the instruction in its system turn."""
    return few_shot(task, (), example)


def few_shot(
    task: Task, shots: Sequence[Example], example: Example, instruct: bool = True
) -> tuple[Message, ...]:
    """The instruction, each shot as a question and its answer, then the row's own turns.

    Without the instruction where `instruct` is false.

    A shot is its last user turn and what follows; a system text of its own that is not the row's stays
    with it.
    """
    own, turns = _parted(example.prompt)
    system = "\n\n".join(text for text in (own, instruction(task) if instruct else "") if text)
    shown = [message for shot in shots for message in _shown(shot, own)]
    return (*([Message("system", system)] if system else []), *shown, *turns)


def content_free(messages: Sequence[Message]) -> list[tuple[Message, ...]]:
    """The same prompt with nothing in the user's last turn, in three ways.

    What a model then prefers is its bias, to be taken off its label likelihoods: contextual calibration
    (Zhao et al. 2021, arXiv 2102.09690).
    """
    last = _last_user(messages)
    return [
        tuple(Message(m.role, text) if i == last else m for i, m in enumerate(messages))
        for text in CONTENT_FREE
    ]


def pick_shots(task: Task, train: Sequence[Example], k: int, seed: int) -> tuple[Example, ...]:
    """`k` train rows worth showing (all, if there are fewer), the same for the same seed.

    A task with labels goes round them, most frequent first.  Other tasks take next the row that shows most
    of what is common and has not been shown: keys and their values, names and flags of calls, short and long
    answers.  Short rows come first.  A smaller `k` gives the beginning of a larger one.
    """
    rng = random.Random(f"shots {seed}")
    rows = distinct(train)
    if task.labels:
        return tuple(_round_the_labels(task, rows, k, rng))
    return tuple(_most_telling(task, _short_first(rows, rng), k))


def spelled(example: Example) -> tuple[str, ...]:
    """The prompt's turns without case and with single spaces: equal for rows that ask the same."""
    return tuple(" ".join(message.content.lower().split()) for message in example.prompt)


def _parted(messages: Sequence[Message]) -> tuple[str, tuple[Message, ...]]:
    """The leading system text, and the turns after it."""
    first = next((i for i, message in enumerate(messages) if message.role != "system"), len(messages))
    return "\n\n".join(message.content for message in messages[:first]), tuple(messages[first:])


def _last_user(messages: Sequence[Message]) -> int:
    return max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)


def _shown(shot: Example, system: str) -> list[Message]:
    own, _ = _parted(shot.prompt)
    turns = list(shot.messages[max(0, _last_user(shot.prompt)) :])
    if own and own != system and turns[0].role == "user":
        turns[0] = Message("user", f"{own}\n\n{turns[0].content}")
    return turns


def _length(example: Example) -> int:
    return sum(len(message.content) for message in example.messages)


def distinct(train: Sequence[Example]) -> list[Example]:
    """Rows that can be shown: an answer, and a prompt not seen before."""
    seen: dict[tuple[str, ...], Example] = {}
    for example in train:
        if example.target.strip():
            seen.setdefault(spelled(example), example)
    return list(seen.values())


def _short_first(rows: Sequence[Example], rng: random.Random) -> list[Example]:
    """Shuffled, the longest quarter last."""
    mixed = rng.sample(list(rows), len(rows))
    if not mixed:
        return []
    limit = sorted(map(_length, mixed))[int(_SHORT * (len(mixed) - 1))]
    return sorted(mixed, key=lambda example: _length(example) > limit)


def _round_the_labels(task: Task, rows: Sequence[Example], k: int, rng: random.Random) -> list[Example]:
    by_label: dict[str, list[Example]] = {label: [] for label in task.labels}
    for example in rows:
        by_label.setdefault(example.target.strip(), []).append(example)
    waiting = {label: _short_first(found, rng) for label, found in by_label.items() if found}
    order, shots = list(waiting), list[Example]()
    while len(shots) < k and order:
        shots += [waiting[label].pop(0) for label in order]
        order = [label for label in order if waiting[label]]
        rng.shuffle(order)  # so that the same label does not always come last
    return shots[:k]


def _most_telling(task: Task, rows: Sequence[Example], k: int) -> list[Example]:
    pool, shots = list(rows[:_POOL]), list[Example]()
    kind = KINDS[task.kind]
    all_features = [kind.features(example.target) or _length_of_target(example, pool) for example in pool]
    common = Counter(feature for features in all_features for feature in features)
    left, shown = dict(enumerate(all_features)), set[str]()
    while left and len(shots) < k:
        gain = {i: sum(common[f] for f in features - shown if common[f] > 1) for i, features in left.items()}
        if shown and not any(gain.values()):
            shown.clear()
            continue
        best = max(left, key=lambda i: gain[i] / (200 + _length(pool[i])))
        shots.append(pool[best])
        shown |= left.pop(best)
    return [*shots, *rows[_POOL : _POOL + k - len(shots)]]


def _length_of_target(example: Example, pool: Sequence[Example]) -> set[str]:
    longer = sum(len(other.target) > len(example.target) for other in pool)
    return {f"quarter {4 * longer // max(1, len(pool))}"}
