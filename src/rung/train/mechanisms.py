"""Which speed-ups a training run uses, and why one is off: for the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from rung.compute import body, head
from rung.data.pack import Step, computed
from rung.data.pairs import texts
from rung.records import Mechanism, Rendered

_SOME = 64  # packs that are looked at


def mechanisms(
    model: PreTrainedModel, rows: Sequence[Rendered], plan: Sequence[Step], trunk: Mechanism
) -> tuple[Mechanism, ...]:
    """What was on or off in training `model` on `rows` as `plan` says; `trunk` comes from the trainer."""
    return (
        _layers(model),
        _head(model, rows),
        _beginnings(rows, plan),
        trunk,
        _products(model),
    )


def _layers(model: PreTrainedModel) -> Mechanism:
    why = body.why_not(model)
    gain = "layers that read the same input are one product; little is kept for the backward pass"
    return Mechanism("fused layers", why is None, why or gain)


def _head(model: PreTrainedModel, rows: Sequence[Rendered]) -> Mechanism:
    if any(row.label is not None for row in rows):
        return Mechanism("fused head", False, "labels are learned: the base's own head is not used")
    every = texts(rows)
    targets, tokens = sum(row.learned for row in every), sum(len(row.ids) for row in every)
    if not head.is_plain(model):
        return Mechanism("fused head", False, "the model scales or caps its logits; its own head is used")
    return Mechanism("fused head", True, f"on the target tokens alone, {targets / max(1, tokens):.0%} of all")


def _beginnings(rows: Sequence[Rendered], plan: Sequence[Step]) -> Mechanism:
    name = "shared prefixes"
    packs = [pack for step in plan for pack in step.packs][:_SOME]
    read = [[row.ids for row in texts([rows[place] for place in pack])] for pack in packs]
    whole = sum(len(ids) for pack in read for ids in pack)
    done = sum(computed(pack, range(len(pack))) for pack in read)
    if done == whole:
        return Mechanism(name, False, "the rows of a pass share no prefix")
    share = 1 - done / whole
    part = f"{share:.0%}" if share >= 0.01 else "under 1%"
    return Mechanism(name, True, f"{part} of the tokens were already computed for another row")


def _products(model: PreTrainedModel) -> Mechanism:
    name = "fp32 products by oneDNN"
    if model.dtype != torch.float32 or model.device.type != "cpu":
        return Mechanism(name, False, "they matter only for fp32 on a CPU")
    backend: Any = torch.backends.mkldnn
    on = backend.matmul.fp32_precision == "bf16"
    why = "they are as exact here as the default ones, and mostly faster"
    return Mechanism(name, on, why if on else "they are less exact here than the default ones")
