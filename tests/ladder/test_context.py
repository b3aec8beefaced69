"""What a rung is given."""

from __future__ import annotations

from dataclasses import replace

from contexts import context_of
from rung.config import make_settings
from rung.ladder.plan import Plan
from rung.ladder.prepare import Prepared

PLAN = Plan(
    quotes=(),
    dev_rows=5,
    test_rows=7,
    train_rows=9,
    epochs=1.5,
    step_tokens=200,
    pack_tokens=256,
    budget=None,
    setup_seconds=0.0,
    precision="fp32",
)


def test_the_base_is_loaded_on_first_use_and_once(prepared: Prepared) -> None:
    loads: list[int] = []

    def load() -> Prepared:
        loads.append(1)
        return prepared

    context = context_of(prepared, load=load)
    assert loads == []
    assert context.prepared is context.prepared is prepared
    assert loads == [1]


def test_a_plan_settles_the_rows_that_every_rung_is_measured_on(prepared: Prepared) -> None:
    context = context_of(prepared)
    context.settle(PLAN)
    parts = context.split
    assert (len(parts.dev), len(parts.test)) == (5, 7)
    assert set(parts.test) < set(prepared.split.test)
    assert parts.train == prepared.split.train
    assert (context.size, context.pack_tokens, context.plan) == (PLAN.size, 256, PLAN)
    again = context_of(prepared)
    again.settle(replace(PLAN, test_rows=9))
    assert set(parts.test) < set(again.split.test)


def test_texts_for_forgetting_are_made_only_where_they_are_wanted(prepared: Prepared) -> None:
    assert context_of(prepared, forgetting=False).texts == ()
    context = context_of(prepared)
    assert context.texts
    assert context.work.general_tokens == sum(len(one.prompt) + len(one.written) for one in context.texts)


def test_speeds_are_those_of_this_machine(prepared: Prepared) -> None:
    context = context_of(replace(prepared, settings=make_settings({"base": "tiny"})))
    del context.speeds
    assert context.speeds.prefill > 0


def test_other_train_rows_are_read_again_and_the_plan_stays(prepared: Prepared) -> None:
    context = context_of(prepared)
    context.settle(PLAN)
    speeds, before = context.speeds, context.work
    few = replace(prepared.split, train=prepared.split.train[:30])
    context.load = lambda: replace(prepared, split=few)
    context.learn_from(few)
    assert context.prepared.split == context.whole == few
    assert len(context.split.dev) == PLAN.dev_rows
    assert context.split.train == few.train
    assert context.speeds is speeds
    assert context.work is not before
