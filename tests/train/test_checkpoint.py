"""Checkpoints hold all of a training run's state, and the newest whole one is found."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from rung import storage
from rung.errors import ResourceError, ResumeError
from rung.methods import on_disk
from rung.records import CurvePoint, Rendered
from rung.train.checkpoint import Progress, load_checkpoint, mark_of, save_checkpoint
from rung.train.optim import adamw, set_learning_rate


@pytest.fixture(autouse=True)
def _no_fault() -> Iterator[None]:
    yield
    storage.fault = None


def an_optimizer(seed: int = 0, steps: int = 0) -> torch.optim.AdamW:
    """An optimizer of two parameters that took `steps` steps."""
    draw = torch.Generator().manual_seed(seed)
    parameters = [nn.Parameter(torch.randn(shape, generator=draw)) for shape in ((3, 2), (4,))]
    optimizer = adamw(dict(zip((1.0, 2.0), parameters, strict=True)), 0.0)
    set_learning_rate(optimizer, 0.1)
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=draw)
        optimizer.step()
    return optimizer


def parameters_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def a_progress(step: int) -> Progress:
    return Progress(
        step=step,
        tokens=1234,
        targets=321,
        seconds=1.5,
        curve=[CurvePoint(0, 0, 0.0, None, 0.1 + 0.2), CurvePoint(step, 1234, 1.5, 1 / 3, 2 / 3, 1e-3)],
        best_step=step,
        best_loss=2 / 3,
        loss_since=1 / 7,
        targets_since=9,
    )


BEST = {"layer.weight": torch.arange(6.0).view(2, 3).T}  # not dense


def save(folder: Path, step: int, mark: str = "f00d") -> torch.optim.AdamW:
    optimizer = an_optimizer(steps=step)
    best = folder.parent / f"{folder.name}-best.safetensors"
    on_disk.write(BEST, best)
    save_checkpoint(folder, mark, a_progress(step), optimizer, best)
    return optimizer


def damage(folder: Path) -> None:
    path = folder / "state.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_everything_comes_back_bit_for_bit(tmp_path: Path) -> None:
    was = save(tmp_path, 3)
    now = an_optimizer(seed=9)
    found = load_checkpoint(tmp_path, "f00d", now)
    assert found is not None
    progress, best, skipped = found
    assert progress == a_progress(3)
    assert best is not None
    assert torch.equal(on_disk.OnDisk(best)["layer.weight"], BEST["layer.weight"])
    assert skipped == []
    for old, new in zip(parameters_of(was), parameters_of(now), strict=True):
        assert torch.equal(old, new)
        assert was.state[old].keys() == now.state[new].keys() == {"step", "exp_avg", "exp_avg_sq"}
        for name, value in was.state[old].items():
            assert value.dtype == now.state[new][name].dtype
            assert torch.equal(value, now.state[new][name])


def test_the_next_step_is_the_same(tmp_path: Path) -> None:
    was, now = save(tmp_path, 3), an_optimizer(seed=9)
    load_checkpoint(tmp_path, "f00d", now)
    for optimizer in (was, now):
        optimizer.param_groups[0]["lr"] = 0.1
        for parameter in parameters_of(optimizer):
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    for old, new in zip(parameters_of(was), parameters_of(now), strict=True):
        assert torch.equal(old, new)


def test_before_the_first_step_there_are_no_moments(tmp_path: Path) -> None:
    was, now = save(tmp_path, 0), an_optimizer(seed=9, steps=2)
    assert load_checkpoint(tmp_path, "f00d", now) is not None
    assert not now.state_dict()["state"]
    assert torch.equal(parameters_of(was)[0], parameters_of(now)[0])


def test_none_where_there_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, "f00d", an_optimizer()) is None


def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    for step in (8, 9, 10, 11):
        save(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000010", "step-000011"]


def test_what_a_killed_write_left_is_cleared_away(tmp_path: Path) -> None:
    for name in (".step-000001.4711.tmp", ".step-000001.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.safetensors").write_bytes(b"half")
    save(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000002"]


@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_a_damaged_one_is_skipped_and_told(tmp_path: Path, how: str) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    newest = tmp_path / "step-000002"
    if how == "flipped":
        damage(newest)
    elif how == "cut":
        os.truncate(newest / "state.safetensors", 10)
    else:
        (newest / "progress.json").unlink()
    optimizer = an_optimizer(seed=9)
    found = load_checkpoint(tmp_path, "f00d", optimizer)
    assert found is not None
    assert found[0].step == 1
    assert torch.equal(parameters_of(optimizer)[0], parameters_of(an_optimizer(steps=1))[0])
    assert len(found[2]) == 1
    assert "step-000002" in found[2][0]


def test_where_all_are_damaged_the_run_begins_anew_and_says_so(tmp_path: Path) -> None:
    save(tmp_path, 1)
    damage(tmp_path / "step-000001")
    optimizer = an_optimizer(seed=9)
    found = load_checkpoint(tmp_path, "f00d", optimizer)
    assert found is not None
    assert found[0] == Progress()
    assert "step-000001" in found[2][0]
    assert torch.equal(parameters_of(optimizer)[0], parameters_of(an_optimizer(seed=9))[0])


def test_one_of_another_run_is_refused_and_nothing_is_restored(tmp_path: Path) -> None:
    save(tmp_path, 1, mark="beef")
    optimizer = an_optimizer(seed=9)
    with pytest.raises(ResumeError, match="step-000001: the checkpoint was made with other data or settings"):
        load_checkpoint(tmp_path, "f00d", optimizer)
    assert torch.equal(parameters_of(optimizer)[0], parameters_of(an_optimizer(seed=9))[0])


def test_a_full_disk_keeps_the_older_ones(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)

    def fault(name: str, path: Path) -> None:
        if path.name == "progress.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    storage.fault = fault
    with pytest.raises(ResourceError, match="No space left"):
        save(tmp_path, 3)
    storage.fault = None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000001", "step-000002"]
    found = load_checkpoint(tmp_path, "f00d", an_optimizer())
    assert found is not None
    assert (found[0].step, found[2]) == (2, [])


def test_the_mark_is_of_what_decides_the_weights() -> None:
    rows = [Rendered("a", (1, 2, 3), (False, True, True)), Rendered("b", (4, 5), (False, True))]
    settings = {"learning_rate": 0.1, "limit_seconds": 9.0, "checkpoint_seconds": 60.0}
    settings |= {"patience": None, "guarded": False}
    numbers = [torch.zeros(3)]
    mark = mark_of(settings, (rows, rows[:1]), numbers)
    same = settings | {"limit_seconds": None, "checkpoint_seconds": 1.0, "guarded": True}
    assert mark_of(same, (rows, rows[:1]), numbers) == mark
    named = [Rendered("other", *(rows[0].ids, rows[0].mask)), rows[1]]
    assert mark_of(settings, (named, named[:1]), numbers) == mark  # a row is its tokens
    others = [
        mark_of(settings | {"learning_rate": 0.2}, (rows, rows[:1]), numbers),
        mark_of(settings | {"patience": 2}, (rows, rows[:1]), numbers),
        mark_of(settings, (rows[::-1], rows[:1]), numbers),
        mark_of(settings, (rows, rows), numbers),
        mark_of(settings, (rows, rows[:1]), [torch.zeros(4)]),
    ]
    assert len({mark, *others}) == 6
