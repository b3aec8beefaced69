"""Timing real work of each kind, within an allowance; the clock is made up where time matters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contexts import SLOW, context_of
from rung.config import make_settings
from rung.ladder import quote
from rung.ladder.forecast import Rates
from rung.ladder.options import settings_of
from rung.ladder.prepare import Prepared
from rung.ladder.quote import Allowance, Timed, Timing, repeated
from tiny_model import copy_of, same_bytes


class Clock:
    """Shows the seconds that work is said to take."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: Iterator[float]) -> Callable[[], None]:
        def go() -> None:
            self.now += next(seconds)

        return go


def timing_of(prepared: Prepared, allowance: Allowance | None = None, **more: Any) -> Timing:
    context = context_of(prepared)
    return Timing(
        prepared,
        context.work,
        context.texts,
        pack_tokens=256,
        step_tokens=more.pop("step_tokens", 100),
        allowance=allowance or Allowance(None),
        **more,
    )


def test_measuring_leaves_the_model_as_it_was(prepared: Prepared) -> None:
    model = prepared.base.model
    before = copy_of(model)
    rates = timing_of(prepared)
    speeds = [rates.prefill, rates.decode, rates.score]
    speeds += [rates.train[method].tokens_per_second for method in ("lora", "full")]
    speeds += [rates.train[method].forget_seconds for method in ("lora", "full")]
    assert same_bytes(before, copy_of(model))
    assert not model.training
    assert not any(weight.requires_grad or weight.grad is not None for weight in model.parameters())

    assert list(rates.train) == ["lora", "full"]
    assert all(math.isfinite(speed) and speed > 0 for speed in speeds)
    assert rates.train["full"].parameters == sum(weight.numel() for weight in model.parameters())
    linear = [m for m in model.modules() if type(m).__name__ == "Linear"]
    adapted = sum(8 * (m.in_features + m.out_features) for m in linear if m is not model.lm_head)
    assert rates.train["lora"].parameters == adapted // 2  # the top half of the layers
    assert rates.rates().train == dict(rates.train)


def test_no_method_is_timed_that_is_not_asked_for(prepared: Prepared) -> None:
    assert timing_of(prepared).train == {}


