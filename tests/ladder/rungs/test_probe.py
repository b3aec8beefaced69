"""A probe in a climb: it is for labels, and is tried without being asked for."""

from __future__ import annotations

from pathlib import Path

import letters
from rung.api import climb
from rung.config import make_settings
from rung.ladder.rungs import RUNGS, asked_for
from rung.ladder.rungs.probe import ProbeRung


def test_it_is_a_rung_of_every_climb_with_labels() -> None:
    assert "probe" in [rung.name for rung in asked_for(make_settings({}))]
    assert isinstance(RUNGS["probe"], ProbeRung)


def test_it_learns_and_says_what_it_chose(letters_csv: Path, tmp_path: Path, own_cache: Path) -> None:
    run = tmp_path / "run"
    (result,) = climb(letters_csv, output=run, **letters.FAST | {"rungs": "probe"}).results
    assert result.status == "ok", result.reason
    assert result.primary is not None
    assert result.primary.value is not None
    assert result.primary.value > 0.4
    assert [choice.name for choice in result.choices] == ["reading", "C"]
    assert result.kind == "probe"
    assert not result.prompts
    assert not result.tunes
    assert len(list((run / "features").glob("*.safetensors"))) == 2  # kept, one for each way to show a row


def test_it_is_skipped_where_there_are_no_labels(tmp_path: Path, own_cache: Path) -> None:
    rows = [{"prompt": f"say {i}", "completion": f"word {i} and {i * 7}"} for i in range(40)]
    data = letters.write_jsonl(tmp_path / "x.jsonl", rows)
    climbed = climb(data, output=tmp_path / "run", **letters.FAST | {"rungs": "constant,probe"})
    assert [one.status for one in climbed.results] == ["ok", "skipped"]
