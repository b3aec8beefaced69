"""Prefix tuning's own; what every method promises is in tests/contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch

from attaching import attach
from families import base_of, model_of
from passing import logits_of
from rung import storage
from rung.compute import body
from rung.compute.lead import NONE, lead_of
from rung.compute.load import tiny
from rung.errors import AdapterError, BaseModelError
from rung.generate.engine import Engine
from rung.methods import METHODS
from rung.methods.adapter import Adapter
from rung.methods.origin import Home
from rung.methods.peft_format import files_of, read_adapter
from rung.methods.slots import slots_of
from rung.train.loss import pack_loss
from tiny_model import distance, plain_loss, random_rows, shake, tiny_model

ROWS = [[5, 6, 7, 8, 9, 10, 11], [5, 6, 7, 8, 9, 12], [40, 41]]
pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")  # PEFT's own


@pytest.mark.parametrize("window", [None, 2, 5])
@pytest.mark.parametrize("path", ["fused", "interface"])
def test_at_the_start_it_is_its_text_before_every_row(window: int | None, path: str) -> None:
    """Also where a sliding window hides a part of it; what is plain is computed without it."""
    plain = tiny_model(window=window, attention="eager")
    body.refuse(plain, "for a test")
    wanted = [one[3:] for one in logits_of(plain, [[7, 8, 7, *row] for row in ROWS])]
    model = tiny_model(window=window)
    body.refuse(model, None if path == "fused" else "for a test")
    attach("prefix", model, length=3, start_ids=(7, 8))
    for found, right in zip(logits_of(model, ROWS), wanted, strict=True):
        assert distance(found, right) < 1e-5


def test_answers_are_those_after_its_text() -> None:
    base = tiny()
    longer = [(7, 8, 7, *row) for row in ROWS]
    wanted = [one.ids for one in Engine(base).generate(longer, max_new_tokens=5, stop_ids=())]
    attach("prefix", base.model, length=3, start_ids=(7, 8))
    prompts = [tuple(row) for row in ROWS]
    answers = [one.ids for one in Engine(base).generate(prompts, max_new_tokens=5, stop_ids=())]
    assert answers == wanted


@pytest.mark.parametrize("kind", ["gemma3_text", "gpt2", "phi", "granite", "mixtral", "qwen3", "gpt_bigcode"])
def test_loss_and_gradient_are_those_of_peft(kind: str) -> None:
    base, own, rows = base_of(kind), model_of(kind), random_rows(4, longest=14)
    prefix: Any = attach("prefix", base.model, length=5)
    shake(prefix.parameters())
    shape = prefix.facts()
    if kind in ("gpt2", "gpt_bigcode"):
        del own.config.num_key_value_heads  # the tests' own, which PEFT would go by
    config = peft.PrefixTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM", **shape)
    theirs = peft.get_peft_model(own, config).eval()
    (weight,) = (p for p in theirs.parameters() if p.requires_grad)
    with torch.no_grad():
        weight.copy_(prefix.rows)
    losses = pack_loss(base.model, rows), plain_loss(theirs, rows)
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    assert distance(*(loss.detach() for loss in losses)) < 1e-5
    assert weight.grad is not None
    assert distance(prefix.rows.grad, weight.grad) < 1e-4


def test_what_peft_trained_through_a_network_is_read_as_keys_and_values(tmp_path: Path) -> None:
    base = tiny()
    base.model.set_attn_implementation("eager")
    config = peft.PrefixTuningConfig(
        num_virtual_tokens=4, prefix_projection=True, encoder_hidden_size=6, task_type="CAUSAL_LM"
    )
    theirs = peft.get_peft_model(base.model, config)
    shake([p for p in theirs.parameters() if p.requires_grad])
    with torch.no_grad():
        wanted = theirs.eval()(input_ids=torch.tensor(ROWS[:1])).logits[0]
    theirs.save_pretrained(str(tmp_path / "peft"))
    fresh = tiny()
    adapter, _ = read_adapter(tmp_path / "peft", Home("tiny", fresh.fingerprint, "t", "t"))
    adapter.put(fresh.model)
    assert distance(logits_of(fresh.model, ROWS[:1])[0], wanted) < 1e-5


def test_a_base_without_rungs_attention_is_refused_untouched() -> None:
    model = base_of("gemma2").model
    attach("prompt", model, slot="first", length=2)
    with pytest.raises(BaseModelError, match=r"Gemma2ForCausalLM is computed by its own code\. Take prompt"):
        attach("prefix", model, slot="second")
    assert slots_of(model).on == "first"


def test_layers_that_share_keys_are_refused_untouched() -> None:
    model = tiny_model()
    model.config.num_kv_shared_layers = 1
    attach("prompt", model, slot="first", length=2)
    with pytest.raises(BaseModelError, match="do not all have keys and values of one shape"):
        attach("prefix", model, slot="second")
    assert slots_of(model).names == ["first"]
    assert slots_of(model).on == "first"


def test_one_for_other_heads_is_refused_though_it_has_as_many_numbers(tmp_path: Path) -> None:
    method, model = METHODS["prefix"], tiny_model()
    attached = attach("prefix", model, length=3)
    adapter = Adapter.of(method, attached)
    attached.detach()
    odd = Adapter(method, adapter.settings, adapter.tensors, adapter.facts | {"num_attention_heads": 4})
    storage.write_folder(tmp_path / "odd", files_of(odd, "some-base"))
    read, _ = read_adapter(tmp_path / "odd", Home("some-base", "f", "t", "t"))
    with pytest.raises(AdapterError, match="num_attention_heads is 4, and the base has 2"):
        read.put(model)
    assert lead_of(model) is NONE
