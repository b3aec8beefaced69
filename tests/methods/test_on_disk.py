"""Tensors on disk come back bit for bit, one at a time."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rung.errors import ResourceError
from rung.methods import on_disk
from tiny_model import same_bytes

TENSORS = {
    "wide": torch.tensor([1.0, -0.0, float("nan"), 2**-140]),
    "odd": torch.arange(3, dtype=torch.bfloat16),
    "after": torch.arange(6.0).view(2, 3).T,  # not dense
}


def bits(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: one.contiguous().view(-1).view(torch.uint8) for name, one in tensors.items()}


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    on_disk.write(TENSORS, tmp_path / "some.safetensors")
    found = on_disk.OnDisk(tmp_path / "some.safetensors")
    assert same_bytes(bits(dict(found)), bits(TENSORS))
    assert (len(found), "wide" in found, "other" in found) == (3, True, False)


def test_parts_of_one_vector_are_written_as_they_are(tmp_path: Path) -> None:
    whole = torch.arange(10.0)
    on_disk.write({"a": whole[:4], "b": whole[4:]}, tmp_path / "parts")
    assert same_bytes(dict(on_disk.OnDisk(tmp_path / "parts")), {"a": whole[:4], "b": whole[4:]})


def test_what_is_read_is_no_longer_tied_to_the_file_once_it_is_copied(tmp_path: Path) -> None:
    on_disk.write(TENSORS, tmp_path / "some")
    copy = on_disk.OnDisk(tmp_path / "some")["odd"].clone()
    on_disk.write({"odd": torch.zeros(3, dtype=torch.bfloat16)}, tmp_path / "some")
    assert torch.equal(copy, TENSORS["odd"])


def test_copies_that_were_put_aside_come_back_into_the_tensors() -> None:
    tensors = {name: one.clone().contiguous() for name, one in TENSORS.items()}
    aside = on_disk.Aside(tensors)
    wanted = {name: one.clone() for name, one in tensors.items()}
    for name, one in tensors.items():
        one.zero_()
        aside.read(name, one)
    assert same_bytes(bits(tensors), bits(wanted))


def test_a_temporary_folder_without_room_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(**_: object) -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(on_disk.tempfile, "tempdir", None)  # it is looked for again
    monkeypatch.setattr(on_disk.tempfile, "TemporaryFile", full)
    with pytest.raises(ResourceError, match=r"temporary file: No space left.*TMPDIR") as caught:
        on_disk.Aside(TENSORS)
    assert str(tmp_path) in str(caught.value)


def test_a_tensor_under_two_names_is_written_twice(tmp_path: Path) -> None:
    one = torch.arange(6.0)
    on_disk.write({"a": one, "b": one}, tmp_path / "t.safetensors")
    found = on_disk.OnDisk(tmp_path / "t.safetensors")
    assert torch.equal(found["a"], found["b"])
