"""The nearest row in a climb; it is for every task."""

from __future__ import annotations

from pathlib import Path

import letters
from rung import storage
from rung.api import climb


def test_it_answers_with_the_target_of_a_known_row(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"tell of town {i % 9} again {i}", "completion": f"town {i % 9} is old"} for i in range(90)
    ]
    data = letters.write_jsonl(tmp_path / "x.jsonl", rows)
    climbed = climb(data, output=tmp_path / "run", **letters.FAST | {"rungs": "nearest"})
    assert climbed.results[0].status == "ok"
    answers = storage.read_jsonl(climbed.folder / "predictions" / "nearest.jsonl")
    assert answers
    assert {one["text"] for one in answers} <= {row["completion"] for row in rows}
