"""What a process needs before a verb begins."""

from __future__ import annotations

import io
import os
import resource
import sys
from pathlib import Path

import pytest

from rung.cli.process import LEAST_MEMORY, discard_unwritten, prepare_streams, require_place, require_text
from rung.errors import ResourceError, UsageError


def test_closed_streams_become_the_null_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    prepare_streams()
    made = (sys.stdin, sys.stdout, sys.stderr)
    assert made[0].read() == ""
    for stream in made[1:]:
        stream.write("\udcff語\n")
        stream.flush()
    for stream in made:
        os.close(stream.fileno())


@pytest.mark.parametrize(
    ("encoding", "written"), [("ascii", b"a?"), ("latin-1", b"a?"), ("utf-8", "a語".encode())]
)
def test_characters_that_a_stream_cannot_hold_are_replaced(
    encoding: str, written: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, errors="strict"))
    prepare_streams()
    sys.stdout.write("a語")
    sys.stdout.flush()
    assert raw.getvalue() == written


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_input_that_is_not_utf8_is_read(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO("é".encode() + b"\xff\xf0\x9f\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape"))
    prepare_streams()
    assert sys.stdin.readline() == "é\ufffd\ufffd\n"


def test_arguments_are_text() -> None:
    require_text(["climb", "naïve 語.csv"])
    with pytest.raises(UsageError, match="argument 2 is not UTF-8 text: x\udcff"):
        require_text(["climb", "x\udcff" + "y" * 10_000])


def test_the_working_folder_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    require_place()
    gone.rmdir()
    with pytest.raises(UsageError, match=r"is not there any more\. Change to a folder that exists"):
        require_place()


def test_a_limit_of_memory_is_seen_before_anything_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"now": (resource.RLIM_INFINITY, resource.RLIM_INFINITY)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    require_place()
    limits["now"] = (LEAST_MEMORY, resource.RLIM_INFINITY)
    require_place()
    limits["now"] = (512 << 20, resource.RLIM_INFINITY)
    with pytest.raises(ResourceError, match=r"may use 537 MB of address space, and .* Raise the limit"):
        require_place()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_its_stream_does_not_take_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    full = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115  closed below, which would raise
    monkeypatch.setattr(sys, "stdout", full)
    full.write("x")
    discard_unwritten()
    full.close()
