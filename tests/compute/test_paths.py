"""Which path is chosen, by what is measured, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    GPTJConfig,
    GPTJForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedModel,
)

from rung.bases.base import Route
from rung.compute import attention, body, functions, head, paths, plain
from rung.compute.load import tiny
from rung.errors import BaseModelError
from tiny_model import tiny_model

SHAPE: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.25,
}


def chosen(model: PreTrainedModel) -> Route:
    return paths.choose(model.eval().requires_grad_(False), "it")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_llama_is_fused(dtype: torch.dtype) -> None:
    assert tiny(dtype=dtype).route == Route("fused", "")
    model = tiny_model(attention="eager", dtype=dtype)
    assert chosen(model) == Route("fused", "")
    assert body.why_not(model) is None
    assert not plain.is_used(model)


def test_other_layers_with_our_attention() -> None:
    model = GemmaForCausalLM(GemmaConfig(**SHAPE, head_dim=8, intermediate_size=64))
    route = chosen(model)
    assert route.path == "interface"
    assert "GemmaModel" in route.why
    assert not plain.is_used(model)
    assert "interface, transformers' layers" in str(route)


def test_an_attention_out_of_reach_and_no_attention_at_all() -> None:
    route = chosen(GPTJForCausalLM(GPTJConfig(**SHAPE, rotary_dim=4)))
    assert route == Route("plain", "transformers gives no access to the attention of GPTJForCausalLM")
    model = MambaForCausalLM(MambaConfig(vocab_size=99, hidden_size=32, num_hidden_layers=2, state_size=4))
    route = chosen(model)
    assert route.path == "plain"
    assert plain.is_used(model)
    assert body.why_not(model) == route.why


def test_a_model_that_looks_ahead_is_refused() -> None:
    model = tiny_model()
    model.config.is_causal = False
    with pytest.raises(
        BaseModelError, match="it: the model does not read a row as it reads the row alone"
    ) as e:
        chosen(model)
    assert e.value.exit_code == 4
    assert "\n" not in str(e.value)


def test_wrong_fused_layers_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """States a bit off; then gradients alone."""
    real = functions.Mlp.apply

    def off(*inputs: Any) -> Tensor:
        out: Tensor = real(*inputs)
        return out * 1.05

    def off_backward(*inputs: Any) -> Tensor:
        out: Tensor = real(*inputs)
        return out.detach() + 1.2 * (out - out.detach())

    for broken, word in ((off, "hidden states"), (off_backward, "gradients")):
        with monkeypatch.context() as patch:
            patch.setattr(functions.Mlp, "apply", broken)
            model = tiny_model()
            route = chosen(model)
        assert route.path == "interface"
        assert f"{word} of rows read together are off by" in route.why
        assert body.why_not(model) == route.why
    assert chosen(model) == Route("fused", "")  # measured again, it is right


def test_a_wrong_attention_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that lets segments see each other."""

    def all_of_it(self: Any, *args: Any) -> Tensor:
        packed = attention.Packed([args[1].shape[2]])
        return packed.attend(*args)

    monkeypatch.setattr(paths.Tree, "attend", all_of_it)
    route = chosen(tiny_model())
    assert route.path == "plain"
    assert "hidden states of rows read together are off by" in route.why


def test_what_a_kept_beginning_must_give_is_tried_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "Prefix", lambda keys, values: attention.Prefix(values, keys))
    assert chosen(tiny_model()).path == "plain"


def test_a_head_that_adds_something_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "_EXTRAS", ())
    config = GemmaConfig(**SHAPE, head_dim=8, intermediate_size=64)
    model = GemmaForCausalLM(config)
    real = model.forward
    model.forward = lambda **inputs: _doubled(real(**inputs))
    with pytest.raises(BaseModelError, match="logits"):
        chosen(model)


def _doubled(out: Any) -> Any:
    out.logits = 2 * out.logits
    return out


def test_a_model_that_cannot_be_run_says_why() -> None:
    model = tiny_model()
    model.forward = None
    with pytest.raises(BaseModelError, match="it: the model cannot be run: "):
        chosen(model)


def test_a_short_vocabulary_and_special_tokens() -> None:
    assert paths._rows(3, ()) != paths._rows(3, {1})
    assert all(word == 2 for row in paths._rows(3, {0, 1}) for word in row)
    assert paths._rows(2, {0, 1})  # nothing is left: then they are used
    first, second, other = paths._rows(49152, {0, 1, 2})
    assert first[:8] == second[:8] != other[:8]
    assert len({*first, *second, *other}) == 8 + 3 + 5 + 6


def test_nothing_stays_behind() -> None:
    model = tiny_model()
    chosen(model)
    assert all(weight.grad is None and not weight.requires_grad for weight in model.parameters())
    assert not model.get_input_embeddings()._forward_hooks
    assert not model.base_model._forward_hooks


def test_what_sits_on_a_model_later_is_tried_on_its_path() -> None:
    """A layer that takes part of what the others say is found; the attention stays what it was."""
    model = tiny_model(attention="eager")
    chosen(model)
    assert paths.fault(model) is None
    inner: Any = model.base_model
    hook = inner.layers[0].mlp.register_forward_hook(lambda _m, _i, out: out + out.mean(1, keepdim=True))
    body.refuse(model, "a hook is on it")
    assert "off by" in str(paths.fault(model))
    hook.remove()
    assert paths.fault(model) is None
    assert model.config._attn_implementation == attention.NAME
    model.set_attn_implementation("eager")
    assert paths.fault(model) is None
    assert plain.is_used(model)
