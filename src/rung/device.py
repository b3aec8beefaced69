"""Which device, number format and how many threads: chosen by a short probe that says why."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn.functional import linear

from rung import threads as counts
from rung.errors import UsageError

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
# How much is kept; their own limits are 1,024. Less than a step needs costs up to half of the time.
_KERNELS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128", "LRU_CACHE_CAPACITY": "48"}
Precision = Literal["auto", "bf16", "fp32"]


@dataclass(frozen=True, slots=True)
class Device:
    """Where and how to compute."""

    device: torch.device
    dtype: torch.dtype
    threads: int
    why: str  # one sentence for the screen

    @property
    def precision(self) -> str:
        return "bf16" if self.dtype is torch.bfloat16 else "fp32"


def choose(precision: Precision = "auto", threads: int | None = None) -> Device:
    """Pick device and dtype; sets torch's thread count. Raises `UsageError` for an impossible thread count.

    Without `threads` there are as many as other processes leave cores for. In bf16 on a CPU the count then
    follows them; in fp32 it stays, since another count rounds otherwise.
    """
    if threads is not None and threads > 4 * (os.cpu_count() or 1):
        raise UsageError(
            f"{threads} threads on {os.cpu_count()} cores", fix="Leave --threads out to use every core"
        )
    if torch.cuda.is_available():
        dtype = torch.float32 if precision == "fp32" else torch.bfloat16
        counts.fix(threads or torch.get_num_threads())
        name = torch.cuda.get_device_name()
        return Device(torch.device("cuda"), dtype, torch.get_num_threads(), f"{name}, {_name(dtype)}")
    if threads is None:
        reason = counts.fit()
    else:
        counts.fix(threads)
        reason = ""
    dtype, why = _on_cpu(precision)
    if threads is None and dtype is torch.bfloat16:
        counts.follow()
    words = f"CPU, {counts.counted(torch.get_num_threads())}, {_name(dtype)}{why}"
    words += f"; {reason}" if reason else ""
    return Device(torch.device("cpu"), dtype, torch.get_num_threads(), words)


def _on_cpu(precision: Precision) -> tuple[torch.dtype, str]:
    """The number format for a CPU and why."""
    keep_freed_memory()
    keep_few_kernels()
    if precision == "bf16":
        return torch.bfloat16, " as asked"
    use_exact_fp32()
    if precision == "fp32":
        return torch.float32, " as asked"
    fast, slow = _rate(torch.bfloat16), _rate(torch.float32)
    rates = f": bf16 multiplies at {fast:.0f} GFLOP/s here, fp32 at {slow:.0f}"
    return torch.bfloat16 if fast > 1.2 * slow else torch.float32, rates


def use_exact_fp32() -> bool:
    """Let oneDNN multiply fp32 matrices if that is as exact as the default; returns whether it does now.

    On many processors that is faster. The switch that does it also allows oneDNN to round to bf16 on
    processors made for that, so the error against fp64 decides. That error is the same in every run on a
    machine; a measured time is not, and a run that continues must compute what it computed before.
    """
    backend: Any = torch.backends.mkldnn
    if not backend.is_available():
        return False
    switch = backend.matmul
    switch.fp32_precision = "none"
    error = _error()
    switch.fp32_precision = "bf16"
    if _error() <= 3 * error:
        return True
    switch.fp32_precision = "none"
    return False


def keep_freed_memory(largest: int = 1 << 30) -> bool:
    """Tell glibc to keep freed memory for the next tensor; returns whether it could be told.

    Otherwise each large tensor is fresh memory, and the first touch of each of its pages costs a fault. From
    `largest` bytes on tensors are fresh memory all the same: they leave no holes that are too small for
    others.
    """
    try:
        libc = ctypes.CDLL(None)
        return bool(libc.mallopt(_MMAP_THRESHOLD, largest) and libc.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))
    except (OSError, AttributeError, TypeError):  # another C library
        return False


def keep_few_kernels(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let oneDNN, and torch's own cache in front of it, keep what they make for the sizes of a step, not of
    every step so far: about 10 MB a step each.

    Both read this once, at their first product. What the user has set stays.
    """
    for name, value in _KERNELS.items():
        environ.setdefault(name, value)


def _error() -> float:
    """Relative error of fp32 products against fp64: a linear layer and its gradient."""
    draw = torch.Generator().manual_seed(0)
    x, w, dy = (torch.randn(s, generator=draw) for s in ((256, 576), (1536, 576), (256, 1536)))
    pairs = (
        (linear(x, w), linear(x.double(), w.double())),
        (dy @ w, dy.double() @ w.double()),
        (dy.T @ x, dy.double().T @ x.double()),
    )
    return max(float((a.double() - b).norm() / b.norm()) for a, b in pairs)


def _rate(dtype: torch.dtype) -> float:
    """GFLOP/s of a linear layer of the usual shape, best of a few runs in about 25 ms."""
    x, w = torch.randn(256, 576).to(dtype), torch.randn(1536, 576).to(dtype)
    linear(x, w)
    best, end = float("inf"), time.perf_counter() + 0.025
    while time.perf_counter() < end:
        start = time.perf_counter()
        linear(x, w)
        best = min(best, time.perf_counter() - start)
    return 2 * 256 * 576 * 1536 / best / 1e9


def _name(dtype: torch.dtype) -> str:
    return "bf16" if dtype is torch.bfloat16 else "fp32"
