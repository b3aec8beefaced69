"""Bottleneck adapters' own; what every method promises is in tests/contract, for the kind houlsby."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, relu, silu

from attaching import attach
from families import base_of, model_of
from passing import logits_of
from rung import storage
from rung.compute import body, plain
from rung.errors import UsageError
from rung.methods import METHODS
from rung.methods.adapter import Adapter, Unreadable
from rung.methods.bottleneck import Bottleneck, BottleneckSettings
from rung.methods.origin import Home
from rung.methods.peft_format import files_of, read_adapter
from rung.methods.slots import slots_of
from rung.train.loss import pack_loss
from tiny_model import copy_of, distance, plain_loss, random_rows, same_bytes, shake, tiny_model

ROWS = [[5, 6, 7, 8, 9, 10], [5, 6, 7, 11], [40, 41]]
KINDS = pytest.mark.parametrize("kind", ["houlsby", "parallel"])


def trained(model: nn.Module, seed: int = 1, slot: str = "only", **given: Any) -> Any:
    attached = attach("bottleneck", model, slot=slot, size=4, **given)
    shake(attached.parameters(), seed, size=0.3)
    return attached


@pytest.mark.parametrize(("act", "function"), [("relu", relu), ("gelu", gelu), ("silu", silu)])
def test_it_is_the_formula(act: str, function: Any) -> None:
    settings = BottleneckSettings(size=2, act=act, scale=3.0)  # type: ignore[arg-type]
    part = Bottleneck(settings, 5, torch.Generator(), {"dtype": torch.float64})
    assert part.down.weight.abs().max() <= 5**-0.5
    y = torch.randn(4, 5, dtype=torch.float64)
    assert torch.equal(part.after(y, y), y)
    shake(part.parameters())
    middle = function(y @ part.down.weight.T + part.down.bias)
    wanted = y + 3 * (middle @ part.up.weight.T + part.up.bias)
    assert torch.allclose(part.after(y, y), wanted)


def oracle(kind: str, state: dict[str, Tensor], scale: float) -> nn.Module:
    """The tiny model with its own attention, whose modules add what the paper says, by hand."""
    model = tiny_model(attention="eager")

    def b(name: str, z: Tensor) -> Tensor:
        middle = gelu(z @ state[f"{name}.down.weight"].T + state[f"{name}.down.bias"])
        return scale * (middle @ state[f"{name}.up.weight"].T + state[f"{name}.up.bias"])

    for name, module in list(model.named_modules()):
        inner = module.forward
        if kind == "parallel" and name.endswith(".mlp"):
            module.forward = lambda x, name=name, inner=inner: inner(x) + b(name, x)  # type: ignore[method-assign]
        if kind == "houlsby" and name.endswith(("o_proj", "down_proj")):
            module.forward = lambda x, name=name, inner=inner: inner(x) + b(name, inner(x))  # type: ignore[method-assign]
    return model


@KINDS
@pytest.mark.parametrize("path", ["fused", "interface", "plain"])
def test_every_path_computes_what_the_papers_say(
    kind: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the plain path in several parts, each of which is computed again in the backward pass."""
    monkeypatch.setattr(plain, "PASS_TOKENS", 24)
    model = tiny_model(attention="eager" if path == "plain" else "rung")
    body.refuse(model, None if path == "fused" else "for a test")
    before = logits_of(model, ROWS)
    attached = attach("bottleneck", model, size=4, kind=kind, scale=2.0)
    for found, right in zip(logits_of(model, ROWS), before, strict=True):
        assert torch.equal(found, right)
    shake(attached.parameters(), size=0.3)
    state = {name: tensor.requires_grad_() for name, tensor in attached.state().items()}
    own = oracle(kind, state, scale=2.0)
    rows = random_rows(5)
    ours, wanted = pack_loss(model, rows), plain_loss(own, rows)  # type: ignore[arg-type]
    assert distance(ours.detach(), wanted.detach()) < 1e-5
    ours.backward()  # type: ignore[no-untyped-call]
    wanted.backward()  # type: ignore[no-untyped-call]
    for name, tensor in attached.named().items():
        assert tensor.grad is not None
        assert distance(tensor.grad, state[name].grad) < 1e-4  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["gemma3_text", "phi3", "bloom", "lfm2", "qwen2_moe", "rwkv"])
