"""The floor in a climb."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import letters
from rung import storage
from rung.api import climb
from rung.ladder.rungs import RUNGS


def test_every_row_gets_the_commonest_label(tmp_path: Path) -> None:
    rows = [{"text": f"note {i} of {i * 7}", "label": "rare" if i % 4 == 0 else "usual"} for i in range(80)]
    data = letters.write_jsonl(tmp_path / "x.jsonl", rows)
    climbed = climb(data, output=tmp_path / "run", **letters.FAST | {"rungs": "constant"})
    answers = storage.read_jsonl(climbed.folder / "predictions" / "constant.jsonl")
    assert Counter(one["text"] for one in answers) == {"usual": len(answers)}
    assert climbed.results[0].kind == "floor"


def test_it_stands_first() -> None:
    assert next(iter(RUNGS)) == "constant"
