"""Whose a run folder is: settings and the content of files; and its name where the user gives none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rung import storage
from rung.data.formats import Loaded
from rung.evaluation.tasks.extraction import GIVEN, SCHEMA
from rung.ladder.understood import Understood

# Settings that decide no result: the same run folder serves, and what is done there is kept.
FREE = frozenset({"output", "threads", "checkpoint_seconds", "rungs", "budget", "stop_when_hopeless"})
FREE |= {"tolerance", "goal", "volume"}  # of the verdict


def default_folder(loaded: Loaded, asked: dict[str, Any]) -> Path:
    """``runs/<file>-<8 digits>``: the same rows and settings always give the same folder.

    Which rungs are tried makes no difference, nor do the budget or the settings of the verdict: a later
    climb adds to what is there and draws the verdict again.
    """
    relevant = {key: value for key, value in asked.items() if key not in FREE}
    mark = storage.fingerprint([loaded.sha256, relevant])
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(loaded.name).stem)[:40]
    return Path("runs") / f"{stem}-{mark[:8]}"


def contents(data: Understood) -> dict[str, Any]:
    """What stands for the content of every file that was read, by the name of its setting.

    A schema stands for itself, with the order of its keys, which answers may have; how it is spaced does not
    matter. It is absent where the user gave none.
    """
    facts, test = data.task.facts, data.test
    found = {
        "data": data.loaded.sha256,
        "test": test.sha256 if test else None,
        "apis": facts.get("apis", {}).get("sha256"),
        "documents": data.documents.mark if data.documents else None,
    }
    if facts.get(GIVEN):
        found["schema"] = storage.sha256_bytes(json.dumps(facts[SCHEMA]).encode())
    return found
