"""The cached trunk: training with it ends where training without it ends, and its file is used again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from attaching import attach
from rung.compute import body
from rung.compute.passes import Pass
from rung.compute.tree import build
from rung.train import trunk
from rung.train.loss import mean_loss, pack_loss
from rung.train.trainer import Trainer
from rung.train.trunk import Trunk
from tiny_model import distance, random_rows, shake, tiny_model
from training import ROWS, SETTINGS

IDS = [row.ids for row in ROWS]


def test_states_are_those_of_the_first_layers(tmp_path: Path) -> None:
    model = tiny_model()
    rows = [(3, 4, 5, 6, 7, 8, 9, 10, 11), (3, 4, 5, 6, 7, 8, 9, 10, 12, 13), (5, 6)]
    cached = Trunk(model, 1, rows, tmp_path)
    some = [rows[1], rows[0]]
    tree = build(some)
    ids, positions = (torch.tensor([x]) for x in (tree.ids, tree.positions))
    with torch.no_grad():
        wanted = body.trunk(model, Pass(ids, positions, tree), 1)
    assert torch.allclose(cached.states(tree, some)[0], wanted, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_loss_and_gradients_are_the_same(tmp_path: Path, dtype: torch.dtype) -> None:
    model = tiny_model(dtype=dtype)
    attached = attach("lora", model, rank=4, top_layers=1)
    shake(attached.parameters())
    attached.updated()
    cached = Trunk(model, attached.frozen_layers(), IDS, tmp_path)
    found = []
    for one in (cached, None):
        loss = pack_loss(model, ROWS[:5], one)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = attached.parameters()
        found.append((loss.detach(), torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])))
        for parameter in parameters:
            parameter.grad = None
    bound = 1e-12 if dtype == torch.float64 else 1e-6 if dtype == torch.float32 else 0.02
    assert distance(found[0][0], found[1][0]) < bound
    assert distance(found[0][1], found[1][1]) < bound
    assert mean_loss(model, ROWS, trunk=cached) == pytest.approx(mean_loss(model, ROWS), rel=bound)


def test_training_with_it_ends_where_training_without_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    for on in (True, False):
        if not on:
            monkeypatch.setattr(trunk, "why_not", lambda *_: "it is switched off")
        model = tiny_model(dtype=torch.float64)
        attached = attach("lora", model, rank=4, top_layers=1)
        outcome = Trainer(model, attached, ROWS, random_rows(5, seed=9), SETTINGS).run()
        mechanism = {one.name: one for one in outcome.mechanisms}["cached trunk"]
        assert mechanism.on is on
        assert ("1 layers" if on else "switched off") in mechanism.why
        states.append(attached.state())
    assert max(distance(states[0][name], states[1][name]) for name in states[0]) < 1e-9


def test_the_file_is_made_once_and_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    Trunk(model, 1, IDS, tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size == trunk.bytes_needed(model, IDS)
    attach("lora", model, rank=2, top_layers=1)
    monkeypatch.setattr(trunk, "_fill", lambda *_: pytest.fail("computed again"))
    Trunk(model, 1, IDS[::-1], tmp_path)


def test_other_frozen_weights_or_rows_make_another_file(tmp_path: Path) -> None:
    model = tiny_model()
    Trunk(model, 1, IDS, tmp_path)
    Trunk(model, 1, IDS[:3], tmp_path)
    Trunk(tiny_model(seed=1), 1, IDS, tmp_path)
    Trunk(tiny_model(dtype=torch.bfloat16), 1, IDS, tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_write_that_was_stopped_leaves_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model()
    fill = trunk._fill

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trunk, "_fill", stop)
    with pytest.raises(KeyboardInterrupt):
        Trunk(model, 1, IDS, tmp_path)
    assert not list(tmp_path.glob("*.bin"))
    monkeypatch.setattr(trunk, "_fill", fill)
    Trunk(model, 1, IDS, tmp_path)
    assert [file.suffix for file in tmp_path.iterdir()] == [".bin"]


def test_why_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    folder = tmp_path / "not" / "there"
    assert trunk.why_not(model, 1, IDS, folder) is None
    assert "first layer" in str(trunk.why_not(model, 0, IDS, folder))
    monkeypatch.setattr(trunk, "bytes_needed", lambda *_: 10**18)
    assert "GB are free" in str(trunk.why_not(model, 1, IDS, folder))
    monkeypatch.setattr(body, "why_not", lambda model: "the layers are strange")
    assert trunk.why_not(model, 1, IDS, folder) == "the layers are strange"
