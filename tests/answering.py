"""What the tests of predicting share: a climb of the classical rungs, and rows to answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import letters
from rung.ladder.climb import Climbed, climb

CLASSICAL = letters.FAST | {"rungs": "constant,nearest,words"}


def climb_classical(folder: Path) -> Climbed:
    """A climb on `letters` whose labels are 0 and 1 in the file and mean a and b."""
    rows = [{"text": text, "label": "01"["ab".index(label)]} for text, label in letters.rows(200)]
    return climb(rows, output=folder / "classical", label_names="0=a,1=b", **CLASSICAL)


def new_rows(count: int) -> list[dict[str, Any]]:
    """Rows without a label, with a column more."""
    return [{"n": n, "text": text} for n, (text, _) in enumerate(letters.rows(count, seed=7))]


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
