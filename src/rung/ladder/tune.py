"""Tune with one method: a climb of a single rung, which leaves its adapter and its measured score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rung.config import load_settings
from rung.errors import UsageError
from rung.ladder.climb import Climbed, climb
from rung.ladder.rungs import rung_of
from rung.ladder.watch import Watcher


def tune(
    data: object, config: str | Path | None = None, watcher: Watcher | None = None, **settings: Any
) -> Climbed:
    """Train ``settings["method"]`` (LoRA if not given) on `data`; see `climb` for both.

    The adapter is in ``Climbed.folder / "adapters"``, in PEFT's format (a whole model for full fine-tuning).
    """
    said = {name: value for name, value in settings.items() if name != "test"}  # which may be rows
    checked, asked = load_settings(Path(config) if config else None, said)
    if "rungs" in asked:
        raise UsageError(
            "`rung tune` climbs one rung, so it takes no setting 'rungs'",
            where=str(config or ""),
            fix="Choose the rung with `method`, or use `rung climb`",
        )
    rung = rung_of(checked.method or "lora")
    return climb(data, config, watcher, **settings | {"method": rung.method, "rungs": rung.name})
