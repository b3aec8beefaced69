"""A base that is ready to be computed: loaded, in few bits if asked, on the fastest path that is right."""

from __future__ import annotations

from functools import partial

import torch
from transformers import PreTrainedModel

from rung.bases import gate
from rung.bases import load as bases
from rung.bases import tiny as built
from rung.bases.base import Base, Route
from rung.border import foreign
from rung.compute import paths
from rung.compute.attention import NAME
from rung.compute.quantized import Bits, quantize
from rung.errors import BaseModelError

# Of `tiny`, measured once in a process, for tests that build many.
_fused: dict[tuple[str, torch.dtype, str, int | None], Route] = {}


def load(
    name: str,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    bits: Bits | None = None,
) -> Base:
    """The base called `name`, frozen, in `dtype` on `device`; see `rung.bases.load`.

    With `bits` the linear layers of its decoder are held in so many; see `rung.compute.quantized`. What they
    are rounded from is the file's own format. Raises `BaseModelError`.
    """

    def hold(model: PreTrainedModel, name: str) -> None:
        assert bits is not None
        if not quantize(model, bits, device, dtype):
            raise BaseModelError(
                f"{type(model).__name__} has no linear layers that could be held in {bits} bits",
                where=name,
                fix="Leave --bits out",
            )

    base = bases.load(name, dtype=dtype, device=device, hold=None if bits is None else hold)
    base.bits = bits
    if base.path is None:
        return _known(base)
    with foreign(partial(gate.unreadable, base.path)):
        base.route = _measured(base)
    return base


def tiny(seed: int = 0, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Base:
    """`rung.bases.tiny.tiny`, ready to be computed."""
    return _known(built.tiny(seed, dtype, device))


def _known(base: Base) -> Base:
    key = base.fingerprint, base.dtype, str(base.device), base.bits
    if key in _fused:
        base.model.set_attn_implementation(NAME)
        base.route = _fused[key]
        return base
    base.route = _measured(base)
    if base.route.path == "fused":
        _fused[key] = base.route
    return base


def _measured(base: Base) -> Route:
    return paths.choose(base.model, base.name, base.tokenizer.all_special_ids)
