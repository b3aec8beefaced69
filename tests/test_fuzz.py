"""Damaged files are read or refused with an error of rung's own (`make fuzz` tries many more)."""

from __future__ import annotations

import pytest

from fuzz import READERS, inputs, try_reader

SLOW = {"tokenizer": 5, "adapter config": 40, "adapter weights": 40, "model config": 60}


@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_file_is_read_or_refused(reader: str) -> None:
    count = SLOW.get(reader, 100)
    tally = try_reader(reader, 1, lambda tried: tried < count)
    assert tally.findings == []
    assert tally.tried == count == tally.read + tally.refused
    assert tally.refused > 0


def test_a_reader_that_raises_something_else_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: object) -> None:
        raise KeyError(path)

    monkeypatch.setitem(READERS, "yaml", type(READERS["yaml"])("c.yaml", READERS["yaml"].seeds, fails))
    tally = try_reader("yaml", 1, lambda tried: tried < 3)
    assert len(tally.findings) == 3
    assert tally.findings[0].startswith("KeyError in test_fuzz.py")


def test_the_seed_fixes_every_input() -> None:
    first, again, other = inputs("csv", 1), inputs("csv", 1), inputs("csv", 2)
    same = [next(first) for _ in range(20)]
    assert same == [next(again) for _ in range(20)]
    assert same != [next(other) for _ in range(20)]
