"""A run that was stopped and continues ends with the same bytes as one that was not (`Trainer`)."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

from attaching import labelled
from rung import storage
from rung.errors import ResourceError, ResumeError
from tiny_model import random_rows, same_bytes
from training import KINDS, ROWS, Killed, Run, make, without_time

pytestmark = pytest.mark.usefixtures("clock")
each_kind = pytest.mark.parametrize(("name", "dtype"), KINDS, ids=["lora", "full", "lora-bf16", "full-bf16"])


@each_kind
@pytest.mark.parametrize("kill_at", [4, 9])
def test_killed_and_resumed_ends_with_the_same_bytes(
    tmp_path: Path, name: str, dtype: torch.dtype, kill_at: int
) -> None:
    unbroken = make(name=name, dtype=dtype)
    wanted = unbroken.go()
    assert wanted.best_step == wanted.steps > kill_at + 1  # the last state is the one compared
    with pytest.raises(Killed):
        make(tmp_path, name, dtype).go(kill_at)
    saved = storage.newest_folder(tmp_path, "step-")[0]
    assert saved is not None
    assert 0 < int(saved.name[-6:]) < kill_at
    resumed = make(tmp_path, name, dtype)
    outcome = resumed.go()
    assert same_bytes(resumed.attached.state(), unbroken.attached.state())
    assert without_time(outcome) == without_time(wanted)
    assert any(f"continued from the checkpoint at step {int(saved.name[-6:])} of" in x for x in outcome.notes)


def test_killed_many_times_still_ends_with_the_same_bytes(tmp_path: Path) -> None:
    unbroken = make()
    wanted = unbroken.go()
    for kill_at in (3, 6, 7, 10):
        with pytest.raises(Killed):
            make(tmp_path).go(kill_at)
    resumed = make(tmp_path)
    assert without_time(resumed.go()) == without_time(wanted)
    assert same_bytes(resumed.attached.state(), unbroken.attached.state())


def test_killed_while_a_checkpoint_is_written(tmp_path: Path) -> None:
    unbroken = make()
    wanted = unbroken.go()

    def fault(name: str, path: Path) -> None:
        if name == "rename" and path.name == "step-000006":
            raise Killed

    storage.fault = fault
    with pytest.raises(Killed):
        make(tmp_path).go()
    storage.fault = None
    resumed = make(tmp_path)
    outcome = resumed.go()
    assert any("step 4 of" in note for note in outcome.notes)
    assert without_time(outcome) == without_time(wanted)
    assert same_bytes(resumed.attached.state(), unbroken.attached.state())


def test_a_damaged_checkpoint_is_skipped_and_the_older_one_ends_with_the_same_bytes(tmp_path: Path) -> None:
    unbroken = make()
    wanted = unbroken.go()
    with pytest.raises(Killed):
        make(tmp_path).go(9)
    newest, _ = storage.newest_folder(tmp_path, "step-")
    assert newest is not None
    os.truncate(newest / "state.safetensors", 1000)
    resumed = make(tmp_path)
    outcome = resumed.go()
    assert [newest.name in note for note in outcome.notes] == [True, False]
    assert "damaged" in outcome.notes[0]
    assert "step 6 of" in outcome.notes[1]
    assert without_time(outcome) == without_time(wanted)
    assert same_bytes(resumed.attached.state(), unbroken.attached.state())


def test_where_every_checkpoint_is_damaged_it_begins_anew_and_says_so(tmp_path: Path) -> None:
    unbroken = make()
    wanted = unbroken.go()
    with pytest.raises(Killed):
        make(tmp_path).go(4)
    for folder in tmp_path.iterdir():
        (folder / "state.safetensors").write_bytes(b"")
    resumed = make(tmp_path)
    outcome = resumed.go()
    assert "damaged" in outcome.notes[0]
    assert without_time(outcome) == without_time(wanted)
    assert same_bytes(resumed.attached.state(), unbroken.attached.state())


@pytest.mark.parametrize("dropped", [("exp_avg/", "exp_avg_sq/", "step/"), ("exp_avg/",), ("parameter/",)])
def test_control_without_all_of_the_state_the_end_differs(tmp_path: Path, dropped: tuple[str, ...]) -> None:
    """If this passed as equal, the tests above would prove nothing."""
    unbroken = make()
    unbroken.go()
    with pytest.raises(Killed):
        make(tmp_path).go(9)
    newest, _ = storage.newest_folder(tmp_path, "step-")
    assert newest is not None
    tensors = load_file(newest / "state.safetensors")
    for name in tensors:
        if name.startswith(dropped):
            tensors[name] = torch.zeros_like(tensors[name])
    others = {name: (newest / name).read_bytes() for name in ("best.safetensors", "progress.json")}
    storage.write_folder(newest, {"state.safetensors": save(tensors), **others})
    resumed = make(tmp_path)
    resumed.go()
    assert not same_bytes(resumed.attached.state(), unbroken.attached.state())


def test_a_listener_that_stops_the_run_loses_nothing(tmp_path: Path) -> None:
    class Hand:
        def step(self, done: int, *_: Any) -> None:
            if done == 5:
                raise KeyboardInterrupt

    unbroken = make()
    wanted = unbroken.go()
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, listener=Hand()).go()
    resumed = make(tmp_path)
    outcome = resumed.go()
    assert any("step 5 of" in note for note in outcome.notes)
    assert without_time(outcome) == without_time(wanted)
    assert same_bytes(resumed.attached.state(), unbroken.attached.state())


def test_a_full_disk_stops_the_run_and_it_goes_on_later(tmp_path: Path) -> None:
    def fault(name: str, path: Path) -> None:
        if name == "write" and ".step-000004" in path.parent.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    storage.fault = fault
    with pytest.raises(ResourceError, match="No space left"):
        make(tmp_path).go()
    storage.fault = None
    assert any("step 2 of" in note for note in make(tmp_path).go().notes)


def test_checkpoints_are_written_now_and_then_and_two_are_kept(tmp_path: Path) -> None:
    written = []
    storage.fault = lambda name, path: written.append(path.name) if name == "rename" else None
    outcome = make(tmp_path, checkpoint_seconds=30).go()
    written = [name for name in written if not name.startswith(".")]  # before they are deleted
    assert written == [f"step-{step:06d}" for step in range(3, outcome.steps + 1, 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == written[-2:]


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage.fault = lambda name, path: pytest.fail(f"{name} {path}")
    make(checkpoint_seconds=0.001).go()
    assert not list(tmp_path.iterdir())


OTHERS: dict[str, dict[str, Any]] = {
    "learning rate": {"learning_rate": 4e-3},
    "seed": {"seed": 1},
    "epochs": {"epochs": 4},
    "pack size": {"pack_tokens": 31},
    "rows": {"rows": random_rows(16, seed=5)},
    "other tokens": {"rows": [replace(row, ids=(*row.ids[:-1], 3)) for row in ROWS]},
    "other mask": {"rows": [replace(row, mask=(False, *([True] * (len(row.ids) - 1)))) for row in ROWS]},
    "dev rows": {"dev": ROWS[:5]},
    "method": {"name": "full"},
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS.keys())
def test_a_checkpoint_of_other_rows_or_settings_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(Killed):
        make(tmp_path).go(4)
    with pytest.raises(ResumeError, match="other data or settings"):
        make(tmp_path, **change).go()


def test_time_used_before_a_stop_counts(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        make(tmp_path).go(8)  # the checkpoint is at step 6: 60 seconds
    outcome = make(tmp_path, limit_seconds=75).go()
    assert outcome.steps == 8
    assert outcome.seconds == 80
    assert "time limit" in outcome.notes[-1]


def test_a_head_continues_with_the_same_bytes_and_not_with_other_labels(tmp_path: Path) -> None:
    rows, other = labelled(ROWS), labelled([*ROWS[1:], ROWS[0]])
    other = [*other[-1:], *other[:-1]]  # the same rows in the same order
    assert [row.ids for row in rows] == [row.ids for row in other]
    unbroken = make(name="head-lora", rows=rows, dev=rows)
    unbroken.go()
    with pytest.raises(Killed):
        make(tmp_path, "head-lora", rows=rows, dev=rows).go(9)
    with pytest.raises(ResumeError, match="other data"):
        make(tmp_path, "head-lora", rows=other, dev=rows).go()
    resumed = make(tmp_path, "head-lora", rows=rows, dev=rows)
    resumed.go()
    assert same_bytes(resumed.attached.state(), unbroken.attached.state())


@pytest.mark.parametrize("kill_at", [7, 35])
def test_with_a_judge_and_an_early_stop_it_continues_to_the_same_bytes(tmp_path: Path, kill_at: int) -> None:
    """The judge sees the weights alone, as the task's metric does."""
    given: dict[str, Any] = {"dev": random_rows(6, seed=77), "epochs": 20, "learning_rate": 1e-2}
    given |= {"evaluations": 8, "patience": 2, "slack": 0.01}

    def run(folder: Path | None) -> Run:
        made = make(folder, **given)
        weights = made.trainer.parameters[0]
        made.trainer.judge = lambda: round(1000 * float(weights.detach().abs().mean())) % 7 / 100
        return made

    unbroken = run(None)
    wanted = unbroken.go()
    with pytest.raises(Killed):
        run(tmp_path).go(kill_at)
    resumed = run(tmp_path)
    outcome = resumed.go()
    assert without_time(outcome) == without_time(wanted)
    assert same_bytes(resumed.attached.state(), unbroken.attached.state())


def test_a_run_that_had_stopped_early_stays_stopped(tmp_path: Path) -> None:
    given: dict[str, Any] = {"dev": random_rows(6, seed=77), "epochs": 20, "learning_rate": 1e-2}
    given |= {"evaluations": 8, "patience": 2, "checkpoint_seconds": 1e-9}
    first = make(tmp_path, **given)
    outcome = first.go()
    again = make(tmp_path, **given)
    assert outcome.early
    assert without_time(again.go()) == without_time(outcome)
    assert same_bytes(first.attached.state(), again.attached.state())