def test_a_speed_is_measured_once_and_what_is_known_never(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    timing = timing_of(prepared)
    first = (timing.prefill, timing.decode, timing.score, timing.train["lora"])
    monkeypatch.setattr(quote, "repeated", lambda *_: 1 / 0)
    monkeypatch.setattr(quote.Trainer, "steps", lambda *_: 1 / 0)
    assert (timing.prefill, timing.decode, timing.score, timing.train["lora"]) == first
    assert timing_of(prepared, known=SLOW).rates() == SLOW
    with pytest.raises(ZeroDivisionError):
        timing_of(prepared, known=Rates(1.0, 1.0)).train["lora"]


def test_a_speed_that_nothing_asks_for_is_not_measured(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    timing = timing_of(prepared)
    read = timing.prefill
    monkeypatch.setattr(quote, "repeated", lambda *_: 1 / 0)
    known = timing.slower(1.0, 2.0).rates()
    assert (known.prefill, known.decode, known.score) == (read / 2, 0.0, 0.0)
    with pytest.raises(ZeroDivisionError):
        timing_of(prepared, known=known).decode  # noqa: B018


def test_a_slower_machine_keeps_what_was_timed(prepared: Prepared) -> None:
    timing = timing_of(prepared, known=SLOW)
    assert timing.slower(2.0, 4.0).rates() == SLOW.slower(2.0, 4.0)


def test_a_method_that_fails_to_train_is_taken_off(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = copy_of(prepared.base.model)

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(quote.Trainer, "steps", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        timing_of(prepared).train["lora"]
    assert same_bytes(before, copy_of(prepared.base.model))


def test_the_user_hears_what_is_timed(prepared: Prepared) -> None:
    class Hearing(quote.Silent):
        said: list[str] = []  # noqa: RUF012

        def begin(self, rung: str, phase: str) -> None:
            self.said.append(phase)

    timing = timing_of(prepared, watcher=Hearing())
    assert timing.train["lora"].tokens_per_second > 0
    assert timing.score > 0
    assert sorted(Hearing.said) == [
        "timing: choosing among labels",
        "timing: reading prompts",
        "timing: training with LoRA",
    ]


# --- the allowance ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "seconds", "runs"),
    [
        ([1.0, 1.1], 1.05, 2),  # they agree
        ([1.0, 9.0, 1.0, 1.2, 1.1], 1.1, 5),  # one was disturbed: the median
        ([5.0, 5.0], 5.0, 2),
    ],
)
def test_work_is_repeated_where_times_lie_apart(times: list[float], seconds: float, runs: int) -> None:
    clock = Clock()
    left = iter(times)
    timed = repeated(clock.work(left), Allowance(100.0, clock), first=1.0)
    assert timed.seconds == pytest.approx(seconds)
    assert len(times) - len(list(left)) == runs


def test_work_that_is_slow_is_not_repeated_past_the_allowance() -> None:
    clock = Clock()
    allowance = Allowance(10.0, clock)
    assert repeated(clock.work(iter([6.0])), allowance, first=1.0) == Timed(6.0, 0.0)
    assert repeated(clock.work(iter([])), allowance, first=7.0).seconds == 7.0
    assert allowance.left == 4.0


def test_rows_follow_from_the_allowance() -> None:
    assert Allowance(None).rows(5.0, 2, 64) == 64
    assert Allowance(100.0).rows(0.5, 2, 64) == 16
    assert Allowance(100.0).rows(100.0, 2, 64) == 2


def test_steps_end_with_the_allowance(prepared: Prepared) -> None:
    """However slow the machine is, one step is taken; it is the only one where nothing is left."""
    ticks = iter(range(10**6))
    allowance = Allowance(20.0, lambda: float(next(ticks)))  # every look at the clock takes a second
    timing = timing_of(prepared, allowance, known=Rates(1000.0, 100.0))
    allowance.used = 21.0
    steps: list[Any] = []
    real = quote.Trainer.steps

    def counted(self: Any, clock: Any) -> Any:
        for step in real(self, clock):
            steps.append(step)
            yield step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quote.Trainer, "steps", counted)
        rate = timing.train["lora"]
    assert len(steps) == 1
    assert rate.forget_seconds == 3.0 / 1000.0
    assert rate.tokens_per_second == steps[0].tokens / steps[0].passes


def test_what_is_expensive_is_guessed_where_nothing_is_left(prepared: Prepared) -> None:
    allowance = Allowance(10.0)
    timing = timing_of(prepared, allowance)
    lora, reading = timing.train["lora"], timing.prefill
    allowance.used = 10.0
    assert timing.decode == pytest.approx(0.3 * reading)
    assert timing.score == pytest.approx(3 * timing.work.tail_tokens / reading)
    assert timing.spread >= 0.5
    full = timing.train["full"]
    assert full.tokens_per_second == 0.6 * lora.tokens_per_second
    assert full.spread == 0.5
    assert full.parameters == sum(weight.numel() for weight in prepared.base.model.parameters())


@pytest.mark.parametrize("tokens", [1, 100, 1024])
def test_the_sample_fills_one_step(prepared: Prepared, tokens: int) -> None:
    rows = quote._sample(prepared, "lora", tokens)
    sizes = [len(row.ids) for row in rows]
    following = prepared.rendered[prepared.split.train[len(rows)].id]
    assert rows
    assert len(rows) == 1 or sum(sizes) <= tokens
    assert sum(sizes) + len(following.ids) > tokens


def test_a_method_reads_the_users_settings(prepared: Prepared) -> None:
    asked = make_settings({"rank": 3, "alpha": 5, "rslora": True, "targets": "q_proj", "seed": 9})
    s = settings_of(asked, "lora")
    assert (s.rank, s.alpha, s.rslora, s.targets) == (3, 5.0, True, ("q_proj",))