def test_next_to_the_mlps_of_a_family(kind: str) -> None:
    """Against the family's own code."""
    base, own = base_of(kind), model_of(kind)
    ours, theirs = trained(base.model, kind="parallel"), trained(own, kind="parallel")
    rows = random_rows(4, longest=14)
    losses = pack_loss(base.model, rows), plain_loss(own, rows)
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    assert distance(*(loss.detach() for loss in losses)) < 1e-5
    grads = (torch.cat([p.grad.flatten() for p in one.parameters()]) for one in (ours, theirs))
    assert distance(*grads) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_kinds_on_one_base(dtype: torch.dtype) -> None:
    model = tiny_model(dtype=dtype)
    base, modules, plainly = copy_of(model), [type(m) for m in model.modules()], logits_of(model, ROWS)[0]
    held = {"a": trained(model, slot="a", kind="parallel")}
    answers = {"a": logits_of(model, ROWS)[0]}
    held["b"] = trained(model, slot="b", kind="houlsby")
    answers["b"] = logits_of(model, ROWS)[0]
    held["c"] = trained(model, slot="c", kind="parallel", seed=2)
    answers["c"] = logits_of(model, ROWS)[0]
    assert all(distance(one, plainly) > 0.01 for one in answers.values())
    assert distance(answers["a"], answers["c"]) > 0.01
    for slot in "abcab":
        slots_of(model).use(slot)
        assert torch.equal(logits_of(model, ROWS)[0], answers[slot])
        with held[slot].disabled():
            assert torch.equal(logits_of(model, ROWS)[0], plainly)
    for one in held.values():
        one.detach()
    assert same_bytes(copy_of(model), base)
    assert [type(m) for m in model.modules()] == modules
    assert torch.equal(logits_of(model, ROWS)[0], plainly)


@KINDS
def test_its_options_are_in_its_files(kind: str, tmp_path: Path) -> None:
    model, method = tiny_model(), METHODS["bottleneck"]
    attached = trained(model, kind=kind, act="silu", scale=0.5)
    answers = logits_of(model, ROWS)[0]
    storage.write_folder(tmp_path / "kept", files_of(Adapter.of(method, attached), "some-base"))
    config = storage.read_json(tmp_path / "kept" / "adapter_config.json")
    wanted = {"peft_type": "RUNG_BOTTLENECK", "kind": kind, "size": 4, "act": "silu", "scale": 0.5}
    assert wanted.items() <= config.items()
    fresh = tiny_model()
    read_adapter(tmp_path / "kept", Home("some-base", "f", "t", "t"))[0].put(fresh)
    assert torch.equal(logits_of(fresh, ROWS)[0], answers)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"size": 0}, "size cannot be 0"),
        ({"size": True}, "size cannot be True"),
        ({"act": "tanh"}, "act cannot be 'tanh'"),
        ({"kind": ["houlsby"]}, "kind cannot be"),
        ({"scale": None}, "scale is missing"),
        ({"dropout": 0.1}, "dropout is set, which rung does not compute"),
    ],
)
def test_other_configurations_are_refused(change: dict[str, Any], why: str) -> None:
    fine = {"kind": "parallel", "size": 4, "act": "relu", "scale": 1}
    form = METHODS["bottleneck"].format
    assert form.settings(fine) == BottleneckSettings(kind="parallel", size=4, act="relu")
    with pytest.raises(Unreadable, match=why):
        form.settings(fine | change)


def test_the_size_goes_by_the_width() -> None:
    assert attach("bottleneck", tiny_model()).settings.size == 16
    assert attach("bottleneck", tiny_model(), size=32).settings.size == 32
    with pytest.raises(UsageError, match="size is 33, and the base is 32 wide"):
        attach("bottleneck", tiny_model(), size=33)


def test_bases_without_mlps_of_their_own() -> None:
    for kind in ("opt", "mixtral"):
        with pytest.raises(UsageError, match="has no MLP next to which"):
            attach("bottleneck", model_of(kind), kind="parallel")
    assert attach("bottleneck", model_of("opt")).notes() == ()
    (note,) = attach("bottleneck", model_of("mixtral")).notes()
    assert "no linear layer" in note
