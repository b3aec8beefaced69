"""From hidden states to a loss, for the target rows alone.

    loss = sum over target rows t of  logsumexp(W h_t) - (W h_t)[y_t]          (nats, summed)

With z = W h, m = max z, e = exp(z - m), s = sum e, and a row that counts c times:

    loss = c (log s + m - z[y])     dh = c/s (e - s onehot(y)) W     dW = (e - s onehot(y))^T (c/s h)

The head costs as much as the whole body on a CPU when every row goes through it, so only target rows do, in
chunks, with one exponential, and the gradients are formed in the forward pass: no logits are kept, and
softmax itself is never written. dW is formed only where the head is trained. Models that scale or cap their
logits take the plain path through their own head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

CHUNK = 256  # rows; a bf16 chunk of logits for 49,152 words is 25 MB
_LEAST = 1e-12  # probability that a logarithm is taken of
_ROWS = 4096  # of a weight that are changed to another number format at a time
_CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
_EXTRAS = (*_CAPS, "logit_scale", "logits_scaling", "lm_head_multiplier")


def is_plain(model: PreTrainedModel) -> bool:
    """Whether the model's logits are just W h."""
    head: Any = model.get_output_embeddings()
    config = model.config.get_text_config()
    odd = any(getattr(config, name, None) not in (None, 1, 1.0) for name in _EXTRAS)
    return type(head) is nn.Linear and getattr(head, "bias", None) is None and not odd


def target_logits(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits (N, vocabulary) of hidden rows (N, d), through the model's own head and what follows it."""
    head: Any = model.get_output_embeddings()
    logits: Tensor = head(hidden)
    if is_plain(model):
        return logits
    config = model.config.get_text_config()
    if getattr(config, "logit_scale", None):
        logits = logits * config.logit_scale
    if getattr(config, "logits_scaling", None):
        logits = logits / config.logits_scaling
    if getattr(config, "lm_head_multiplier", None):
        logits = logits * config.lm_head_multiplier
    cap = next((cap for name in _CAPS if (cap := getattr(config, name, None))), None)
    return torch.tanh(logits / cap) * cap if cap else logits


def loss_sum(
    model: PreTrainedModel, hidden: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy in nats, summed over rows: hidden (N, d), targets (N,) -> fp32 scalar.

    `weights` (N,) counts a row more than once.
    """
    if is_plain(model):
        head: Any = model.get_output_embeddings()
        # What needs no gradient must not ask for one: the forward pass would form it.
        weight = head.weight if torch.is_grad_enabled() else head.weight.detach()
        loss: Tensor = _LinearCrossEntropy.apply(hidden, weight, targets, weights)  # type: ignore[no-untyped-call]
        return loss
    logits = target_logits(model, hidden).float()
    losses = cross_entropy(logits, targets, reduction="none")
    return losses.sum() if weights is None else (losses * weights).sum()


@torch.no_grad()
def losses(model: PreTrainedModel, hidden: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats of each row, without gradient: hidden (N, d), targets (N,) -> fp32 (N,)."""
    wide = torch.promote_types(hidden.dtype, torch.float32)
    found = [
        -target_logits(model, h).to(wide).log_softmax(-1).gather(1, y[:, None])[:, 0]
        for h, y in zip(torch.split(hidden, CHUNK), torch.split(targets, CHUNK), strict=True)
    ]
    return torch.cat(found)


def divergence_sum(model: PreTrainedModel, hidden: Tensor, words: Tensor, logs: Tensor) -> Tensor:
    """KL(p || q) in nats, summed over rows, with gradient: an fp32 scalar.

    q is what the model says for hidden (N, d). p is known by the log-probabilities logs (N, k) of k words
    (N, k) each; all other words count as one. With r for these others, z the logits and q = softmax(z):

        KL = sum over the k words of p log(p / q)  +  p_r log(p_r / q_r)
        dKL/dz = q - p for the k words,  q (1 - p_r / q_r) for each other word
    """
    total = hidden.new_zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32))
    for start in range(0, len(hidden), CHUNK):
        rows = slice(start, start + CHUNK)
        total = total + _Divergence.apply(target_logits(model, hidden[rows]), words[rows], logs[rows])  # type: ignore[no-untyped-call]
    return total


