"""Where a classifier head begins: a linear probe on the very states that the head reads.

    z = (h - m) / s     log p = log softmax(V z + b)     W = V / s + c u^T     c = b - V m / s

V and b come from logistic regression on train rows, whose C is chosen by cross-validation. A head has no
bias, so c is added along u, for which h u is about 1 for all rows: a ridge regression of 1 on h.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from rung.generate import states
from rung.ladder.classical import regression
from rung.ladder.classical.regression import Floats
from rung.ladder.label_rows import label_rows
from rung.ladder.prepare import Prepared
from rung.ladder.probing import CS, STEPS, USUAL, standardised
from rung.ladder.watch import Watcher
from rung.methods.head import Classifies
from rung.methods.method import Attached
from rung.records import Choice, Example

MOST_ROWS = 5_000  # that are read
_RIDGE = 1e-4  # of the mean square of the states, for each row


def begin(
    prepared: Prepared, attached: Attached, examples: Sequence[Example], watcher: Watcher
) -> tuple[Choice, ...]:
    """Let a head that was just attached begin as a probe fitted on `examples`; others stay as they are.

    Says what was chosen.
    """
    if not isinstance(attached, Classifies):
        return ()
    examples = examples[:MOST_ROWS]
    rows = label_rows(prepared, examples)
    found = states.ends(prepared.base, [row.ids for row in rows], watcher.rows).double().numpy()
    truth = np.array([row.label for row in rows], dtype=np.int_)
    weights, choices = fit(examples, found, truth, len(attached.labels), prepared.settings.seed)
    with torch.no_grad():
        attached.head.weight.copy_(torch.from_numpy(weights))
    attached.updated()
    return choices


def fit(
    examples: Sequence[Example], found: Floats, truth: NDArray[np.int_], labels: int, seed: int
) -> tuple[Floats, tuple[Choice, ...]]:
    """W (labels, d) for states `found` (rows, d) with labels `truth` (rows,); and how C was chosen."""
    matrix, shift, scale = standardised(found.astype(np.float32))
    c, choices = _penalty(examples, matrix, truth, labels, seed)
    ((fitted, intercept),) = regression.fit(matrix, truth, labels, [c], STEPS)
    weights = fitted.astype(np.float64) / scale
    return weights + np.outer(intercept - weights @ shift, _ones(found)), choices


def _penalty(
    examples: Sequence[Example], matrix: NDArray[np.float32], truth: NDArray[np.int_], labels: int, seed: int
) -> tuple[float, tuple[Choice, ...]]:
    """The C with the least log loss on rows left out of the fit."""
    rows = regression.sampled(examples, labels, seed)
    folds = regression.folds_of([examples[row] for row in rows], truth[rows], labels, seed)
    if not regression.can_choose(sorted(set(truth.tolist())), folds):
        return USUAL, ()
    logs = regression.left_out(matrix[rows], truth[rows], labels, folds, CS, STEPS)
    losses = {
        c: -float(one[np.arange(len(rows)), truth[rows]].mean()) for c, one in zip(CS, logs, strict=True)
    }
    c = min(losses, key=losses.__getitem__)
    return c, (Choice("C of the first head", f"{c:g}", {f"{one:g}": loss for one, loss in losses.items()}),)


def _ones(found: Floats) -> Floats:
    """u (d,), with h u about 1 for each row h of `found` (rows, d)."""
    square = found.T @ found  # (d, d)
    square += _RIDGE * np.trace(square) / len(square) * np.eye(len(square))
    return np.linalg.solve(square, found.sum(0))
