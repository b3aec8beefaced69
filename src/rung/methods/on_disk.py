"""Tensors on disk: they are written without a copy of them in memory, and read one at a time."""

from __future__ import annotations

import errno
import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from rung.border import foreign
from rung.errors import ResourceError

_LARGE = "/var/tmp"  # for large files; /tmp often is in memory


class OnDisk(Mapping[str, Tensor]):
    """The tensors of a safetensors file; each is read when it is asked for, and nothing of it is kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with safe_open(path, framework="pt") as file:
            self._names = dict.fromkeys(file.keys())

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        with safe_open(self.path, framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def write(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file. Raises `ResourceError` where the disk refuses."""
    dense: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        bare = tensor.detach().cpu().contiguous()
        dense[name] = bare.clone() if bare.data_ptr() in seen else bare  # the format knows no shared memory
        seen.add(bare.data_ptr())
    with foreign(partial(_unwritten, path)):
        save_file(dense, path, metadata={"format": "pt"})


class Aside:
    """Copies of tensors in a file without a name, which is gone when this is.

    Raises `ResourceError` where the disk refuses.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._places: dict[str, int] = {}
        with _explained():
            self._file = tempfile.TemporaryFile(dir=_folder())  # noqa: SIM115  it lives as long as this
            weakref.finalize(self, self._file.close)
            for name, tensor in tensors.items():
                self._places[name] = self._file.tell()
                self._file.write(_bytes(tensor.detach().cpu().contiguous()))
            self._file.flush()

    def read(self, name: str, into: Tensor) -> None:
        """Write the copy of `name` over `into`, a dense tensor of the same shape and number format."""
        bare = into if into.device.type == "cpu" else torch.empty_like(into, device="cpu")
        with _explained():
            self._file.seek(self._places[name])
            if self._file.readinto(_bytes(bare)) != into.nbytes:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        if bare is not into:
            into.copy_(bare)


def _bytes(tensor: Tensor) -> memoryview:
    """The bytes of a dense tensor on the CPU, not copied."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _folder() -> str:
    """Where temporary files go."""
    asked = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    return tempfile.gettempdir() if asked or not os.access(_LARGE, os.W_OK) else _LARGE


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"the base's weights cannot be kept in a temporary file: {error.strerror or error}",
            where=_folder(),
            fix="Make room there, or set TMPDIR to another folder",
        ) from error


def _unwritten(path: Path, text: str) -> ResourceError:
    return ResourceError(
        f"cannot write: {text}",
        where=str(path),
        fix="Make room or choose another --output, then run the same command again; finished work stays",
    )
