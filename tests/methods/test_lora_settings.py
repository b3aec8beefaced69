"""The options of LoRA."""

from __future__ import annotations

import pytest

from rung.methods.lora import Lora
from rung.methods.lora_settings import LoraSettings
from tiny_model import tiny_model


@pytest.mark.parametrize(("rslora", "scale"), [(False, 0.5), (True, 2.0)])
def test_scale(rslora: bool, scale: float) -> None:
    lora = Lora(tiny_model(), LoraSettings(rank=16, alpha=8.0, rslora=rslora))
    assert {layer.scale for layer in lora.changes.values()} == {scale}
