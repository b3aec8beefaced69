"""The hand-written body against the models' own layers: states, every gradient, and when it is not used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from attaching import attach
from rung.compute import body, head
from rung.compute.attention import Packed, Whole, attending, positions
from rung.compute.passes import Pass
from rung.compute.plain import own_states as own_code
from tiny_model import distance, shake, tiny_model

LENGTHS = [9, 4, 17]
SHAPE: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.25,
    "attn_implementation": "rung",
}
GEMMA3 = ["sliding_attention", "full_attention", "sliding_attention"]
HALF = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}
MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
    "llama with biases": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, attention_bias=True, mlp_bias=True)),
    "llama with scaled positions": lambda: LlamaForCausalLM(
        LlamaConfig(**SHAPE, rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4})
    ),
    "llama with wide heads": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, head_dim=16)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=6)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SHAPE)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPE, head_dim=16)),
    "gemma3": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(**SHAPE, head_dim=16, sliding_window=6, layer_types=GEMMA3, query_pre_attn_scalar=20)
    ),
    "phi3": lambda: Phi3ForCausalLM(Phi3Config(**SHAPE, pad_token_id=0, sliding_window=6)),
    "phi3 that turns half a head": lambda: Phi3ForCausalLM(
        Phi3Config(**SHAPE, pad_token_id=0, rope_parameters=HALF)
    ),
}


def model_of(name: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: PreTrainedModel = MODELS[name]()
        shake((p for n, p in model.named_parameters() if "norm" in n or "bias" in n), size=0.3)
    return model.to(dtype=dtype).eval().requires_grad_(False)


def tokens(seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 99, (1, sum(LENGTHS)), generator=draw)


def own_states(model: PreTrainedModel, seed: int = 0) -> Tensor:
    """The model's own code, on the same layout."""
    with attending(Packed(LENGTHS)):
        return own_code(model, tokens(seed), position_ids=positions(LENGTHS))[0]


def our_states(model: PreTrainedModel, rows: Tensor | None = None, seed: int = 0) -> Tensor:
    return body.hidden_states(model, Pass(tokens(seed), positions(LENGTHS), Packed(LENGTHS), rows))


ROWS = torch.tensor([0, 3, 3, 12, 29])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_states_and_gradients_equal_the_models_own(name: str, method: str, dtype: torch.dtype) -> None:
    found = []
    for states in (lambda model: our_states(model, ROWS), lambda model: own_states(model)[ROWS]):
        model = model_of(name, dtype)
        assert body.why_not(model) is None
        attached = attach(method, model, rank=4, lora_plus=2.0)
        shake(attached.parameters(), size=0.05)
        attached.updated()
        out = states(model)
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(3))
        (out.float() * weights).sum().backward()
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in attached.parameters()]
        found.append((out.detach().float(), torch.cat([grad.flatten() for grad in grads])))
    (ours, our_grad), (own, own_grad) = found
    assert our_grad.any()
    bound = 1e-5 if dtype == torch.float32 else 0.12  # the tiny models' weights are wide; see below
    assert distance(ours, own) < bound
    assert distance(our_grad, own_grad) < bound


@pytest.mark.parametrize("method", ["lora", "full"])
def test_in_bf16_it_is_no_further_from_fp32_than_the_models_own(method: str) -> None:
    def run(dtype: torch.dtype, ours: bool, seed: int) -> Tensor:
        model = tiny_model(dtype=torch.bfloat16).to(dtype)
        attached = attach(method, model, rank=4)
        shake(attached.parameters(), size=0.05)
        attached.updated()
        states = our_states(model, seed=seed) if ours else own_states(model, seed)
        head.loss_sum(model, states[ROWS], torch.tensor([5, 6, 7, 8, 9])).backward()  # type: ignore[no-untyped-call]
        return torch.cat([p.grad.flatten() for p in attached.parameters() if p.grad is not None]).float()

    error = {True: 0.0, False: 0.0}
    for seed in range(8):
        exact = run(torch.float32, True, seed)
        for ours in error:
            error[ours] += distance(run(torch.bfloat16, ours, seed), exact)
    assert error[True] < 1.2 * error[False]


