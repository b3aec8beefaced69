"""Counts the prompts that a base reads."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rung.generate import cache


def count_readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From now on the number of prompts of every reading is added to this list."""
    read: list[int] = []
    real = cache._passes

    def counting(tails: Sequence[Sequence[int]]) -> object:
        read.append(len(tails))
        return real(tails)

    monkeypatch.setattr(cache, "_passes", counting)
    return read
