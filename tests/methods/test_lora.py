"""LoRA's own: which layers it takes, its rates and its notes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from families import model_of
from rung.compute import paths
from rung.compute.linears import writable
from rung.compute.names import replace
from rung.compute.quantized import QuantizedLinear, quantize
from rung.compute.sites import Site
from rung.errors import UsageError
from rung.methods.lora import Lora
from rung.methods.lora_settings import LoraSettings
from rung.methods.targets import linear_layers
from rung.train.loss import pack_loss
from tiny_model import copy_of, distance, gradients, random_rows, same_bytes, shake, tiny_model


def test_a_low_reach_is_said_unless_it_was_asked_for() -> None:
    assert Lora(tiny_model(), LoraSettings(rank=2)).notes() == ()
    lora = Lora(model_of("mixtral"), LoraSettings(rank=2))
    (note,) = lora.notes()
    assert "fused experts" in note
    assert lora.applied()["reach"] == pytest.approx(lora.reach.share, abs=1e-4) != 1
    assert Lora(model_of("mixtral"), LoraSettings(rank=2, targets=("q_proj",))).notes() == ()


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


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"rank": 17}, r"rank 17 is above the width of model\.layers\.0\.self_attn\.k_proj, which is 16"),
        ({"ranks": {"v_proj": 40}}, r"rank 40 is above the width of model\.layers\.0\.self_attn\.v_proj"),
        ({"ranks": {"k_prj": 4}}, r"no adapted layer is called 'k_prj'\. Did you mean 'k_proj'"),
        ({"alphas": {"up_proj": 4}, "targets": ("q_proj",)}, "no adapted layer is called 'up_proj'"),
    ],
)
def test_what_makes_no_sense_on_a_base_is_refused_where_it_was_asked_for(
    settings: dict[str, Any], why: str
) -> None:
    lora = Lora(tiny_model(), LoraSettings(**settings))  # as an adapter that was read may be
    with pytest.raises(UsageError, match=why) as caught:
        lora.check_asked()
    assert caught.value.fix


def test_what_makes_sense_is_not() -> None:
    for settings in ({"rank": 16}, {"rank": 17, "targets": ("q_proj",)}, {"ranks": {"q_proj": 32}}):
        Lora(tiny_model(), LoraSettings(**settings)).check_asked()
    Lora(
        model_of("mamba"), LoraSettings()
    ).check_asked()  # the default rank is above the width of its time steps


def test_dropout_is_on_in_training_alone() -> None:
    lora = Lora(tiny_model(), LoraSettings(rank=4, dropout=0.5))
    shake(lora.parameters())
    lora.updated()
    rows = random_rows(3)

    def loss() -> float:
        return float(pack_loss(lora.model, rows).detach())

    plain = loss()
    lora.learning(True)
    lora.before_pass(0, 0)
    first = loss()
    assert first == loss() != plain
    lora.before_pass(0, 1)
    assert loss() != first
    lora.learning(False)
    assert loss() == plain
