"""How likely each of a few fixed answers is, without decoding: label scoring.

    score[i, c] = sum over tokens t of  log p(choice_c[t] | prompt_i, choice_c[:t])          (nats)

Nothing is computed twice: the prompts' common prefix is read once, each prompt's tail once, and tokens that
several choices begin with once (`branches`). `log_likelihoods` gives all scores, from one pass over the whole
tree. `best_choices` gives the best choice alone (`search`) and reads only what could still win.
`best_and_scores` gives both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from rung.bases.base import Base
from rung.compute.attention import Packed, Prefix
from rung.generate.branches import Branches, Numbers, Tree, edge_logs, path_sums, read_prompts
from rung.generate.cache import BLOCK, PASS_TOKENS, Ids, common_prefix, read_prefix
from rung.generate.checks import check_prompts, context_left, evaluating, places_for
from rung.generate.engine import Engine
from rung.generate.search import ROOM, search

MOST_ROWS = 256  # prompts whose choices are read in one pass
Progress = Callable[[int, int], None]


def log_likelihoods(
    base: Base | Engine,
    prompts: Sequence[Ids],
    choices: Sequence[Ids],
    on_progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Log-probabilities (prompts, choices) in nats of every choice after every prompt, over all its tokens.

    Give a choice its end of turn, else a choice that begins another is never less likely than it.
    Raises `UsageError` for an empty choice, `DataError` for a prompt that is empty or too long, `RungError`
    where the model's logits are not finite.
    """
    base = base.base if isinstance(base, Engine) else base
    tree = Tree.of(choices)
    scores = np.zeros((len(prompts), len(choices)))
    nodes = len(tree.tokens)
    done = 0
    with torch.inference_mode(), evaluating(base.model):
        for some, tails, prefix in _batches(base, prompts, choices, 0, PASS_TOKENS // (nodes + 1)):
            logs = edge_logs(base, tree, prefix, *read_prompts(base, tails, prefix))
            scores[some] = path_sums(tree, logs)
            done += len(some)
            if on_progress:
                on_progress(done, len(prompts))
    return scores


def best_choices(
    base: Base | Engine,
    prompts: Sequence[Ids],
    choices: Sequence[Ids],
    corrections: ArrayLike,
    factors: ArrayLike | None = None,
    on_progress: Progress | None = None,
) -> Numbers:
    """The best choice of every prompt, under each of K rules: (K, prompts).

    The same as ``(log_likelihoods(...) * factors[k] + corrections[k]).argmax(1)`` for `corrections` and
    `factors` (K, choices), up to rounding, with the first of equals. Factors are positive; 1 if not given.
    Raises what `log_likelihoods` raises.
    """
    return _searched(base, prompts, choices, corrections, factors, on_progress, None)


def best_and_scores(
    base: Base | Engine,
    prompts: Sequence[Ids],
    choices: Sequence[Ids],
    corrections: ArrayLike,
    factors: ArrayLike | None = None,
    on_progress: Progress | None = None,
) -> tuple[Numbers, NDArray[np.float64]]:
    """What `best_choices` gives, bit by bit, and what `log_likelihoods` gives; each prompt is read once.

    No score contradicts the search: under each rule the best choice has the highest one.
    """
    scores = np.zeros((len(prompts), len(choices)))
    return _searched(base, prompts, choices, corrections, factors, on_progress, scores), scores


def _searched(
    base: Base | Engine,
    prompts: Sequence[Ids],
    choices: Sequence[Ids],
    corrections: ArrayLike,
    factors: ArrayLike | None,
    on_progress: Progress | None,
    scores: NDArray[np.float64] | None,
) -> Numbers:
    """See `best_choices`; writes all scores (prompts, choices) to `scores`, if given."""
    base = base.base if isinstance(base, Engine) else base
    tree = Tree.of(choices)
    offsets = np.asarray(corrections, dtype=np.float64)
    scales = np.ones_like(offsets) if factors is None else np.asarray(factors, dtype=np.float64)
    best = np.zeros((len(offsets), len(prompts)), dtype=np.intp)
    done = 0

    def finished(rows: int) -> None:
        if on_progress:
            on_progress(done + rows, len(prompts))

    with torch.inference_mode(), evaluating(base.model):
        room = min(len(tree.tokens), BLOCK)
        for some, tails, prefix in _batches(base, prompts, choices, room, MOST_ROWS):
            packs, roots = read_prompts(base, tails, prefix)
            branches = Branches(base, tree, prefix, ROOM)
            branches.begin(packs)
            if scores is None:
                packs = []  # the branches have copies of their keys and values
            found = search(branches, tree, roots, offsets, scales, finished)
            best[:, some] = found.best()
            if scores is not None:
                scores[some] = found.scores(edge_logs(base, tree, prefix, packs, roots))
            done += len(some)
    return best


class Scored:
    """Scores prompts while an `Engine` writes answers to them: give it as ``on_read``.

    `scores` (prompts, choices) are those of `log_likelihoods`.
    """

    def __init__(self, base: Base, prompts: Sequence[Ids], choices: Sequence[Ids]) -> None:
        """Raises what `log_likelihoods` raises."""
        check_prompts(prompts, context_left(base), room=max((len(choice) for choice in choices), default=0))
        self.base = base
        self.tree = Tree.of(choices)
        self.scores = np.zeros((len(prompts), len(choices)))

    def __call__(self, rows: Sequence[int], packed: Packed, states: Tensor, prefix: Prefix | None) -> None:
        """See `rung.generate.batch.Read`."""
        pack = (packed, range(len(packed.lengths)))
        self.scores[list(rows)] = path_sums(
            self.tree, edge_logs(self.base, self.tree, prefix, [pack], states)
        )


def _batches(
    base: Base, prompts: Sequence[Ids], choices: Sequence[Ids], room: int, most: int
) -> Iterator[tuple[list[int], list[Ids], Prefix | None]]:
    """Prompts that are read together, longest first: which they are, their tails, and the common prefix.

    At most `most` prompts, and at most as many as the cache holds with `room` more tokens each.
    """
    check_prompts(prompts, context_left(base), room=max((len(choice) for choice in choices), default=0))
    if not prompts or not choices:
        return
    ids = [tuple(prompt) for prompt in prompts]
    shared = common_prefix(ids)
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    longest = len(ids[order[0]]) - shared
    batch = min(MOST_ROWS, max(1, most), places_for(base, longest + room))
    prefix = read_prefix(base, ids[0][:shared] if shared else ())
    for at in range(0, len(order), batch):
        some = order[at : at + batch]
        yield some, [ids[i][shared:] for i in some], prefix
