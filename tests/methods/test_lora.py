"""LoRA's own: the formula and its gradients, how it begins, its scale and its number formats."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from families import model_of
from rung import storage
from rung.compute import paths
from rung.compute.linears import Linear, writable
from rung.compute.quantized import QuantizedLinear, quantize
from rung.compute.sites import Site, replace, site_of
from rung.errors import UsageError
from rung.methods.adapter import Adapter
from rung.methods.lora import LORA, Lora, LoraSettings, LowRankChange
from rung.methods.origin import Home
from rung.methods.peft_format import files_of, load_adapter
from rung.methods.targets import linear_layers
from rung.train.loss import pack_loss
from tiny_model import copy_of, distance, gradients, random_rows, same_bytes, shake, tiny_model


def site(base: Linear, change: LowRankChange) -> Site:
    found = Site(base)
    found.switch(change)
    return found


def a_layer(dtype: torch.dtype = torch.float64, bias: bool = True, rank: int = 3, scale: float = 0.7) -> Site:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        base = nn.Linear(6, 5, bias=bias).to(dtype).requires_grad_(False)
    layer = site(base, LowRankChange(base, rank, scale, torch.Generator().manual_seed(0)))
    shake([layer.on.b], size=0.5)
    return layer


def an_input(dtype: torch.dtype = torch.float64, shape: tuple[int, ...] = (2, 4, 6)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def spelled_out(layer: Site, x: Tensor) -> Tensor:
    base = layer.base
    update = linear(linear(x, layer.on.a.to(x.dtype)), layer.on.b.to(x.dtype))
    return linear(x, base.weight, base.bias) + layer.on.scale * update


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 4, 6), (0, 6)])
def test_output_and_gradients_equal_the_formula_under_autograd(shape: tuple[int, ...], bias: bool) -> None:
    ours, theirs = a_layer(bias=bias), a_layer(bias=bias)
    x, z = (an_input(shape=shape).requires_grad_() for _ in range(2))
    out, wanted = ours(x), spelled_out(theirs, z)
    assert torch.allclose(out, wanted, rtol=1e-12, atol=1e-12)
    cotangent = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    out.backward(cotangent)
    wanted.backward(cotangent)  # type: ignore[no-untyped-call]
    for mine, other in zip([x, ours.on.a, ours.on.b], [z, theirs.on.a, theirs.on.b], strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        assert torch.allclose(mine.grad, other.grad, rtol=1e-12, atol=1e-12)
    assert ours.base.weight.grad is None


def test_an_input_that_needs_no_gradient_gets_none() -> None:
    layer, x = a_layer(), an_input()
    layer(x).sum().backward()
    assert x.grad is None
    assert layer.on.a.grad is not None


def test_an_input_that_is_not_dense_gives_the_same() -> None:
    layer = a_layer()
    x = an_input(shape=(4, 2, 6)).transpose(0, 1)
    assert torch.allclose(layer(x), layer(x.contiguous()), rtol=1e-12)


def test_parameters_and_gradients_are_fp32_over_a_bf16_base() -> None:
    layer = a_layer(torch.bfloat16)
    x = an_input(torch.bfloat16).requires_grad_()
    out = layer(x)
    out.sum().backward()
    assert out.dtype == torch.bfloat16
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16
    for parameter in (layer.on.a, layer.on.b):
        assert parameter.dtype == torch.float32
        assert parameter.grad is not None
        assert parameter.grad.dtype == torch.float32
    wide = a_layer(torch.float32)
    with torch.no_grad():
        wide.base.weight.copy_(layer.base.weight)
        wide.on.a.copy_(layer.on.a)
        wide.on.b.copy_(layer.on.b)
        assert distance(out.float(), wide(x.float())) < 0.02


def test_delta_is_the_update_that_merging_adds() -> None:
    layer, x = a_layer(bias=False), an_input()
    merged = linear(x, layer.base.weight + layer.on.delta())
    assert torch.allclose(layer(x), merged, rtol=1e-12)


def test_a_model_that_multiplies_by_the_weight_itself_gets_the_update_too() -> None:
    """As Mamba does with the layer of its time steps."""
    for layer in (a_layer(), a_turned_layer()):
        x = an_input()
        turned = isinstance(layer.base, Conv1D)
        by_hand = x @ (layer.weight if turned else layer.weight.T) + layer.bias
        assert torch.allclose(by_hand, layer(x), rtol=1e-12, atol=1e-12)
        layer.switch(None)
        assert layer.weight is layer.base.weight


def a_turned_layer() -> Site:
    usual = a_layer()
    turned = Conv1D(5, 6).double().requires_grad_(False)
    turned.weight.data, turned.bias.data = usual.base.weight.data.T.contiguous(), usual.base.bias.data
    layer = site(turned, LowRankChange(turned, 3, 0.7, torch.Generator().manual_seed(0)))
    shake([layer.on.b], size=0.5)
    return layer


def test_a_layer_of_gpt2_is_the_same_layer_turned() -> None:
    ours, theirs = a_turned_layer(), a_layer()
    x, z = (an_input().requires_grad_() for _ in range(2))
    assert torch.allclose(ours(x), theirs(z), rtol=1e-12, atol=1e-12)
    (ours(x) ** 2).sum().backward()
    (theirs(z) ** 2).sum().backward()
    for mine, other in zip([x, ours.on.a, ours.on.b], [z, theirs.on.a, theirs.on.b], strict=True):
        assert torch.allclose(mine.grad, other.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # PEFT reads it
def test_merged_into_gpt2_and_saved_for_peft(tmp_path: Path) -> None:
    model, ids = model_of("gpt2"), torch.tensor([[5, 7, 9]])
    plain = model(ids).logits
    lora = Lora(model, LoraSettings(rank=4))
    shake(lora.parameters())
    lora.updated()
    answer = model(ids).logits
    storage.write_folder(tmp_path / "kept", files_of(Adapter.of(LORA, lora), "gpt2"))
    lora.detach()
    with torch.no_grad():
        assert torch.equal(model(ids).logits, plain)
        theirs = peft.PeftModel.from_pretrained(model_of("gpt2"), str(tmp_path / "kept"))
        assert distance(theirs(ids).logits, answer) < 1e-5
        home = Home("gpt2", "", "", "")
        again, _ = load_adapter(tmp_path / "kept", model, home)
        assert distance(model(ids).logits, answer) < 1e-6
        again.merge()
        assert distance(model(ids).logits, answer) < 1e-5
    assert distance(answer.detach(), plain) > 0.01


def test_a_low_reach_is_said_unless_it_was_asked_for() -> None:
    assert Lora(tiny_model(), LoraSettings(rank=2)).notes() == ()
    lora = Lora(model_of("mixtral"), LoraSettings(rank=2))
    (note,) = lora.notes()
    assert "fused experts" in note
    assert lora.applied()["reach"] == pytest.approx(lora.reach.share, abs=1e-4) != 1
    assert Lora(model_of("mixtral"), LoraSettings(rank=2, targets=("q_proj",))).notes() == ()


def test_a_begins_uniform_and_b_at_zero() -> None:
    layer = LowRankChange(nn.Linear(400, 5), 64, 1.0, torch.Generator().manual_seed(0))
    bound = 1 / math.sqrt(400)
    assert not layer.b.any()
    assert float(layer.a.detach().abs().max()) <= bound
    assert float(layer.a.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_the_same_seed_begins_the_same_and_layers_differ() -> None:
    def begin(seed: int) -> list[Tensor]:
        return [p.detach() for p in Lora(tiny_model(), LoraSettings(), seed=seed).parameters()]

    torch.manual_seed(1)
    first = begin(0)
    torch.manual_seed(2)
    assert all(torch.equal(a, b) for a, b in zip(first, begin(0), strict=True))
    assert not torch.equal(first[0], begin(1)[0])
    assert not torch.equal(first[0], first[8])


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    Lora(tiny_model(), LoraSettings())
    assert torch.equal(torch.rand(1), wanted)


@pytest.mark.parametrize(("rslora", "scale"), [(False, 0.5), (True, 2.0)])
def test_scale(rslora: bool, scale: float) -> None:
    lora = Lora(tiny_model(), LoraSettings(rank=16, alpha=8.0, rslora=rslora))
    assert {layer.scale for layer in lora.changes.values()} == {scale}


def test_rank_and_number_of_parameters() -> None:
    lora = Lora(tiny_model(), LoraSettings(rank=4, targets=("q_proj", "down_proj")))
    shapes = [tuple(p.shape) for p in lora.parameters()]
    assert shapes == [(4, 32), (32, 4), (4, 64), (32, 4)] * 2


def test_lora_plus_lets_b_learn_faster_than_a() -> None:
    lora = Lora(tiny_model(), LoraSettings(lora_plus=16.0, targets=("q_proj",)))
    assert lora.rates() == [1.0, 16.0] * 2
    assert [p is layer.b for layer in lora.changes.values() for p in lora.parameters()[1::2]].count(True) == 2


def test_only_the_top_layers_are_adapted_where_that_is_asked() -> None:
    lora = Lora(tiny_model(), LoraSettings(top_layers=1))
    assert len(lora.changes) == 7
    assert all(name.startswith("model.layers.1.") for name in lora.changes)
    assert lora.frozen_layers() == 1


def test_a_change_is_read_once_it_is_told() -> None:
    lora = Lora(tiny_model(), LoraSettings(rank=2, targets=("up_proj",)))
    layer = site_of(lora.model, next(iter(lora.changes)))
    x = an_input(torch.float32, (3, 32))
    before = layer(x)
    shake([layer.on.b])
    lora.updated()
    assert torch.allclose(layer(x), spelled_out(layer, x), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(layer(x), before)


def test_an_unknown_target_is_refused_before_the_model_changes() -> None:
    model = tiny_model()
    with pytest.raises(UsageError, match="no linear layer"):
        Lora(model, LoraSettings(targets=("q_proj", "nope")))
    assert not any(isinstance(module, Site) for module in model.modules())


def test_names_of_the_state_are_those_of_the_layers() -> None:
    state = Lora(tiny_model(), LoraSettings(targets=("q_proj",))).state()
    assert sorted(state) == [
        f"model.layers.{layer}.self_attn.q_proj.lora_{half}.weight" for layer in (0, 1) for half in "AB"
    ]


def test_the_first_layer_also_learns() -> None:
    """Its input needs no gradient; its A and B do."""
    model = tiny_model()
    lora = Lora(model, LoraSettings())
    shake(lora.parameters())
    pack_loss(model, random_rows(3)).backward()  # type: ignore[no-untyped-call]
    assert all(bool(grad.any()) for grad in gradients(lora.parameters()))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_over_a_base_held_in_few_bits(bits: Any, kind: str) -> None:
    """The same numbers and gradients as over the weights that its codes mean; taken off bit for bit."""
    model, full = model_of(kind), model_of(kind)
    quantize(model, bits, "cpu")
    quantize(full, bits, "cpu")
    before = copy_of(model)
    for name, layer in linear_layers(full).items():
        replace(full, name, writable(layer))
    rows, found = random_rows(4), []
    for one in (model, full):
        paths.choose(one, kind)
        lora = Lora(one, LoraSettings(rank=3))
        shake(lora.parameters())
        lora.updated()
        loss = pack_loss(one, rows)
        loss.backward()  # type: ignore[no-untyped-call]
        found.append((lora, float(loss.detach()), gradients(lora.parameters())))
    (lora, loss, grads), (_, other_loss, other_grads) = found
    assert loss == pytest.approx(other_loss, rel=1e-5)
    assert all(distance(mine, other) < 1e-4 for mine, other in zip(grads, other_grads, strict=True))
    lora.detach()
    assert same_bytes(copy_of(model), before)


@pytest.mark.parametrize("bits", [4, 8])
def test_merging_into_a_base_held_in_few_bits_gives_layers_in_full(bits: Any) -> None:
    """Rounded again, the update would be lost in steps that are larger than it. Another adapter stays."""
    model = tiny_model()
    quantize(model, bits, "cpu")
    other = Lora(model, LoraSettings(rank=2, targets=("q_proj",)), slot="other")
    lora = Lora(model, LoraSettings(rank=3, targets=("q_proj", "up_proj")))
    shake([*other.parameters(), *lora.parameters()])
    lora.updated()
    rows = random_rows(3)
    with torch.no_grad():
        answers = pack_loss(model, rows)
        layers = linear_layers(model)
        wanted = {name: layers[name].weight + change.delta() for name, change in lora.changes.items()}
        lora.merge()
        assert float(pack_loss(model, rows)) == pytest.approx(float(answers), rel=1e-5)
    found = linear_layers(model)
    for name, weight in wanted.items():
        layer = found[name]
        assert isinstance(layer, nn.Linear)
        assert torch.allclose(layer.weight, weight, atol=1e-6)
    assert sum(isinstance(layer, QuantizedLinear) for layer in found.values()) == 10
