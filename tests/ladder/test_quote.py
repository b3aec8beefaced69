"""Timing a few real steps."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from rung.config import make_settings
from rung.ladder import quote
from rung.ladder.prepare import Prepared
from rung.ladder.quote import Timing, method_settings, training_memory
from tiny_model import copy_of, same_bytes


def test_measuring_leaves_the_model_as_it_was(prepared: Prepared) -> None:
    model = prepared.base.model
    before = copy_of(model)
    rates = Timing(prepared, pack_tokens=256)
    speeds = [rates.prefill, rates.decode]
    speeds += [rates.train[method].tokens_per_second for method in ("lora", "full")]
    assert same_bytes(before, copy_of(model))
    assert not model.training
    assert not any(weight.requires_grad or weight.grad is not None for weight in model.parameters())

    assert list(rates.train) == ["lora", "full"]
    assert all(math.isfinite(speed) and speed > 0 for speed in speeds)
    assert rates.train["full"].parameters == sum(weight.numel() for weight in model.parameters())
    linear = [m for m in model.modules() if type(m).__name__ == "Linear"]
    adapted = sum(8 * (m.in_features + m.out_features) for m in linear if m is not model.lm_head)
    assert rates.train["lora"].parameters == adapted


def test_no_method_is_timed_that_is_not_asked_for(prepared: Prepared) -> None:
    assert Timing(prepared, pack_tokens=64).train == {}


def test_a_speed_is_measured_once(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    timing = Timing(prepared, pack_tokens=64)
    first = (timing.prefill, timing.decode, timing.train["lora"])
    monkeypatch.setattr(quote, "_best", lambda _: 1 / 0)
    assert (timing.prefill, timing.decode, timing.train["lora"]) == first


def test_a_method_that_fails_to_train_is_taken_off(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = copy_of(prepared.base.model)

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(quote, "pack_loss", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        quote._train_rate(prepared, "lora", quote._sample(prepared, 100), 100)
    assert same_bytes(before, copy_of(prepared.base.model))


@pytest.mark.parametrize("pack_tokens", [1, 100, 1024])
def test_the_sample_fills_one_pack(prepared: Prepared, pack_tokens: int) -> None:
    rows = quote._sample(prepared, pack_tokens)
    sizes = [len(row.ids) for row in rows]
    following = prepared.rendered[prepared.split.train[len(rows)].id]
    assert rows
    assert len(rows) == 1 or sum(sizes) <= pack_tokens
    assert sum(sizes) + len(following.ids) > pack_tokens


def test_a_method_reads_the_users_settings(prepared: Prepared) -> None:
    asked = make_settings({"rank": 3, "alpha": 5, "rslora": True, "targets": "q_proj", "seed": 9})
    s = method_settings(replace(prepared, settings=asked))
    assert (s.rank, s.alpha, s.rslora, s.targets, s.seed) == (3, 5.0, True, ("q_proj",), 9)


def test_memory_grows_by_sixteen_bytes_a_parameter_and_with_the_pack(prepared: Prepared) -> None:
    few = training_memory(prepared, parameters=1000, pack_tokens=512)
    assert training_memory(prepared, parameters=1001, pack_tokens=512) - few == 16
    assert training_memory(prepared, parameters=1000, pack_tokens=1024) > few
    weights = 4 * sum(weight.numel() for weight in prepared.base.model.parameters())
    assert few > weights
