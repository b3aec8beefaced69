"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import letters
from rung.bases import catalog

if TYPE_CHECKING:
    from rung.ladder.climb import Climbed


@pytest.fixture(scope="session")
def default_base_folder() -> Path:
    """The converted default base; tests that use it carry ``@pytest.mark.base``."""
    if os.environ.get("RUNG_TEST_NO_BASE"):
        pytest.skip("RUNG_TEST_NO_BASE is set")
    folder = catalog.folder_of(catalog.DEFAULT)
    if folder is None:
        pytest.skip(f"the default base is not in the cache; get it with: rung bases get {catalog.DEFAULT}")
    return folder


@pytest.fixture(scope="session")
def test_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of the tests' own, filled by the first climb."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def own_cache(test_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keeps the user's cache out of a test."""
    monkeypatch.setenv("RUNG_CACHE", str(test_cache))
    return test_cache


@pytest.fixture(scope="session")
def letters_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 rows of the task of `letters`."""
    return letters.write_csv(tmp_path_factory.mktemp("data") / "letters.csv")


@pytest.fixture(scope="session")
def climbed(letters_csv: Path, test_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Climbed:
    """One climb of the four rungs with a base on `letters_csv`, read by many tests and changed by none."""
    from rung.ladder.climb import climb

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNG_CACHE", str(test_cache))
        return climb(letters_csv, output=tmp_path_factory.mktemp("runs") / "letters", **letters.FOUR)


@pytest.fixture(scope="session")
def classical(test_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Climbed:
    """One climb of the rungs without a base, read by many tests and changed by none."""
    from answering import climb_classical

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNG_CACHE", str(test_cache))
        return climb_classical(tmp_path_factory.mktemp("runs"))
