"""The base built in code."""

from __future__ import annotations

import pytest
import torch

from rung.bases.load import load
from rung.bases.tiny import save_tiny, tiny


def test_a_seed_decides_the_weights():
    first, again, other = tiny(3), tiny(3), tiny(4)
    one, two, three = (torch.cat([p.flatten() for p in b.model.parameters()]) for b in (first, again, other))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_building_it_leaves_the_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    tiny(1)
    assert torch.equal(torch.rand(3), expected)


def test_it_is_frozen_and_in_the_dtype_asked_for():
    base = tiny(dtype=torch.bfloat16)
    assert not base.model.training
    assert all(p.dtype is torch.bfloat16 and not p.requires_grad for p in base.model.parameters())
    assert base.model.model.rotary_emb.inv_freq.dtype is torch.float32
    assert base.fingerprint == tiny().fingerprint


@pytest.mark.parametrize("text", ["plain", "naïve — 東京 🙂", "\t\n  \x00", "<|im_end|>"])
def test_any_text_survives_the_tokenizer(text):
    tokenizer = tiny().tokenizer
    ids = tokenizer(text, split_special_tokens=True)["input_ids"]
    assert len(ids) == len(text.encode())
    assert tokenizer.decode(ids) == text


def test_its_template_is_chatml():
    tokenizer = tiny().tokenizer
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    assert text == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyo<|im_end|>\n"
    prompt = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert text.startswith(prompt)
    assert prompt.endswith("<|im_start|>assistant\n")


def test_the_position_of_a_word_matters_to_it():
    """A base whose attention does nothing would let wrong attention pass every test."""
    base = tiny()
    with torch.no_grad():
        logits = base.model(input_ids=torch.tensor([[10, 20, 30], [20, 10, 30]])).logits[:, -1]
    assert (logits[0] - logits[1]).abs().max() > 0.1


def test_saved_it_loads_as_the_same_model(tmp_path):
    base, again = tiny(2), load(str(save_tiny(tmp_path / "t", 2)))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        assert torch.equal(base.model(input_ids=ids).logits, again.model(input_ids=ids).logits)
    assert again.tokenizer("a b")["input_ids"] == base.tokenizer("a b")["input_ids"]
    assert again.tokenizer.chat_template == base.tokenizer.chat_template
    assert again.context == base.context
