"""The choice of device and number format follows the probe and says why."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from rung import device, threads
from rung.errors import UsageError


@pytest.fixture(autouse=True)
def _cpu_with_its_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    yield
    torch.set_num_threads(before)


def rates(monkeypatch: pytest.MonkeyPatch, bf16: float, fp32: float) -> None:
    monkeypatch.setattr(device, "_rate", lambda dtype: bf16 if dtype is torch.bfloat16 else fp32)


def test_the_faster_format_is_taken_and_both_rates_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    rates(monkeypatch, 300, 100)
    chosen = device.choose()
    assert (chosen.dtype, chosen.precision) == (torch.bfloat16, "bf16")
    assert "300 GFLOP/s" in chosen.why
    assert "100" in chosen.why


@pytest.mark.parametrize("bf16", [20.0, 110.0])
def test_fp32_is_kept_where_bf16_is_slow_or_hardly_faster(
    monkeypatch: pytest.MonkeyPatch, bf16: float
) -> None:
    rates(monkeypatch, bf16, 100)
    chosen = device.choose()
    assert (chosen.dtype, chosen.precision) == (torch.float32, "fp32")


@pytest.mark.parametrize(("asked", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_what_is_asked_is_used_without_a_probe(
    monkeypatch: pytest.MonkeyPatch, asked: device.Precision, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(device, "_rate", lambda dtype: pytest.fail("probed"))
    chosen = device.choose(asked)
    assert chosen.dtype is dtype
    assert chosen.device.type == "cpu"
    assert "as asked" in chosen.why


def test_threads_are_set_and_counted() -> None:
    assert device.choose("fp32", threads=1).threads == 1
    assert torch.get_num_threads() == 1


def test_the_count_follows_others_in_bf16_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """In fp32 another number of threads would round otherwise; a number that was asked for stays."""
    here = threads.Threads(
        lambda: 2, lambda count: None, lambda: threads.Seen(0, 0, 0, 2), sleep=lambda _: None
    )
    for name in ("fix", "fit", "follow"):
        monkeypatch.setattr(threads, name, getattr(here, name))
    device.choose("bf16")
    assert here.describe()["threads_follow"] == "at most 2"
    device.choose("fp32")
    assert "threads_follow" not in here.describe()
    device.choose("bf16", threads=2)
    assert "threads_follow" not in here.describe()


def test_why_there_are_fewer_threads_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "fit", lambda: "1 thread instead of 2: other processes use 1.0 of 2 cores")
    assert device.choose("fp32").why.endswith(
        "as asked; 1 thread instead of 2: other processes use 1.0 of 2 cores"
    )


def test_far_too_many_threads_are_refused() -> None:
    before = torch.get_num_threads()
    with pytest.raises(UsageError, match="threads on"):
        device.choose("fp32", threads=4 * (os.cpu_count() or 1) + 1)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("asked", "dtype"), [("auto", torch.bfloat16), ("fp32", torch.float32)])
def test_a_gpu_is_taken_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, asked: device.Precision, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    chosen = device.choose(asked)
    assert (chosen.device.type, chosen.dtype) == ("cuda", dtype)
    assert "Some GPU" in chosen.why


def test_the_probe_measures_both_formats() -> None:
    assert device._rate(torch.float32) > 0
    assert device._rate(torch.bfloat16) > 0


def test_fp32_products_stay_exact_whatever_multiplies_them() -> None:
    switch: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = switch.fp32_precision
    try:
        assert device.use_exact_fp32() == (switch.fp32_precision == "bf16")
        x, w = (torch.randn(s, generator=torch.Generator().manual_seed(1)) for s in ((200, 500), (300, 500)))
        exact = x.double() @ w.double().T
        assert float(((x @ w.T).double() - exact).norm() / exact.norm()) < 1e-6
    finally:
        switch.fp32_precision = before


def test_the_switch_goes_back_where_products_would_be_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    switch: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = switch.fp32_precision
    errors = iter([3e-7, 2e-3])
    monkeypatch.setattr(device, "_error", lambda: next(errors))
    try:
        assert device.use_exact_fp32() is False
        assert switch.fp32_precision == "none"
    finally:
        switch.fp32_precision = before


def test_freed_memory_is_kept_where_the_c_library_is_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.keep_freed_memory() == (platform.libc_ver()[0] == "glibc")

    def none(name: object) -> object:
        raise OSError

    monkeypatch.setattr(device.ctypes, "CDLL", none)
    assert device.keep_freed_memory() is False


def test_few_kernels_are_kept_unless_the_user_says_how_many() -> None:
    environ: dict[str, str] = {}
    device.keep_few_kernels(environ)
    assert environ == {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128", "LRU_CACHE_CAPACITY": "48"}
    environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = "9"
    device.keep_few_kernels(environ)
    assert environ == {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "9", "LRU_CACHE_CAPACITY": "48"}
