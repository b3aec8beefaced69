"""A base that is ready to be computed: loaded, and on the fastest path that is right for it."""

from __future__ import annotations

from functools import partial

import torch

from rung.bases import gate
from rung.bases import load as bases
from rung.bases import tiny as built
from rung.bases.base import Base, Route
from rung.border import foreign
from rung.compute import paths
from rung.compute.attention import NAME

# Of `tiny`, measured once in a process, for tests that build many.
_fused: dict[tuple[str, torch.dtype, str], Route] = {}


def load(name: str, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Base:
    """The base called `name`, frozen, in `dtype` on `device`; see `rung.bases.load`.

    Raises `BaseModelError`.
    """
    base = bases.load(name, dtype=dtype, device=device)
    if base.path is None:
        return _known(base)
    with foreign(partial(gate.unreadable, base.path)):
        base.route = _measured(base)
    return base


def tiny(seed: int = 0, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Base:
    """`rung.bases.tiny.tiny`, ready to be computed."""
    return _known(built.tiny(seed, dtype, device))


def _known(base: Base) -> Base:
    key = base.fingerprint, base.dtype, str(base.device)
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
