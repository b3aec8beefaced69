"""The rights of a plain user, also where the tests run as root."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_VERSION = 0x20080522  # of the structures of capget and capset
_OVERRIDE, _SEARCH = 1 << 1, 1 << 2  # root's rights to write and to read whatever the permissions say


@contextmanager
def of_others() -> Iterator[None]:
    """Permissions hold for this thread too while the block runs; for who is not root nothing changes."""
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root cannot give up its rights here")
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    before = data[0]
    data[0] = before & ~(_OVERRIDE | _SEARCH)
    assert libc.capset(header, data) == 0
    try:
        yield
    finally:
        data[0] = before
        assert libc.capset(header, data) == 0
