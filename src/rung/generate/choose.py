"""How likely each of a few fixed answers is, without decoding: label scoring.

    score[i, c] = sum over tokens t of  log p(choice_c[t] | prompt_i, choice_c[:t])          (nats)

Nothing is computed twice. The prompts' common prefix is read once, each prompt's tail once, and the choices
hang on it as a tree: tokens that several choices begin with are one node, which sees the prefix, the tail,
its ancestors and itself. All rows of a batch have the same tree, so it is one pass with (rows, nodes) tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rung.bases.attention import flash, merge
from rung.bases.base import Base
from rung.bases.head import target_logits
from rung.errors import UsageError
from rung.generate.cache import PASS_TOKENS, Ids, Rows, common_prefix, group, hidden, prefill, read_prefix
from rung.generate.engine import Engine, check_prompts, evaluating, places_for

HEAD_ROWS = 256  # rows of logits at a time
MOST_ROWS = 256  # prompts whose choices are read in one pass


def log_likelihoods(
    base: Base | Engine,
    prompts: Sequence[Ids],
    choices: Sequence[Ids],
    on_progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Log-probabilities (prompts, choices) in nats of every choice after every prompt, over all its tokens.

    Give a choice its end of turn, else a choice that begins another is never less likely than it.
    Raises `UsageError` for an empty choice, `DataError` for a prompt that is empty or too long.
    """
    base = base.base if isinstance(base, Engine) else base
    tree = Tree.of(choices)
    check_prompts(prompts, base.context, room=max((len(choice) for choice in choices), default=0))
    scores = np.zeros((len(prompts), len(choices)))
    if not scores.size:
        return scores
    ids = [tuple(prompt) for prompt in prompts]
    shared = common_prefix(ids)
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    longest = len(ids[order[0]]) - shared
    batch = min(MOST_ROWS, max(1, PASS_TOKENS // (len(tree.tokens) + 1)), places_for(base, longest))
    with torch.inference_mode(), evaluating(base.model):
        rows = Rows(read_prefix(base, ids[0][:shared] if shared else ()))
        for at in range(0, len(order), batch):
            some = order[at : at + batch]
            scores[some] = _score(base, rows, [ids[i][shared:] for i in some], tree)
            if on_progress:
                on_progress(at + len(some), len(order))
    return scores


@dataclass(frozen=True, slots=True)
class Tree:
    """The choices as a tree below a prompt; node 0 is the prompt's last token.

    The model reads the N inner nodes: `tokens` (N,), their `depth` (N,) below the prompt's last token, and
    who sees whom, `seen` (N, N). An edge leads from `source` (node 0..N) to token `target`; choice c is the
    edges ``paths[c]``.
    """

    tokens: Tensor
    depth: Tensor
    seen: Tensor
    source: Tensor
    target: Tensor
    paths: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, choices: Sequence[Ids]) -> Tree:
        """Raises `UsageError` where a choice has no tokens."""
        nodes: dict[Ids, int] = {(): 0}
        edges: dict[tuple[int, int], int] = {}
        paths = []
        for i, choice in enumerate(choices, start=1):
            if not choice:
                raise UsageError(f"choice {i} of {len(choices)} has no tokens", fix="Leave it out")
            path = []
            for t, token in enumerate(choice):
                source = nodes.setdefault(tuple(choice[:t]), len(nodes))
                path.append(edges.setdefault((source, token), len(edges)))
            paths.append(tuple(path))
        inner = list(nodes)[1:]
        seen = torch.zeros(len(inner), len(inner), dtype=torch.bool)
        for i, node in enumerate(inner):
            seen[i, [nodes[node[:t]] - 1 for t in range(1, len(node) + 1)]] = True
        return cls(
            tokens=torch.tensor([node[-1] for node in inner], dtype=torch.long),
            depth=torch.tensor([len(node) for node in inner], dtype=torch.long),
            seen=seen,
            source=torch.tensor([source for source, _ in edges], dtype=torch.long),
            target=torch.tensor([token for _, token in edges], dtype=torch.long),
            paths=tuple(paths),
        )


class _Branches:
    """The layout of a pass over a tree below every row."""

    def __init__(self, rows: Rows, tree: Tree, device: torch.device) -> None:
        self.rows = rows
        self.depth = tree.depth.to(device)
        self.seen = tree.seen.to(device)
        # own tokens between the prefix and each node, (B, N)
        self.after = torch.tensor(rows.lengths, device=device)[:, None] - 1 + self.depth

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        """q (B, heads, N, D); k, v (B, kv_heads, N, D) -> (B, heads, N, D); see `Layout`."""
        grouped = group(q, k.shape[1])
        times = grouped.shape[2] // q.shape[2]
        seen, extra, blind = self.seen, None, None
        if window is not None:
            seen = seen & (self.depth[:, None] - self.depth < window)
            blind = (self.depth >= window).repeat(times)  # these see nothing of the tail
            back = torch.arange(self.rows.width, 0, -1, device=q.device)  # how far from the first node
            near = self.depth[:, None] - 1 + back < window
            extra = _additive(near.repeat(times, 1) | blind[:, None], q.dtype)
        part = flash(grouped, k, v, scale, _additive(seen, q.dtype).repeat(times, 1)[None, None])
        out, lse = self.rows.own(layer, grouped, scale, extra=extra)
        part = merge(part, (out, lse if blind is None else lse.masked_fill(blind, -math.inf)))
        shared = self.rows.shared(layer, grouped, scale, window, self.after.repeat(1, times))
        return (part if shared is None else merge(part, shared))[0].reshape(q.shape)


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -math.inf)


def _score(base: Base, rows: Rows, tails: Sequence[Ids], tree: Tree) -> NDArray[np.float64]:
    """Scores (rows, choices) of one batch, whose tails replace what `rows` held."""
    packs, roots = [], []
    for packed, states in prefill(base, tails, rows.prefix):
        packs.append((packed, range(len(packed.lengths))))
        roots.append(states)
    states = torch.cat(roots)[None]  # (1, B, d)
    if len(tree.tokens):
        rows.change((), packs, room=0)
        layout = _Branches(rows, tree, base.device)
        ids = tree.tokens.to(base.device).expand(len(tails), -1)
        below = hidden(base, ids, layout.after + rows.start, layout)
        states = torch.cat([states, below.transpose(0, 1)])  # (1 + N, B, d)
    edges = _edges(base, states, tree)
    return np.stack([edges[list(path)].sum(0) for path in tree.paths], axis=1)


def _edges(base: Base, states: Tensor, tree: Tree) -> NDArray[np.float64]:
    """Log-probabilities (edges, B) of every edge, from the hidden states (1 + N, B, d) of all nodes."""
    step = max(1, HEAD_ROWS // states.shape[1])
    found = np.empty((len(tree.source), states.shape[1]))
    for at in range(0, len(states), step):
        some = states[at : at + step]
        logits = target_logits(base.model, some.flatten(0, 1)).float().view(*some.shape[:2], -1)
        edges = ((tree.source >= at) & (tree.source < at + step)).nonzero()[:, 0]
        source = (tree.source[edges] - at).to(logits.device)
        wanted = logits[source, :, tree.target[edges].to(logits.device)] - logits.logsumexp(-1)[source]
        found[edges.numpy()] = wanted.double().cpu().numpy()
    return found