def test_all_states_or_some() -> None:
    model = model_of("llama")
    with torch.no_grad():
        assert torch.allclose(our_states(model, ROWS), our_states(model)[ROWS], atol=1e-6)


def test_the_trunk_and_the_rest_make_the_whole() -> None:
    model = model_of("llama")
    layout, places = Packed(LENGTHS), positions(LENGTHS)
    with torch.no_grad():
        for first in (2, body.depth(model)):
            below = body.trunk(model, Pass(tokens(), places, layout), first)
            out = body.hidden_states(model, Pass(tokens(), places, layout, ROWS, below[None], first=first))
            assert torch.allclose(out, our_states(model, ROWS), atol=1e-6)


def test_a_batch_of_single_tokens_as_in_decoding() -> None:
    class OnlyItself:
        def attend(
            self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None
        ) -> Tensor:
            return v.repeat_interleave(q.shape[1] // v.shape[1], 1)

        def whole(self, ids: Tensor) -> Whole:
            raise NotImplementedError

    model = model_of("llama")
    ids, places = torch.tensor([[3], [4], [5]]), torch.tensor([[7], [0], [2]])
    with torch.inference_mode():
        ours = body.hidden_states(model, Pass(ids, places, OnlyItself()))
        with attending(OnlyItself()):
            own = own_code(model, ids, position_ids=places)
    assert torch.allclose(ours, own[:, 0], atol=1e-5)


def test_attaching_and_detaching_is_noticed() -> None:
    model = model_of("llama")
    with torch.no_grad():
        before = our_states(model)
        attached = attach("lora", model, rank=4)
        shake(attached.parameters())
        attached.updated()
        changed = our_states(model)
        with attached.disabled():
            assert torch.equal(our_states(model), before)
        attached.detach()
        assert torch.equal(our_states(model), before)
    assert distance(changed, before) > 0.01


def test_what_is_not_trained_keeps_no_graph() -> None:
    model = model_of("llama")
    attach("lora", model, rank=4, top_layers=1)
    assert not body.trunk(model, Pass(tokens(), positions(LENGTHS), Packed(LENGTHS)), 2).requires_grad
    assert our_states(model).requires_grad


def test_models_it_does_not_know_run_through_their_own_code() -> None:
    model = GemmaForCausalLM(GemmaConfig(**SHAPE, head_dim=8)).eval().requires_grad_(False)
    why = body.why_not(model)
    assert why is not None
    assert "GemmaModel" in why
    with torch.no_grad():
        assert torch.equal(our_states(model, ROWS), own_states(model)[ROWS])
    with pytest.raises(ValueError, match="as a whole"):
        body.hidden_states(model, Pass(tokens(), positions(LENGTHS), Packed(LENGTHS), first=1))


def test_another_activation_or_a_strange_layer_keeps_it_away() -> None:
    gelu = LlamaForCausalLM(LlamaConfig(**SHAPE, hidden_act="gelu"))
    assert "gelu" in str(body.why_not(gelu))
    strange = model_of("llama")
    strange.model.layers[0].mlp.up_proj = nn.Sequential(strange.model.layers[0].mlp.up_proj)
    assert "Sequential" in str(body.why_not(strange))


@pytest.mark.parametrize("name", ["llama", "gemma"])
def test_every_pass_paces_the_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layer by layer, forward and backward; once in a pass of a model that runs through its own code."""
    calls: list[int] = []
    monkeypatch.setattr(body.threads, "pace", lambda: calls.append(1))
    if name == "gemma":
        config = GemmaConfig(**SHAPE, head_dim=8)
        with torch.random.fork_rng(devices=[]):
            model: PreTrainedModel = GemmaForCausalLM(config)
        our_states(model)
        assert len(calls) == 1
        return
    model = model_of(name).requires_grad_(True)
    states = our_states(model)
    assert len(calls) == SHAPE["num_hidden_layers"]
    states.sum().backward()
    assert len(calls) == 2 * SHAPE["num_hidden_layers"]
