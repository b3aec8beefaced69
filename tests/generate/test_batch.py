"""Rows with different adapters, decoded together: each says what it says where its adapter is alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch

from attaching import attach
from rung.bases.base import Base
from rung.compute import body
from rung.compute.by_row import ByRow, NotByRow
from rung.compute.load import tiny
from rung.compute.passes import Pass
from rung.errors import DataError, UsageError
from rung.generate import batch
from rung.generate.batch import Row
from rung.generate.engine import Engine, Generated
from rung.methods import METHODS
from rung.methods.slots import slots_of
from tiny_model import shake

STOPS = frozenset(range(20, 40))
Slots = Sequence[str | None]
SUMS = {"one": "lora", "two": "lora", "three": "lora"}
LINEAR = {"one": "lora", "two": "ia3", "three": "dora", "four": "bottleneck", "five": "peft:vera"}
ALL = {"one": "prompt", "two": "lora", "three": "prefix", "four": "full", "five": "bitfit", "six": "ia3"}


def put(base: Base, methods: dict[str, str]) -> None:
    """An adapter in every slot, away from its start."""
    for seed, (slot, name) in enumerate(methods.items()):
        attached = attach(name, base.model, slot=slot, seed=seed, rank=2 + seed, length=3, size=4)
        shake(attached.parameters(), seed)
        attached.updated()


def prompts_of(shared: int, slots: Slots, seed: int = 0) -> list[list[int]]:
    """Of every slot its own beginning, and 1 to 30 tokens of each row's own."""
    draw = random.Random(seed)
    starts = {slot: [draw.randrange(40, 259) for _ in range(shared)] for slot in slots}
    return [starts[slot] + [draw.randrange(40, 259) for _ in range(draw.randint(1, 30))] for slot in slots]


def alone(base: Base, prompts: Sequence[Sequence[int]], slots: Slots) -> list[Generated]:
    found = []
    for prompt, slot in zip(prompts, slots, strict=True):
        with slots_of(base.model).using(slot):
            found += Engine(base).generate([prompt], max_new_tokens=12, stop_ids=STOPS)
    return found


@pytest.mark.parametrize("methods", [SUMS, LINEAR, ALL], ids=["sums", "linear", "all"])
@pytest.mark.parametrize(("shared", "places"), [(0, 64), (0, 3), (20, 64), (70, 4)])
def test_every_row_says_what_it_says_alone(methods: dict[str, str], shared: int, places: int) -> None:
    base = tiny()
    put(base, methods)
    held = slots_of(base.model)
    held.use("two")
    slots: Slots = [*methods, None, *methods, "two", None]
    prompts = prompts_of(shared, slots)
    wanted = alone(base, prompts, slots)
    told: list[tuple[int, int]] = []
    found = Engine(base, places).generate(
        prompts,
        max_new_tokens=12,
        stop_ids=STOPS,
        slots=slots,
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert found == wanted
    assert len({answer.ids for answer in found}) > len(methods)  # they differ
    assert held.on == "two"
    assert told == sorted(told)
    assert told[-1] == (len(slots), len(slots))


@pytest.mark.parametrize("name", [*METHODS, "peft:oft", "peft:ln_tuning", "peft:lokr"])
def test_two_adapters_of_any_method_answer_their_own_rows(name: str) -> None:
    base = tiny()
    put(base, {"one": name, "two": name})
    slots: Slots = ["two", None, "one", "two"]
    prompts = prompts_of(20, slots)
    found = Engine(base).generate(prompts, max_new_tokens=12, stop_ids=STOPS, slots=slots)
    assert found == alone(base, prompts, slots)


def test_rows_of_linear_changes_are_decoded_in_common_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny()
    put(base, SUMS)
    slots = [*SUMS, None]
    prompts = prompts_of(20, slots)
    original, sizes = body.hidden_states, []

    def states(model: object, one: Pass) -> torch.Tensor:
        sizes.append(one.ids.shape)
        assert one.rows is not None
        return original(model, one)  # type: ignore[arg-type]

    monkeypatch.setattr(batch, "hidden_states", states)
    Engine(base).generate(prompts, max_new_tokens=5, stop_ids=(), slots=slots)
    assert sizes == [torch.Size([4, 1])] * 4


def test_a_base_that_does_not_tell_rows_apart_answers_one_adapter_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = tiny()
    put(base, SUMS)
    slots = [*SUMS, None, "one"]
    prompts = prompts_of(20, slots)
    wanted = alone(base, prompts, slots)
    original, tries = body.hidden_states, []

    def refusing(model: object, one: Pass) -> torch.Tensor:
        if one.rows is not None:
            tries.append(one)
            raise NotByRow("it does not")
        return original(model, one)  # type: ignore[arg-type]

    monkeypatch.setattr(batch, "hidden_states", refusing)
    found = Engine(base).generate(prompts, max_new_tokens=12, stop_ids=STOPS, slots=slots)
    assert found == wanted
    assert len(tries) == 1


def test_a_slot_that_is_not_there_and_a_wrong_number_of_slots_are_refused() -> None:
    base = tiny()
    put(base, SUMS)
    engine = Engine(base)
    with pytest.raises(UsageError, match=r"no slot is called 'four'\. There are: one, two, three"):
        engine.generate([[50], [51]], max_new_tokens=2, stop_ids=(), slots=["one", "four"])
    with pytest.raises(UsageError, match="1 slots for 2 prompts"):
        engine.generate([[50], [51]], max_new_tokens=2, stop_ids=(), slots=["one"])
    assert engine.generate([], max_new_tokens=2, stop_ids=(), slots=[]) == []


def test_what_an_adapter_puts_before_its_rows_takes_room_in_their_context_alone() -> None:
    base = tiny()
    put(base, {"one": "lora", "two": "prompt"})
    long = [50] * (base.context - 2)
    Engine(base).generate([long, [50]], max_new_tokens=2, stop_ids=(), slots=["one", "two"])
    with pytest.raises(DataError, match=f"prompt 2 of 2.*reads {base.context - 3} tokens"):
        Engine(base).generate([long, long], max_new_tokens=2, stop_ids=(), slots=["one", "two"])


def test_gradients_and_slots_of_rows_exclude_each_other() -> None:
    base = tiny()
    put(base, SUMS)
    rows = ByRow.spread(["one"], ["one"], [2], "cpu")
    one = Pass(torch.tensor([[50, 51]]), torch.tensor([[0, 1]]), batch.Decode(), rows=rows)
    with pytest.raises(ValueError, match="gradients"):
        body.hidden_states(base.model, one)


def test_a_row_can_begin_again() -> None:
    row = Row(0, (1, 2, 3), 4, shared=2, ids=[7], stop=9)
    assert row.done
    again = row.again()
    assert again is row
    assert (again.tail, again.ids, again.done) == ((1, 2, 3), [], False)
