"""Which speed-ups a training run reports, and why others are off."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import GemmaConfig, GemmaForCausalLM

from rung.data.pack import Step
from rung.records import Mechanism, Rendered
from rung.train.mechanisms import mechanisms
from tiny_model import tiny_model

TRUNK = Mechanism("cached trunk", on=False, why="said by the trainer")
HEADER = tuple(range(20, 30))
COMMON = [Rendered(str(i), (*HEADER, i, i + 1), (False,) * 11 + (True,)) for i in range(3, 7)]
APART = [Rendered(str(i), (i, i + 1, i + 2, i + 3), (False, False, True, True)) for i in range(3, 90, 9)]


def shown(model: object, rows: list[Rendered]) -> dict[str, Mechanism]:
    plan = [Step(0, (tuple(range(len(rows))),))]
    return {one.name: one for one in mechanisms(model, rows, plan, TRUNK)}  # type: ignore[arg-type]


def test_rows_with_a_common_beginning() -> None:
    found = shown(tiny_model(), COMMON)
    assert found["shared prefixes"] == Mechanism(
        "shared prefixes", on=True, why="62% of the tokens were already computed for another row"
    )
    assert found["fused layers"].on
    assert found["fused head"].why == "on the target tokens alone, 8% of all"
    assert found["cached trunk"] is TRUNK


def test_a_beginning_too_small_to_count() -> None:
    long = [Rendered(str(i), (*HEADER, *[i] * 2000), (False,) * 2009 + (True,)) for i in (3, 4)]
    assert shown(tiny_model(), long)["shared prefixes"].why.startswith("under 1% of the tokens")


def test_rows_that_do_not() -> None:
    found = shown(tiny_model(), APART)["shared prefixes"]
    assert not found.on
    assert "share no prefix" in found.why


def test_a_model_with_layers_and_a_head_of_its_own() -> None:
    shape = {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    model = GemmaForCausalLM(GemmaConfig(**shape, num_attention_heads=4, num_key_value_heads=2, head_dim=8))
    found = shown(model, APART)
    assert not found["fused layers"].on
    assert "GemmaModel" in found["fused layers"].why


@pytest.mark.parametrize(("precision", "on"), [("bf16", True), ("none", False)])
def test_fp32_products(precision: str, on: bool) -> None:
    switch: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = switch.fp32_precision
    try:
        switch.fp32_precision = precision
        assert shown(tiny_model(), APART)["fp32 products by oneDNN"].on is on
    finally:
        switch.fp32_precision = before


def test_fp32_products_do_not_matter_in_bf16() -> None:
    found = shown(tiny_model(dtype=torch.bfloat16), APART)["fp32 products by oneDNN"]
    assert not found.on
    assert "fp32" in found.why


def test_labels_need_no_head_of_the_base() -> None:
    rows = [Rendered(row.example_id, row.ids, (False,) * len(row.ids), label=0) for row in COMMON]
    found = shown(tiny_model(), rows)["fused head"]
    assert (found.on, found.why) == (False, "labels are learned: the base's own head is not used")
