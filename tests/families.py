"""Tiny models with random weights of many families, made from transformers' configurations."""

from __future__ import annotations

from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel

from rung.bases.base import OWN_ATTENTION, Base, quiet
from rung.compute import paths

VOCABULARY = 99
CONTEXT = 128
_SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_HEAD: dict[str, Any] = {"head_dim": 8}
_WINDOW: dict[str, Any] = {"sliding_window": 6}  # shorter than the rows of the tests
_CHUNKS: dict[str, Any] = {"attention_chunk_size": 8, "intermediate_size_mlp": 48}
_EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_LATENT: dict[str, Any] = {
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 16,
    "num_experts_per_tok": 2,
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
_DELTA: dict[str, Any] = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
    "shared_expert_intermediate_size": 16,
}
_SSM: dict[str, Any] = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 4, "mamba_chunk_size": 8}

# Kind of model -> the path that is expected for it, and what its configuration needs beyond `_SHAPE`.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("fused", {}),
    "mistral": ("fused", _WINDOW),
    "qwen2": ("fused", {}),
    "qwen3": ("fused", _HEAD),
    "smollm3": ("interface", {}),
    "gemma": ("interface", _HEAD),
    "gemma2": ("plain", _HEAD | _WINDOW),
    "gemma3_text": ("fused", _HEAD | _WINDOW | {"layer_types": ["sliding_attention", "full_attention"]}),
    "phi": ("interface", {}),
    "phi3": ("fused", _WINDOW),
    "gpt2": ("interface", {}),
    "gpt_neo": ("plain", {"attention_types": [[["global", "local"], 1]], "num_layers": 2, "window_size": 6}),
    "gpt_neox": ("interface", {}),
    "gptj": ("plain", {"rotary_dim": 4}),
    "codegen": ("plain", {"rotary_dim": 4}),
    "gpt_bigcode": ("interface", {}),
    "gpt_oss": ("plain", _HEAD | _WINDOW | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "opt": ("interface", {"word_embed_proj_dim": 32, "ffn_dim": 48}),
    "bloom": ("plain", {}),
    "mpt": ("plain", {}),
    "falcon": ("plain", {}),
    "biogpt": ("interface", {}),
    "xglm": ("plain", {}),
    "stablelm": ("interface", {}),
    "nemotron": ("interface", {}),
    "starcoder2": ("interface", _WINDOW),
    "olmo": ("interface", {}),
    "olmo2": ("interface", {}),
    "granite": (
        "interface",
        {"logits_scaling": 2.0, "embedding_multiplier": 3.0, "attention_multiplier": 0.2},
    ),
    "cohere": ("interface", {"logit_scale": 0.5}),
    "cohere2": ("interface", _WINDOW),
    "glm": ("interface", _HEAD),
    "helium": ("interface", _HEAD),
    "mixtral": ("interface", {"num_local_experts": 4}),
    "qwen2_moe": ("interface", _EXPERTS | {"shared_expert_intermediate_size": 16}),
    "olmoe": ("interface", {"num_experts": 4, "num_experts_per_tok": 2}),
    "llama4_text": (
        "plain",
        _HEAD | {"num_local_experts": 4, "attention_chunk_size": 8, "intermediate_size_mlp": 48},
    ),
    "deepseek_v3": ("plain", _LATENT),
    "mamba": ("plain", {"state_size": 4}),
    "mamba2": ("plain", {"state_size": 4, "num_heads": 8, "head_dim": 8, "n_groups": 2, "chunk_size": 8}),
    "recurrent_gemma": ("plain", _HEAD | {"lru_width": 32, "attention_window_size": 6}),
    "qwen3_next": ("plain", _HEAD | _EXPERTS | _DELTA),
    "lfm2": ("plain", {"layer_types": ["conv", "full_attention"]}),
    "falcon_h1": ("plain", _HEAD | _SSM | {"mamba_d_ssm": 64}),
    "rwkv": ("plain", {"attention_hidden_size": 32, "context_length": CONTEXT}),
}


def model_of(kind: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A frozen model with its own attention; its weights are wide, so that everything in it matters."""
    config = CONFIG_MAPPING[kind](**_SHAPE | FAMILIES[kind][1])
    with quiet(), torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation=OWN_ATTENTION)
        draw = torch.Generator().manual_seed(1)
        for weight in model.parameters():
            if weight.ndim >= 2:
                weight.normal_(0, 0.18, generator=draw)
            else:
                weight += 0.1 * torch.randn(weight.shape, generator=draw)
    return model.to(dtype).eval().requires_grad_(False)


def base_of(kind: str, dtype: torch.dtype = torch.float32) -> Base:
    """The same model as a base, on the path that is chosen for it; it has no tokenizer."""
    model = model_of(kind, dtype)
    none: Any = None
    return Base(
        name=kind,
        model=model,
        tokenizer=none,
        context=CONTEXT,
        dtype=dtype,
        device=torch.device("cpu"),
        fingerprint=kind,
        route=paths.choose(model, kind),
    )
