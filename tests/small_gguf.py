"""A GGUF file of a small Llama, made here, for tests that read one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf as ggml
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from rung.bases.tiny import CHATML, SPECIAL
from rung.compute.load import tiny

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def small_model() -> LlamaForCausalLM:
    """Two layers, 32 wide, with weights that bf16 holds."""
    torch.manual_seed(11)
    config = LlamaConfig(
        vocab_size=264,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.18,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
    )
    model = LlamaForCausalLM(config).eval()
    for weight in model.parameters():
        weight.data = weight.data.bfloat16().float()
    return model


def interleave(weight: Tensor, heads: int) -> Tensor:
    """ggml keeps the two halves of each rotary pair side by side."""
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write(
    path: Path,
    *,
    pre: str = "smollm",
    drop: Sequence[str] = (),
    extra: Mapping[str, Tensor] | None = None,
    values: Mapping[str, int] | None = None,
    kind: str = "gpt2",
) -> Path:
    """A whole GGUF file of `small_model`; the arguments spoil it."""
    model = small_model()
    out = ggml.GGUFWriter(path, "llama")
    out.add_string("general.license", "apache-2.0")
    facts: dict[str, Any] = {
        "block_count": 2,
        "context_length": 512,
        "embedding_length": 32,
        "feed_forward_length": 64,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "rope.dimension_count": 8,
        "vocab_size": 264,
    }
    for key, value in (facts | (values or {})).items():
        out.add_uint32(f"llama.{key}", value)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_freq_base(10000.0)
    letters = sorted(tiny().tokenizer.get_vocab(), key=tiny().tokenizer.get_vocab().get)
    words = [*letters, "th", "the", "Ċ1", "23", "12"]
    assert words[: len(SPECIAL)] == list(SPECIAL)
    out.add_tokenizer_model(kind)
    out.add_tokenizer_pre(pre)
    out.add_token_list(words)
    out.add_token_types([3] * 3 + [1] * (len(words) - 3))
    out.add_token_merges(["t h", "th e", "Ċ 1", "2 3", "1 2"])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_pad_token_id(2)
    out.add_add_bos_token(False)
    out.add_chat_template(CHATML)
    for name, value in tensors(model).items():
        if name not in drop:
            out.add_tensor(name, value.contiguous().numpy())
    for name, value in (extra or {}).items():
        out.add_tensor(name, value.numpy())
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def tensors(model: LlamaForCausalLM) -> dict[str, Tensor]:
    """The weights of `model` under ggml's names."""
    state = model.state_dict()
    found = {
        "token_embd.weight": state["model.embed_tokens.weight"],
        "output_norm.weight": state["model.norm.weight"],
    }
    for layer in range(2):
        for ours, theirs in NAMES.items():
            value = state[f"model.layers.{layer}.{ours}.weight"]
            heads = {"attn_q": 4, "attn_k": 2}.get(theirs)
            found[f"blk.{layer}.{theirs}.weight"] = interleave(value, heads) if heads else value
    return found
