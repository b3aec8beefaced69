"""The last state of each row: packed, the same as the model gives row by row."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rung.compute import body
from rung.compute.ends import ends
from rung.train.trunk import Trunk
from tiny_model import distance, tiny_model

BEGIN = tuple(range(10, 22))
ROWS = [(*BEGIN, 30), (*BEGIN, 31, 32), BEGIN, (5, 6), (*BEGIN, 30)]  # two are equal, one begins others


@pytest.mark.parametrize("kind", ["fused", "own layers"])
@torch.no_grad()
def test_packed_equals_the_model_row_by_row(kind: str) -> None:
    model = tiny_model(dtype=torch.float64)
    if kind != "fused":
        body.refuse(model, "for this test")
    plain = tiny_model(dtype=torch.float64, attention="sdpa").base_model
    wanted = [plain(input_ids=torch.tensor([row]), use_cache=False).last_hidden_state[0, -1] for row in ROWS]
    found = ends(model, ROWS)
    assert distance(found, torch.stack(wanted)) < 1e-10
    assert torch.equal(found[0], found[4])


@pytest.mark.parametrize("layers", [1, 2])
@torch.no_grad()
def test_over_layers_that_were_computed_before(layers: int, tmp_path: Path) -> None:
    model = tiny_model()
    known = Trunk(model, layers, ROWS, tmp_path)
    assert distance(ends(model, ROWS[1:4], known), ends(model, ROWS[1:4])) < 1e-6
