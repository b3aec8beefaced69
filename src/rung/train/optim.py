"""The optimizer, its schedule, and the check that stops before a bad step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from rung.errors import UsageError
from rung.methods import flat


class Diverged(UsageError):
    """Training came to a number that is not finite."""


_FIX = "Lower --learning-rate; if that does not help, try --precision fp32"


def flatten(parameters: Sequence[nn.Parameter], rates: Sequence[float]) -> dict[float, nn.Parameter]:
    """Move parameters into one vector for each rate, and their gradients too: rate -> vector.

    The parameters keep their shapes, as views. A step then reads a few long vectors instead of hundreds of
    small tensors. Set gradients to zero, never to None: they are views too.
    """
    vectors = {}
    for rate in dict.fromkeys(rates):
        group = [p for p, its in zip(parameters, rates, strict=True) if its == rate]
        vector = nn.Parameter(flat.join(group))  # (all numbers of the group,)
        vector.grad = torch.zeros_like(vector)
        for p, grad in zip(group, flat.parts(vector.grad, group), strict=True):
            p.grad = grad
        vectors[rate] = vector
    return vectors


def adamw(vectors: Mapping[float, nn.Parameter], weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019), fused, on the vectors of `flatten`; see `set_learning_rate`."""
    groups = [{"params": [vector], "rate": rate} for rate, vector in vectors.items()]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.999), weight_decay=weight_decay, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = value * group["rate"]


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """Learning rate of `step` (from 0): a linear rise over ``warmup * steps``, half a cosine to a tenth."""
    rise = math.ceil(warmup * steps)
    if step < rise:
        return peak * (step + 1) / (rise + 1)
    done = (step - rise) / max(1, steps - rise)
    return peak * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))


def scale_gradients(parameters: Sequence[nn.Parameter], targets: int) -> None:
    """Turn summed gradients into means over the target tokens of the whole step."""
    torch._foreach_div_([p.grad for p in parameters if p.grad is not None], float(targets))


def clip(parameters: Sequence[nn.Parameter], most: float) -> float:
    """Clip the global gradient norm to `most`; returns the norm before."""
    return float(nn.utils.clip_grad_norm_(parameters, most, foreach=True))


def require_finite(loss: float, norm: float, parameters: Sequence[nn.Parameter], step: int) -> None:
    """Raises `Diverged` before a step that would spoil the model."""
    bad = [name for name, value in (("loss", loss), ("gradient norm", norm)) if not math.isfinite(value)]
    if not bad and not _all_finite(parameters):
        bad = ["parameters"]
    if bad:
        raise Diverged(
            f"the {' and the '.join(bad)} stopped being finite at step {step}",
            why="The step was not taken",
            fix=_FIX,
        )


def require_finite_dev(loss: float, step: int) -> None:
    """Raises `Diverged` where the loss on dev says nothing about the model."""
    if not math.isfinite(loss):
        raise Diverged(f"the loss on dev is not finite after step {step}", fix=_FIX)


def _all_finite(parameters: Sequence[nn.Parameter]) -> bool:
    norms: tuple[Tensor, ...] = torch._foreach_norm([p.detach() for p in parameters], math.inf)
    return bool(torch.isfinite(torch.stack(norms)).all())
