"""`--rungs all` on the tiny base: every rung and every method ends with a score."""

from __future__ import annotations

from pathlib import Path

import letters
from rung.ladder.climb import climb
from rung.ladder.rungs import RUNGS
from rung.methods import METHODS


def test_every_rung_of_the_ladder_runs(tmp_path: Path, own_cache: Path) -> None:
    data = letters.write_csv(tmp_path / "letters.csv", 120)
    asked = letters.FAST | {"epochs": 1, "learning_rate": 0.003, "max_test": 20, "max_dev": 20}
    climbed = climb(data, output=tmp_path / "run", rungs="all", **asked)
    status = {result.rung: (result.status, result.reason) for result in climbed.results}
    assert status == dict.fromkeys(
        (name for name, one in RUNGS.items() if not one.needs_documents and one.applies(climbed.info.task)),
        ("ok", ""),
    )
    for name in METHODS:
        assert any((climbed.folder / "adapters" / name).glob("*.safetensors"))
    assert climbed.verdict.recommended
    assert (climbed.folder / "run.json").is_file()
