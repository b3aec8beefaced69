"""What the tests of the ladder share: a prepared file, and a cache of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

import letters
from rung.config import make_settings
from rung.ladder.prepare import Prepared, prepare
from rung.ladder.understood import understand_data


@pytest.fixture(autouse=True)
def _own_cache(own_cache: Path) -> None: ...


@pytest.fixture(scope="session")
def prepared(letters_csv: Path) -> Prepared:
    """The letters, prepared for tiny; a test that attaches something to the model detaches it again."""
    settings = make_settings(letters.FAST)
    return prepare(understand_data(letters_csv, settings), settings)
