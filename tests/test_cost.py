"""Seconds, bytes and money: what is unknown stays unknown."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rung import cost
from rung.errors import ResourceError


def test_money_is_hours_times_price() -> None:
    assert cost.money(1800, 3.0) == 1.5
    assert cost.money(1800, 0.0) == 0.0


@pytest.mark.parametrize(("seconds", "price"), [(None, 3.0), (10.0, None), (None, None)])
def test_unknown_is_not_zero(seconds: float | None, price: float | None) -> None:
    assert cost.money(seconds, price) is None


def test_stopwatch_goes_on_from_what_was_used_before(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(cost, "time", SimpleNamespace(monotonic=lambda: clock.now))
    watch = cost.Stopwatch(before=5.0)
    clock.now += 2.5
    assert watch.seconds == 7.5


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_peak_memory_sees_what_was_used_and_given_back() -> None:
    peak = cost.PeakMemory()
    peak.reset()
    before = peak.bytes
    block = bytearray(b"\x01") * (64 << 20)
    del block
    after = peak.bytes
    assert before is not None
    assert after is not None
    assert after - before > 32 << 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_reset_forgets_an_earlier_peak() -> None:
    peak = cost.PeakMemory()
    block = bytearray(b"\x01") * (64 << 20)
    del block
    before = peak.bytes
    if not os.access(cost._REFS, os.W_OK):
        pytest.skip("this system does not let a process reset its mark")
    peak.reset()
    after = peak.bytes
    assert before is not None
    assert after is not None
    assert before - after > 32 << 20


def test_without_proc_the_process_mark_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cost, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(cost, "_REFS", tmp_path / "none" / "none")
    peak = cost.PeakMemory()
    peak.reset()
    assert peak.bytes == cost._maxrss()
    assert (peak.bytes or 0) > 1 << 20


def test_too_little_disk_says_both_numbers_and_a_way_out() -> None:
    cost.require_disk(10**9, 10**9, "runs/a")
    with pytest.raises(ResourceError, match=r"runs/a: .*2\.5 GB of disk, 1\.0 GB are free.*--output"):
        cost.require_disk(2_500_000_000, 10**9, "runs/a")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say")
def test_resident_memory_grows_with_what_is_held() -> None:
    before = cost.resident()
    held = bytearray(b"x") * (64 << 20)
    after = cost.resident()
    assert before is not None
    assert after is not None
    assert after - before > len(held) // 2
