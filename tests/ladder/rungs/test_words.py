"""TF-IDF with logistic regression in a climb; it is for labels."""

from __future__ import annotations

from pathlib import Path

import letters
from rung.api import climb


def test_words_that_decide_are_learned(tmp_path: Path) -> None:
    rows = [
        {"text": f"{'sunny' if i % 2 else 'rainy'} day number {i * 31}", "label": "out" if i % 2 else "in"}
        for i in range(100)
    ]
    data = letters.write_jsonl(tmp_path / "x.jsonl", rows)
    (result,) = climb(data, output=tmp_path / "run", **letters.FAST | {"rungs": "words"}).results
    assert result.primary is not None
    assert result.primary.value == 1.0
    assert [choice.name for choice in result.choices] != []


def test_it_is_skipped_where_there_are_no_labels(tmp_path: Path) -> None:
    rows = [{"prompt": f"say {i}", "completion": f"word {i} and {i * 7}"} for i in range(40)]
    data = letters.write_jsonl(tmp_path / "x.jsonl", rows)
    climbed = climb(data, output=tmp_path / "run", **letters.FAST | {"rungs": "constant,words"})
    assert [one.status for one in climbed.results] == ["ok", "skipped"]
