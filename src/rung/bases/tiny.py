"""A two-layer base built in code, for tests and for trying things out: no file, no network.

Its vocabulary is the 256 bytes and three special tokens, its template is ChatML, and its weights are drawn
from a seed, wide enough for attention and the head to matter. It is not trained.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rung.bases.base import OWN_ATTENTION, Base, freeze, quiet

CONTEXT = 2048
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tiny(seed: int = 0, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Base:
    """A Llama of 2 layers, 32 wide, 4 heads over 2 key-value heads; the same for the same seed."""
    model, tokenizer = _model(seed), _tokenizer()
    mark = _fingerprint(model, tokenizer)
    for weight in model.parameters():  # buffers keep their precision: positions are computed in fp32
        weight.data = weight.data.to(dtype)
    freeze(model.to(device))
    return Base(
        name="tiny",
        model=model,
        tokenizer=tokenizer,
        context=CONTEXT,
        dtype=dtype,
        device=torch.device(device),
        fingerprint=mark,
        license="Apache-2.0",
    )


def save_tiny(path: Path, seed: int = 0) -> Path:
    """Write `tiny` as a model folder that `load` accepts; returns `path`."""
    with quiet():
        _model(seed).save_pretrained(path)
        _tokenizer().save_pretrained(path)
    return path


def _config() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(SPECIAL) + 256,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=CONTEXT,
        initializer_range=0.18,  # about 1 / sqrt(hidden_size): logits of unit spread
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        attn_implementation=OWN_ATTENTION,
    )


def _model(seed: int) -> LlamaForCausalLM:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(_config())


def _tokenizer() -> PreTrainedTokenizerFast:
    words = [*SPECIAL, *sorted(ByteLevel.alphabet())]
    backend = Tokenizer(BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=True)
    backend.decoder = ByteDecoder()
    backend.add_special_tokens([AddedToken(word, normalized=False, special=True) for word in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token=SPECIAL[0],
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[2],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        chat_template=CHATML,
    )


def _fingerprint(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> str:
    """Of the weights as drawn, so that every precision of one seed is the same base."""
    facts = {k: v for k, v in model.config.to_dict().items() if k not in ("transformers_version", "dtype")}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.numpy().tobytes())
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    digest.update(CHATML.encode())
    return digest.hexdigest()
