"""Every method through one suite: what it declares and what all of them promise."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from attaching import attach, labelled, loss_of
from bridged import RUN, SMALL
from passing import logits_of
from rung import storage
from rung.compute import body
from rung.compute.body import depth
from rung.compute.ends import ends
from rung.compute.linears import writable
from rung.compute.names import replace
from rung.compute.quantized import quantize
from rung.errors import AdapterError, BaseModelError, UsageError
from rung.methods import METHODS
from rung.methods.adapter import Adapter
from rung.methods.head import Classifies
from rung.methods.method import Attached, Method
from rung.methods.origin import Home
from rung.methods.peft_format import files_of, read_adapter
from rung.methods.slots import ONLY, slots_of
from rung.methods.targets import linear_layers
from rung.train.trainer import Trainer, TrainSettings
from tiny_model import copy_of, distance, gradients, random_rows, same_bytes, shake, tiny_model
from training import Killed, make, without_time

IDS = [5, 7, 9, 11, 13, 5, 17]
OPTIONS = {"rank": 4, "alpha": 8.0, "length": 5, "size": 4}
DTYPES = [torch.float32, torch.bfloat16]


# Of PEFT's methods, unless RUNG_EVERY_METHOD asks for all; the bridge's own tests try every one of them.
SOME = RUN if os.environ.get("RUNG_EVERY_METHOD") else ("vera", "oft", "ln_tuning", "loha", "lokr", "vblora")
BOTH = ("vera", "ln_tuning", "vblora")  # in bf16 too
CASES = [
    *((name, dtype) for name in METHODS for dtype in DTYPES),
    *((f"peft:{kind}", dtype) for kind in SOME for dtype in (DTYPES if kind in BOTH else DTYPES[:1])),
]


@pytest.fixture(params=CASES, ids=[f"{name}-{str(dtype)[6:]}" for name, dtype in CASES])
def case(request: pytest.FixtureRequest) -> tuple[str, torch.dtype]:
    found: tuple[str, torch.dtype] = request.param
    return found


@pytest.fixture
def method(case: tuple[str, torch.dtype]) -> Method:
    return METHODS[case[0]]


@pytest.fixture
def model(case: tuple[str, torch.dtype]) -> PreTrainedModel:
    return tiny_model(dtype=case[1])


@torch.no_grad()
def logits(model: PreTrainedModel) -> Tensor:
    """Of the next tokens; where a head is on, its logits of the labels stand behind them."""
    written = logits_of(model, [IDS])[0].flatten()
    held: Any = slots_of(model).held
    if not isinstance(held, Classifies):
        return written
    return torch.cat([written, held.head.logits(ends(model, [tuple(IDS)])).flatten()])


def put(method: Method, model: PreTrainedModel, slot: str = ONLY) -> Attached:
    return attach(method.name, model, slot=slot, **OPTIONS | SMALL.get(method.name, {}))


def trained(method: Method, model: PreTrainedModel, seed: int = 1, slot: str = ONLY) -> Attached:
    """The method on the model, moved away from its start as training would."""
    attached = put(method, model, slot)
    shake(attached.parameters(), seed)
    attached.updated()
    return attached


def test_identity_at_start_is_as_declared(method: Method, model: PreTrainedModel) -> None:
    before, promised = logits(model), method.promises.identity_at_start
    put(method, model)
    if promised is None:
        assert distance(logits(model), before) < (1e-5 if model.dtype == torch.float32 else 0.05)
    else:
        assert torch.equal(logits(model), before) is promised


def test_only_its_own_parameters_get_gradients(method: Method, model: PreTrainedModel) -> None:
    model.requires_grad_(True)  # the model may come unfrozen
    attached = trained(method, model)
    own = attached.parameters()
    loss_of(attached, model, random_rows(4)).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and bool(p.grad.any()) for p in own)
    others = [name for name, p in model.named_parameters() if p.grad is not None and not _among(p, own)]
    assert others == []


def _among(parameter: Tensor, own: list[torch.nn.Parameter]) -> bool:
    return any(parameter is one for one in own)


def test_parameters_are_wide_and_in_a_fixed_order(method: Method, model: PreTrainedModel) -> None:
    attached = put(method, model)
    first, again = attached.parameters(), attached.parameters()
    assert first
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert {p.dtype for p in first} == {torch.float32}
    assert len({id(p) for p in first}) == len(first)


def test_every_parameter_has_its_share_of_the_learning_rate(method: Method, model: PreTrainedModel) -> None:
    attached = put(method, model)
    own = attached.parameters()
    slower = getattr(attached.settings, "head_rate", 1.0)
    of_a_head = [parameter is own[-1] and method.classifies for parameter in own]
    assert attached.rates() == [slower if head else 1.0 for head in of_a_head]
    assert 0 <= attached.frozen_layers() <= depth(model)
    assert (attached.frozen_layers() == depth(model)) is not method.promises.moves_base


def test_training_changes_the_answers(method: Method, model: PreTrainedModel) -> None:
    attached = put(method, model)
    before = logits(model)
    shake(attached.parameters())
    attached.updated()
    assert distance(logits(model), before) > 0.01


def test_what_the_base_writes_changes_as_declared(method: Method, model: PreTrainedModel) -> None:
    before = logits(model)
    trained(method, model)
    written = logits(model)[: len(before)]
    assert torch.equal(written, before) is not method.promises.moves_base


def test_it_learns_labels_as_declared(method: Method, model: PreTrainedModel) -> None:
    assert isinstance(put(method, model), Classifies) is method.classifies
    if method.classifies:
        with pytest.raises(UsageError, match="no labels"):
            method.attach(tiny_model(), method.make({}))
        with pytest.raises(UsageError, match="a label twice"):
            method.attach(tiny_model(), method.make({"labels": ("one", "one")}))


def test_a_state_is_a_copy(method: Method, model: PreTrainedModel) -> None:
    attached = trained(method, model)
    state = attached.state()
    kept = {name: value.clone() for name, value in state.items()}
    shake(attached.parameters(), seed=2)
    attached.updated()
    assert same_bytes(state, kept)
    assert not same_bytes(attached.state(), kept)


def test_state_and_back_is_bit_equal(method: Method, model: PreTrainedModel) -> None:
    attached = trained(method, model)
    state, answers = attached.state(), logits(model)
    other = tiny_model(dtype=model.dtype)
    fresh = trained(method, other, seed=3)
    fresh.load(state)
    assert same_bytes(fresh.state(), state)
    assert torch.equal(logits(other), answers)


def test_a_state_without_one_tensor_is_refused_untouched(method: Method, model: PreTrainedModel) -> None:
    attached = trained(method, model)
    state = attached.state()
    wrong = {name: value + 1 for name, value in list(state.items())[:-1]}
    with pytest.raises(AdapterError):
        attached.load(wrong)
    assert same_bytes(attached.state(), state)


def test_a_state_with_a_tensor_too_many_is_refused_untouched(method: Method, model: PreTrainedModel) -> None:
    attached = trained(method, model)
    state = attached.state()
    with pytest.raises(AdapterError, match="such as stranger"):
        attached.load({**{name: value + 1 for name, value in state.items()}, "stranger": torch.zeros(1)})
    assert same_bytes(attached.state(), state)


def test_a_state_of_another_shape_is_refused_untouched(method: Method, model: PreTrainedModel) -> None:
    """The last tensor is wrong: those before it must not have been copied."""
    attached = trained(method, model)
    state = attached.state()
    last = list(state)[-1]
    wrong = {name: value + 1 for name, value in state.items()} | {last: state[last].new_zeros(3, 3, 3)}
    with pytest.raises(AdapterError, match="shape"):
        attached.load(wrong)
    assert same_bytes(attached.state(), state)


def test_its_change_can_be_scaled_as_declared(method: Method, model: PreTrainedModel) -> None:
    """At 0 it is the base, at 1 itself, and half of it lies in between; the state stays as it is."""
    before = logits(model)
    attached = trained(method, model)
    state, whole = attached.state(), logits(model)
    kept = {name: value.clone() for name, value in state.items()}
    if not method.promises.scalable:
        with pytest.raises(UsageError, match="cannot be scaled"):
            attached.load_scaled(state, 0.5)
        assert torch.equal(logits(model), whole)
        return
    attached.load_scaled(state, 0.0)
    assert distance(logits(model), before) < (1e-5 if model.dtype == torch.float32 else 0.05)
    attached.load_scaled(state, 0.5)
    half = logits(model)
    assert 0 < distance(half, before) < distance(whole, before)
    assert not torch.equal(half, whole)
    attached.load_scaled(state, 1.0)
    assert torch.equal(logits(model), whole)
    assert same_bytes(state, kept)


def test_disabled_is_the_plain_base_and_ends(method: Method, model: PreTrainedModel) -> None:
    before = logits(model)
    attached = trained(method, model)
    after = logits(model)
    with attached.disabled():
        assert torch.equal(logits(model), before)
    assert torch.equal(logits(model), after)
    with pytest.raises(ZeroDivisionError), attached.disabled():
        raise ZeroDivisionError
    assert torch.equal(logits(model), after)


def test_training_goes_on_after_disabled(method: Method) -> None:
    model, other = tiny_model(), tiny_model()
    attached, plain = trained(method, model), trained(method, other)
    with attached.disabled():
        logits(model)
    for one, its in ((model, attached), (other, plain)):
        loss_of(its, one, random_rows(3)).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for parameter in its.parameters():
                assert parameter.grad is not None
                parameter.sub_(0.01 * parameter.grad)
        its.updated()
    assert torch.equal(logits(model), logits(other))


def test_detach_restores_the_base_bit_for_bit(method: Method, model: PreTrainedModel) -> None:
    before, modules = copy_of(model), [type(m) for m in model.modules()]
    trained(method, model).detach()
    assert same_bytes(copy_of(model), before)
    assert [type(m) for m in model.modules()] == modules


def test_another_can_be_attached_after_detach(method: Method, model: PreTrainedModel) -> None:
    first = trained(method, model)
    answers = logits(model)
    first.detach()
    trained(method, model)
    assert torch.equal(logits(model), answers)


@pytest.mark.parametrize("first_off", ["a", "b"])
def test_two_adapters_do_not_touch_each_other(method: Method, model: PreTrainedModel, first_off: str) -> None:
    before, modules = copy_of(model), [type(m) for m in model.modules()]
    plain = logits(model)
    held = {"a": trained(method, model, seed=1, slot="a")}
    answers = {"a": logits(model)}
    held["b"] = trained(method, model, seed=2, slot="b")
    answers["b"] = logits(model)
    alone = tiny_model(dtype=model.dtype)
    trained(method, alone, seed=2)
    assert torch.equal(answers["b"], logits(alone))
    slots = slots_of(model)
    for slot in ("a", "b", "a"):
        slots.use(slot)
        assert torch.equal(logits(model), answers[slot])
        with held[slot].disabled():
            assert torch.equal(logits(model), plain)
    left = "b" if first_off == "a" else "a"
    held[first_off].detach()
    slots.use(left)
    assert torch.equal(logits(model), answers[left])
    held[left].detach()
    assert same_bytes(copy_of(model), before)
    assert [type(m) for m in model.modules()] == modules
    assert not any(p.requires_grad for p in model.parameters())


def test_a_slot_is_taken_once(method: Method, model: PreTrainedModel) -> None:
    attached = trained(method, model)
    answers = logits(model)
    with pytest.raises(UsageError, match="is on this base already"):
        put(method, model)
    assert torch.equal(logits(model), answers)
    attached.detach()
    attached.detach()  # has nothing to do
    put(method, model)


def test_an_option_it_does_not_have_is_refused(method: Method) -> None:
    with pytest.raises(UsageError, match=f"{method.name} has no option 'no_such_option'"):
        method.make({"no_such_option": 1})


def test_merged_answers_as_unmerged(method: Method, model: PreTrainedModel) -> None:
    modules = [type(m) for m in model.modules()]
    attached = trained(method, model)
    answers = logits(model)
    if not method.promises.mergeable:
        with pytest.raises(UsageError, match=r"cannot be merged|does not merge"):
            attached.merge()
        assert torch.equal(logits(model), answers)
        return
    attached.merge()
    assert [type(m) for m in model.modules()] == modules
    assert distance(logits(model), answers) < (1e-5 if model.dtype == torch.float32 else 0.05)
    merged = copy_of(model)
    attached.detach()
    assert same_bytes(copy_of(model), merged)
    assert not any(p.requires_grad for p in model.parameters())


def test_its_files_hold_what_was_trained_and_where_it_is_from(
    method: Method, model: PreTrainedModel, tmp_path: Path
) -> None:
    attached = trained(method, model)
    storage.write_folder(
        tmp_path / "kept", files_of(Adapter.of(method, attached, {"method": method.name}), "some-base")
    )
    assert storage.read_json(tmp_path / "kept" / "rung.json") == {"method": method.name}
    assert (tmp_path / "kept" / "config.json").exists() is method.promises.whole_model
    (weights,) = (tmp_path / "kept").glob("*.safetensors")
    kept = sorted(load_file(weights).items())
    state = sorted(attached.state().items())
    assert len(kept) == len(state)
    for (name, tensor), (ending, wanted) in zip(kept, state, strict=True):
        assert name.endswith(ending)
        assert torch.equal(tensor, wanted)
    assert storage.as_json(attached.applied())


def test_over_weights_held_in_few_bits_it_is_what_it_is_over_the_same_in_full(method: Method) -> None:
    """Or it is refused and the model untouched, where that is declared."""
    model, full = tiny_model(), tiny_model()
    for one in (model, full):
        quantize(one, 4, "cpu")
    for name, layer in linear_layers(full).items():
        replace(full, name, writable(layer))
    before = copy_of(model)
    if not method.promises.few_bits:
        with pytest.raises(UsageError, match="held in 4 bits"):
            put(method, model)
        assert same_bytes(copy_of(model), before)
        return
    found = []
    for one in (model, full):
        attached = trained(method, one)
        loss_of(attached, one, random_rows(4)).backward()  # type: ignore[no-untyped-call]
        found.append(
            (attached, torch.cat([g.flatten() for g in gradients(attached.parameters())]), logits(one))
        )
    (attached, grads, answers), (_, other_grads, other_answers) = found
    assert distance(answers, other_answers) < 1e-5
    assert distance(grads, other_grads) < 1e-4
    attached.detach()
    assert same_bytes(copy_of(model), before)
    if method.promises.mergeable:
        trained(method, model).merge()
        assert distance(logits(model), answers) < 1e-5


def test_what_was_saved_answers_the_same_on_a_fresh_base(
    method: Method, model: PreTrainedModel, tmp_path: Path
) -> None:
    if method.promises.whole_model:
        pytest.skip(f"{method.name} declares that its files are a model")
    attached = trained(method, model)
    answers = logits(model)
    storage.write_folder(
        tmp_path / "kept", files_of(Adapter.of(method, attached, {"method": method.name}), "some-base")
    )
    adapter, _ = read_adapter(tmp_path / "kept", Home("some-base", "f", "t", "t"))
    assert adapter.method is method
    fresh = tiny_model(dtype=model.dtype)
    again = adapter.put(fresh)
    assert torch.equal(logits(fresh), answers)
    assert same_bytes(again.state(), attached.state())


def test_files_with_a_key_that_rung_does_not_know_are_refused(method: Method, tmp_path: Path) -> None:
    if method.promises.whole_model:
        pytest.skip(f"{method.name} declares that its files are a model")
    adapter = Adapter.of(method, put(method, tiny_model()), {"method": method.name})
    files = files_of(adapter, "some-base")
    config = files["adapter_config.json"]
    assert isinstance(config, bytes)
    files["adapter_config.json"] = json.dumps(json.loads(config) | {"no_such_key": 1}).encode()
    storage.write_folder(tmp_path / "kept", files)
    with pytest.raises(AdapterError, match="no_such_key"):
        read_adapter(tmp_path / "kept", Home("some-base", "f", "t", "t"))


PATHS = {"fused": ("rung", None), "interface": ("rung", "for a test"), "plain": ("eager", "for a test")}


def on_path(path: str, model: PreTrainedModel) -> PreTrainedModel:
    attention, why = PATHS[path]
    model.set_attn_implementation(attention)
    body.refuse(model, why)
    return model


@pytest.mark.parametrize("path", PATHS)
def test_rows_read_together_are_those_rows_alone_on_every_path(method: Method, path: str) -> None:
    """And the same on each; the rows have a beginning in common. Gradients too."""
    fused, model = tiny_model(), on_path(path, tiny_model())
    wanted = trained(method, fused)
    if path == "plain" and not method.promises.own_code:
        with pytest.raises(BaseModelError, match="LlamaForCausalLM"):
            put(method, model)
        assert slots_of(model).names == []
        return
    attached = trained(method, model)
    rows = [[*IDS, *IDS, 21, 22], [*IDS, *IDS, 23], [31, 32, 33]]
    for together, row in zip(logits_of(model, rows), rows, strict=True):
        assert distance(together, logits_of(model, [row])[0]) < 1e-5
        assert distance(together, logits_of(fused, [row])[0]) < 1e-5
    for one, its in ((model, attached), (fused, wanted)):
        loss_of(its, one, random_rows(4)).backward()  # type: ignore[no-untyped-call]
    for mine, its in zip(attached.parameters(), wanted.parameters(), strict=True):
        assert mine.grad is not None
        assert its.grad is not None
        assert distance(mine.grad, its.grad) < 1e-3


def test_a_tiny_task_is_learned(method: Method, model: PreTrainedModel) -> None:
    """With the method's own learning rate, or ten times that: the model is tiny, and there are few steps."""
    rows = labelled(random_rows(6, seed=7))
    enough = 0.95 if method.name.startswith("peft:") else 0.8  # some train a few numbers alone
    for times in (1, 10):
        attached = put(method, model)
        settings = TrainSettings(times * method.learning_rate, epochs=60, step_tokens=1000, evaluations=6)
        outcome = Trainer(model, attached, rows, rows, settings).run()
        attached.detach()
        if outcome.best_loss < enough * (outcome.curve[0].dev_loss or 0):
            return
    pytest.fail(f"{outcome.curve[0].dev_loss} fell to {outcome.best_loss} alone")


def test_a_run_that_continues_ends_with_the_same_bytes(method: Method, tmp_path: Path) -> None:
    same = {"name": method.name, "learning_rate": method.learning_rate, "checkpoint_seconds": 0.0}
    unbroken = make(**same)
    wanted = unbroken.go()
    with pytest.raises(Killed):
        make(tmp_path, **same).go(9)
    resumed = make(tmp_path, **same)
    outcome = resumed.go()
    assert any("continued from the checkpoint" in note for note in outcome.notes)
    assert without_time(outcome) == without_time(wanted)
    assert same_bytes(resumed.attached.state(), unbroken.attached.state())
    assert not same_bytes(resumed.attached.state(), put(method, tiny_model()).state())
