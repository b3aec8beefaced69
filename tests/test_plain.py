"""Only plain files are opened, and no more of them is read than asked for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from rung.errors import ResumeError
from rung.plain import (
    NotPlain,
    TooLarge,
    open_plain,
    read_json,
    read_jsonl,
    read_object,
    read_plain,
    write_plain,
)


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


def test_what_is_no_file_is_not_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(NotPlain, match="a pipe or a device"):
            write_plain(path, "ab")
    with write_plain(tmp_path / "new", "ab") as file:
        file.write(b"12")
    with write_plain(tmp_path / "new", "ab") as file:
        file.write(b"3")
    assert (tmp_path / "new").read_bytes() == b"123"
    write_plain(tmp_path / "new", "wb").close()
    assert (tmp_path / "new").read_bytes() == b""


def test_json_is_taken_strictly(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    for text, what in (('{"a": NaN}', "it holds NaN"), ('{"a": 1, "a": 2}', "it has the key 'a' twice")):
        path.write_text(text)
        with pytest.raises(ResumeError, match=what):
            read_json(path)
        with pytest.raises(ResumeError, match=f"line 1 is not JSON: {what}"):
            read_jsonl(path)


def test_a_file_that_becomes_a_pipe_before_it_is_open_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("rung.plain.require_plain", lambda path: None)
    with pytest.raises(NotPlain):
        open_plain(tmp_path / "pipe")


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"\xff", b"9" * 5000])
def test_a_damaged_file_of_a_run_is_named(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(text)
    with pytest.raises(ResumeError, match=r"^plan\.json: .*Delete the file and run the same command again"):
        read_json(path)
    if text:
        with pytest.raises(ResumeError, match=r"^plan\.json: line 1 is not JSON"):
            read_jsonl(path)


@pytest.mark.parametrize(
    "text", ["[]", "null", "3", "{}", '{"asked": {}}', '{"asked": [], "fingerprint": "a"}']
)
def test_a_file_of_a_run_of_another_shape_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "claim.json"
    path.write_text(text)
    with pytest.raises(ResumeError, match=r"^claim\.json: the file has no '(asked|fingerprint)' of the kind"):
        read_object(path, asked=dict, fingerprint=str)


def test_a_pipe_in_a_run_folder_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(ResumeError, match=r"^run\.json: cannot be read: a pipe or a device"):
        read_json(tmp_path / "run.json")
