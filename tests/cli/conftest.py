"""What the tests of the command line share: a prepared file, and a cache of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import letters
from rung.config import make_settings
from rung.ladder.climb import Climbed
from rung.ladder.prepare import Prepared, prepare
from rung.ladder.understood import understand_data


@pytest.fixture(autouse=True)
def _own_cache(own_cache: Path) -> None: ...


@pytest.fixture(scope="session")
def prepared(letters_csv: Path) -> Prepared:
    """The letters, prepared for tiny."""
    settings = make_settings(letters.FAST)
    return prepare(understand_data(letters_csv, settings), settings)


@pytest.fixture
def foreign(climbed: Climbed, tmp_path: Path) -> Path:
    """The adapter of a climb, as it would be if another program had made it on another base."""
    folder = shutil.copytree(climbed.folder / "adapters" / "lora", tmp_path / "foreign")
    for name in ("rung.json", "manifest.json"):
        (folder / name).unlink()
    config = folder / "adapter_config.json"
    config.write_text(config.read_text().replace('"tiny"', '"/models/other"'))
    return folder
