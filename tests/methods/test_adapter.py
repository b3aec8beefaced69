"""An adapter as data: read without a model, put on one that fits, refused by one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from attaching import attach
from rung import storage
from rung.errors import AdapterError
from rung.methods import METHODS
from rung.methods.adapter import Adapter
from rung.methods.origin import Home
from rung.methods.peft_format import files_of, read_adapter
from rung.methods.slots import slots_of
from tiny_model import copy_of, same_bytes, shake, tiny_model

HOME = Home("tiny", "f", "t", "t")


def logits(model: PreTrainedModel) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(input_ids=torch.arange(3, 30)[None], use_cache=False).logits
    return found


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, Tensor]:
    """A folder of a LoRA adapter, and what it answers."""
    model = tiny_model()
    lora = attach("lora", model, rank=4)
    shake(lora.parameters())
    lora.updated()
    adapter = Adapter.of(METHODS["lora"], lora, {"task": None})
    storage.write_folder(tmp_path / "kept", files_of(adapter, "tiny"))
    return tmp_path / "kept", logits(model)


def test_it_is_read_without_a_model_and_put_on_several(kept: tuple[Path, Tensor]) -> None:
    folder, answers = kept
    adapter, _ = read_adapter(folder, HOME)
    assert (adapter.method.name, adapter.settings.rank) == ("lora", 4)  # type: ignore[attr-defined]
    for _ in range(2):
        model = tiny_model()
        adapter.put(model)
        assert torch.equal(logits(model), answers)


def test_two_that_were_read_are_on_one_model(kept: tuple[Path, Tensor]) -> None:
    folder, answers = kept
    adapter, _ = read_adapter(folder, HOME)
    model = tiny_model()
    plain = logits(model)
    adapter.put(model, "one")
    other = adapter.put(model, "two")
    shake(other.parameters())
    other.updated()
    assert not torch.equal(logits(model), answers)
    slots_of(model).use("one")
    assert torch.equal(logits(model), answers)
    slots_of(model).use(None)
    assert torch.equal(logits(model), plain)


def test_a_model_that_it_does_not_fit_stays_as_it_is(kept: tuple[Path, Tensor]) -> None:
    adapter, _ = read_adapter(kept[0], HOME)
    model = tiny_model(window=4, vocabulary=50)
    model.model.layers = model.model.layers[:1]
    before, modules = copy_of(model), [type(m) for m in model.modules()]
    with pytest.raises(AdapterError, match="tensors are missing or unknown"):
        adapter.put(model)
    assert same_bytes(copy_of(model), before)
    assert [type(m) for m in model.modules()] == modules
