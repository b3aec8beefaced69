"""Checkpoints of a training run: all of its state, in safetensors and JSON, with a manifest.

A run that continues from a checkpoint ends, on the same machine and versions, with the same bytes as one that
was never stopped: the order of rows is a pure function of the settings, so step, parameters, optimizer
moments and the best state so far are everything there is.
"""

from __future__ import annotations

import json
import shutil
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rung import storage
from rung.data.pairs import Pair
from rung.errors import ResumeError
from rung.methods.on_disk import OnDisk, write
from rung.records import CurvePoint, Rendered, from_json, to_json

KEEP = 2  # the newest may turn out to be damaged
_FREE = frozenset({"checkpoint_seconds", "limit_seconds", "guarded"})  # settings that decide no weights
_STATE, _BEST, _PROGRESS = "state.safetensors", "best.safetensors", "progress.json"


@dataclass
class Progress:
    """How far a training run is; everything but tensors."""

    step: int = 0  # steps taken
    tokens: int = 0
    targets: int = 0
    seconds: float = 0.0
    curve: list[CurvePoint] = field(default_factory=list)
    best_step: int | None = None
    best_loss: float | None = None
    loss_since: float = 0.0  # summed over the targets since dev loss was last measured
    targets_since: int = 0


def mark_of(
    settings: Mapping[str, Any], parts: Sequence[Sequence[Rendered]], parameters: Sequence[Tensor]
) -> str:
    """A hash of everything that decides the weights: `settings`, the rows of each part, and their order.

    How often is saved and how long a run may be do not count.
    """
    facts = {name: value for name, value in settings.items() if name not in _FREE}
    facts |= {"checkpoint_seconds": None, "limit_seconds": None}
    if facts.get("patience") is None:
        facts.pop("patience", None)  # so that checkpoints from before it was a setting are read
    rows = [[storage.sha256_bytes(_content(row)) for row in part] for part in parts]
    return storage.fingerprint([facts, rows, [tuple(p.shape) for p in parameters]])


def _content(row: Rendered) -> bytes:
    """What a row's part in the weights depends on."""
    label = b"" if row.label is None else str(row.label).encode()
    other = _content(row.other) if isinstance(row, Pair) else b""
    return array("q", row.ids).tobytes() + bytes(row.mask) + label + other


def save_checkpoint(
    folder: Path,
    mark: str,
    progress: Progress,
    optimizer: torch.optim.Optimizer,
    best: Path,
) -> None:
    """Write ``step-000120`` into `folder`; older ones but the last are removed. Raises `ResourceError`.

    `best` is the file with the best state so far.
    """
    tensors: dict[str, Tensor] = {}
    parameters = _parameters(optimizer)
    for index, parameter in enumerate(parameters):
        state = optimizer.state[parameter]
        tensors[f"parameter/{index}"] = parameter.detach()
        for name, value in state.items():
            tensors[f"{name}/{index}"] = value
    about = {"mark": mark, "progress": to_json(progress)}
    storage.write_folder(
        folder / f"step-{progress.step:06d}",
        {
            _STATE: partial(write, tensors),
            _BEST: partial(shutil.copyfile, best),
            _PROGRESS: json.dumps(about, indent=2).encode(),
        },
    )
    stopped = [*folder.glob(".step-*.tmp"), *folder.glob(".step-*.old")]  # writes that were killed
    for old in [*sorted(folder.glob("step-*"))[:-KEEP], *stopped]:
        storage.remove(old)


def load_checkpoint(
    folder: Path, mark: str, optimizer: torch.optim.Optimizer
) -> tuple[Progress, Path | None, list[str]] | None:
    """Restore parameters and optimizer from the newest checkpoint that is whole; None where there is none.

    Returns progress (at the start where none is whole), its file with the best state and notes on those
    skipped.
    Raises `ResumeError` where it was made with other data or settings.
    """
    newest, skipped = storage.newest_folder(folder, "step-")
    if newest is None:
        return (Progress(), None, skipped) if skipped else None
    about: dict[str, Any] = storage.read_object(newest / _PROGRESS, mark=str, progress=dict)
    if about["mark"] != mark:
        raise ResumeError(
            "the checkpoint was made with other data or settings",
            where=str(newest.name),
            fix="Give another --output, or delete the checkpoints folder",
        )
    _restore(optimizer, OnDisk(newest / _STATE))
    return from_json(Progress, about["progress"], str(newest.name)), newest / _BEST, skipped


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _restore(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Copies one tensor after the other: the file is as large as all that the optimizer holds."""
    parameters = _parameters(optimizer)
    state: dict[int, dict[str, Tensor]] = {}
    with torch.no_grad():
        for index, parameter in enumerate(parameters):
            parameter.copy_(tensors[f"parameter/{index}"])
            names = [name for name in ("step", "exp_avg", "exp_avg_sq") if f"{name}/{index}" in tensors]
            if names:
                state[index] = {name: tensors[f"{name}/{index}"].clone() for name in names}
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
