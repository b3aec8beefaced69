"""Only plain files are opened, and no more of them is read than asked for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from rung.plain import NotPlain, TooLarge, open_plain, read_plain


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_plain(path, 5) == b"12345"
    with pytest.raises(TooLarge, match="larger than the 4 bytes"):
        read_plain(path, 4)
    (tmp_path / "link").symlink_to(path)
    assert read_plain(tmp_path / "link", 5) == b"12345"


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket"))
    for path in (tmp_path / "pipe", tmp_path / "socket", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(NotPlain, match="a pipe or a device"):
            read_plain(path, 10)
    with pytest.raises(IsADirectoryError):
        read_plain(tmp_path, 10)
    with pytest.raises(FileNotFoundError):
        open_plain(tmp_path / "nowhere")


def test_a_file_that_becomes_a_pipe_before_it_is_open_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("rung.plain.require_plain", lambda path: None)
    with pytest.raises(NotPlain):
        open_plain(tmp_path / "pipe")
