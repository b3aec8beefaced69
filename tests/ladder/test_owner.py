"""Names of run folders."""

from __future__ import annotations

from pathlib import Path

import letters
from rung.data.formats import read_examples
from rung.ladder.owner import default_folder


def test_the_same_file_and_settings_give_the_same_folder(letters_csv: Path, tmp_path: Path) -> None:
    asked = {"base": "tiny", "seed": 1}
    loaded = read_examples(letters_csv)
    folder = default_folder(loaded, asked)
    assert folder.parent == Path("runs")
    assert folder.name.startswith("letters-")
    assert default_folder(loaded, asked | {"output": "elsewhere"}) == folder
    assert default_folder(loaded, asked | {"tolerance": 2.0, "goal": 80, "volume": 9}) == folder
    assert default_folder(loaded, asked | {"seed": 2}) != folder
    other = read_examples(letters.write_csv(tmp_path / "letters.csv", 100))
    assert default_folder(other, asked) != folder
    named = read_examples(letters.write_csv(tmp_path / ("x;$(rm)é " + "y" * 100 + ".csv"), 30))
    assert set("; $()") & set(default_folder(named, asked).name) == set()
    assert len(default_folder(named, asked).name) <= 50
