"""Prompt tuning's own; what every method promises is in tests/contract."""

from __future__ import annotations

import peft
import pytest
import torch

from attaching import attach
from families import base_of, model_of
from passing import logits_of
from rung.compute.lead import NONE, lead_of
from rung.errors import AdapterError
from rung.methods import METHODS
from rung.methods.adapter import Adapter
from rung.methods.slots import slots_of
from rung.train.loss import pack_loss
from tiny_model import distance, plain_loss, random_rows, shake, tiny_model

ROWS = [[5, 6, 7, 8], [40, 41]]
pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")  # PEFT's own


def test_at_the_start_it_is_its_text_before_every_row() -> None:
    model = tiny_model()
    wanted = [one[3:] for one in logits_of(model, [[7, 8, 7, *row] for row in ROWS])]
    attach("prompt", model, length=3, start_ids=(7, 8))
    for found, right in zip(logits_of(model, ROWS), wanted, strict=True):
        assert distance(found, right) < 1e-5


def test_the_embedding_itself_goes_back_and_the_model_keeps_its_format() -> None:
    model = tiny_model(dtype=torch.bfloat16)
    words = model.get_input_embeddings()
    names = [name for name, _ in model.named_parameters()]
    first = attach("prompt", model, slot="a", length=3)
    second = attach("prompt", model, slot="b", length=4)
    assert lead_of(model).length == 4
    assert model.dtype == torch.bfloat16
    assert len(list(model.parameters())) == len(names)
    slots_of(model).use("a")
    assert lead_of(model).length == 3
    second.detach()
    first.detach()
    assert model.get_input_embeddings() is words
    assert lead_of(model) is NONE


@pytest.mark.parametrize("kind", ["gemma", "gemma2", "gemma3_text", "granite", "gpt2", "mamba", "opt"])
def test_loss_and_gradient_are_those_of_peft(kind: str) -> None:
    """Some of them scale embeddings, in the embedding or after it."""
    base, rows = base_of(kind), random_rows(4, longest=14)
    prompt = attach("prompt", base.model, length=5)
    shake(prompt.parameters())
    config = peft.PromptTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM")
    theirs = peft.get_peft_model(model_of(kind), config).eval()
    (weight,) = (p for p in theirs.parameters() if p.requires_grad)
    with torch.no_grad():
        weight.copy_(prompt.parameters()[0])
    losses = pack_loss(base.model, rows), plain_loss(theirs, rows)
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    assert distance(*(loss.detach() for loss in losses)) < 1e-5
    (ours,) = prompt.parameters()
    assert ours.grad is not None
    assert weight.grad is not None
    assert distance(ours.grad, weight.grad) < 1e-4


def test_one_for_a_wider_base_is_refused() -> None:
    method = METHODS["prompt"]
    wide = Adapter(method, method.make({"length": 3}), {"prompt_embeddings": torch.zeros(3, 64)})
    model = tiny_model()
    with pytest.raises(AdapterError, match="shape"):
        wide.put(model)
    assert slots_of(model).names == []
    assert lead_of(model) is NONE
