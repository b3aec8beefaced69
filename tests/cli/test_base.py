"""A named base is fetched before a verb loads it, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from rung.bases import catalog
from rung.cli.base import ensure_base
from rung.errors import BaseModelError, UsageError


class Lines:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []

    def fetch(name: str, say: object) -> None:
        assert callable(say)
        say("downloading")
        names.append(name)

    monkeypatch.setattr(catalog, "fetch", fetch)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return names


def test_the_default_base_is_fetched_where_it_is_missing(fetched: list[str]) -> None:
    screen = Lines()
    ensure_base(None, {}, screen)
    assert fetched == [catalog.DEFAULT]
    assert screen.said == ["downloading"]


@pytest.mark.parametrize("name", ["tiny", "some/model", "./folder", "file.gguf"])
def test_what_is_not_in_the_catalog_is_left_to_loading(name: str, fetched: list[str]) -> None:
    ensure_base(None, {"base": name}, Lines())
    assert fetched == []


def test_what_is_here_is_not_fetched_again(
    fetched: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(catalog, "folder_of", lambda _: tmp_path)
    ensure_base(None, {}, Lines())
    assert fetched == []


def test_the_config_file_counts_and_is_checked_before_a_download(fetched: list[str], tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("base: gemma-3-270m\n")
    ensure_base(config, {}, Lines())
    assert fetched == ["gemma-3-270m"]
    with pytest.raises(UsageError):
        ensure_base(config, {"rank": "many"}, Lines())
    assert len(fetched) == 1


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("0", False), ("", False)])
def test_offline_is_honoured(
    value: str, offline: bool, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    if offline:
        with pytest.raises(BaseModelError, match=r"HF_HUB_OFFLINE is set\. Unset it for one run"):
            ensure_base(None, {}, Lines())
        assert fetched == []
    else:
        ensure_base(None, {}, Lines())
        assert fetched == [catalog.DEFAULT]
