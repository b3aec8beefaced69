"""Checkpoints of a training run: all of its state, in safetensors and JSON, with a manifest.

A run that continues from a checkpoint ends, on the same machine and versions, with the same bytes as one that
was never stopped: the order of rows is a pure function of the settings, so step, parameters, optimizer
moments and the best state so far are everything there is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from rung import storage
from rung.errors import ResumeError
from rung.records import CurvePoint, from_json, to_json

KEEP = 2  # the newest may turn out to be damaged


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


def save_checkpoint(
    folder: Path,
    mark: str,
    progress: Progress,
    optimizer: torch.optim.Optimizer,
    best: Mapping[str, Tensor],
) -> None:
    """Write ``step-000120`` into `folder`; older ones but the last are removed. Raises `ResourceError`."""
    tensors: dict[str, Tensor] = {f"best/{name}": tensor.contiguous() for name, tensor in best.items()}
    parameters = _parameters(optimizer)
    for index, parameter in enumerate(parameters):
        state = optimizer.state[parameter]
        tensors[f"parameter/{index}"] = parameter.detach()
        for name, value in state.items():
            tensors[f"{name}/{index}"] = value
    about = {"mark": mark, "progress": to_json(progress)}
    storage.write_folder(
        folder / f"step-{progress.step:06d}",
        {"state.safetensors": save(tensors), "progress.json": json.dumps(about, indent=2).encode()},
    )
    stopped = [*folder.glob(".step-*.tmp"), *folder.glob(".step-*.old")]  # writes that were killed
    for old in [*sorted(folder.glob("step-*"))[:-KEEP], *stopped]:
        storage.remove(old)


def load_checkpoint(
    folder: Path, mark: str, optimizer: torch.optim.Optimizer
) -> tuple[Progress, dict[str, Tensor], list[str]] | None:
    """Restore parameters and optimizer from the newest checkpoint that is whole; None where there is none.

    Returns progress (at the start where none is whole), the best state and notes on those skipped.
    Raises `ResumeError` where it was made with other data or settings.
    """
    newest, skipped = storage.newest_folder(folder, "step-")
    if newest is None:
        return (Progress(), {}, skipped) if skipped else None
    about: dict[str, Any] = storage.read_object(newest / "progress.json", mark=str, progress=dict)
    if about["mark"] != mark:
        raise ResumeError(
            "the checkpoint was made with other data or settings",
            where=str(newest.name),
            fix="Give another --output, or delete the checkpoints folder",
        )
    tensors = load_file(newest / "state.safetensors")
    parameters = _parameters(optimizer)
    _restore(optimizer, parameters, tensors)
    best = {
        name.removeprefix("best/"): tensor for name, tensor in tensors.items() if name.startswith("best/")
    }
    return from_json(Progress, about["progress"], str(newest.name)), best, skipped


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _restore(
    optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    with torch.no_grad():
        for index, parameter in enumerate(parameters):
            parameter.copy_(tensors[f"parameter/{index}"])
    state = {
        index: {
            name: tensors[f"{name}/{index}"]
            for name in ("step", "exp_avg", "exp_avg_sq")
            if f"{name}/{index}" in tensors
        }
        for index in range(len(parameters))
    }
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": {k: v for k, v in state.items() if v}, "param_groups": groups})