class _Divergence(Function):
    """From logits to the divergence; the formulas are in `divergence_sum`."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, words: Tensor, logs: Tensor) -> Tensor:
        wide = torch.promote_types(logits.dtype, torch.float32)
        q_logs = logits.to(wide).log_softmax(-1)  # (n, vocabulary)
        own = q_logs.gather(1, words)  # (n, k)
        p = logs.exp()
        p_rest = (1 - p.sum(1, keepdim=True)).clamp_min(0.0)  # (n, 1)
        q = q_logs.exp_()
        # The sum of the others, not 1 - the sum of the k: that would be rounded to 0 where they are few.
        q_rest = q.scatter(1, words, 0.0).sum(1, keepdim=True).clamp_min(_LEAST)
        rest = torch.where(p_rest > 0, p_rest * (p_rest.clamp_min(_LEAST) / q_rest).log(), 0.0)
        total = (p * (logs - own)).sum() + rest.sum()
        if ctx.needs_input_grad[0]:
            top = q.gather(1, words) - p
            q.mul_(1 - p_rest / q_rest).scatter_(1, words, top)
            ctx.save_for_backward(q.to(logits.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (dz,) = ctx.saved_tensors
        return dz * grads[0].to(dz.dtype), None, None


class _LinearCrossEntropy(Function):
    """Fused linear + cross-entropy; the formulas are at the top of the file."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        total = torch.zeros((), dtype=wide, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        grad_weight: Tensor | None = None
        if ctx.needs_input_grad[1] and len(hidden) > CHUNK:
            grad_weight = torch.zeros_like(weight, dtype=wide)
        for start in range(0, len(hidden), CHUNK):
            rows = slice(start, start + CHUNK)
            h, y = hidden[rows], targets[rows, None]  # (n, d), (n, 1)
            z = h @ weight.T  # (n, vocabulary)
            own = z.gather(1, y)  # (n, 1), as are `most`, `sums` and `count`
            most = z.amax(1, keepdim=True)
            e = z.sub_(most).exp_()
            # A sum in fp32 makes an fp32 copy first: of a few rows at a time, so that it stays in the cache.
            sums = torch.cat([part.sum(1, keepdim=True, dtype=wide) for part in torch.split(e, 16)])
            count = torch.ones_like(sums) if weights is None else weights[rows, None].to(wide)
            total += ((sums.log() + most - own) * count).sum()
            if not any(ctx.needs_input_grad[:2]):
                continue
            e.scatter_(1, y, (e.gather(1, y) - sums).to(e.dtype))
            if grad_hidden is not None:
                grad_hidden[rows] = (e @ weight) * (count / sums)  # (n, d)
            if ctx.needs_input_grad[1]:
                part = e.T @ (h * (count / sums)).to(h.dtype)  # (vocabulary, d)
                grad_weight = part if grad_weight is None else _add(grad_weight, part)
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.weight_dtype = weight.dtype
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (scale,) = grads
        hidden, weight = ctx.saved_tensors
        grad_weight = None if weight is None else _scaled(weight, scale, ctx.weight_dtype)
        return None if hidden is None else hidden * scale.to(hidden.dtype), grad_weight, None, None


def _add(total: Tensor, part: Tensor) -> Tensor:
    """total += part, both (vocabulary, d), some rows at a time: the sum makes a copy in fp32 first."""
    for into, rows in zip(torch.split(total, _ROWS), torch.split(part, _ROWS), strict=True):
        into += rows
    return total


def _scaled(weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """weight * scale (vocabulary, d) in the format `dtype`, in place of `weight` where that has it."""
    out = weight if weight.dtype == dtype else torch.empty_like(weight, dtype=dtype)
    for into, rows in zip(torch.split(out, _ROWS), torch.split(weight, _ROWS), strict=True):
        into.copy_(rows.to(scale.dtype) * scale)
    return out
