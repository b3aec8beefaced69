"""The base that a saved answer needs: how it is written down, and how it is loaded again."""

from __future__ import annotations

import os
from typing import Any

from rung import device as devices
from rung.compute.load import load
from rung.data.templates import Renderer
from rung.device import Device
from rung.errors import BaseModelError
from rung.evaluation.run import Speaker
from rung.ladder.prepare import Prepared


def base_of(prepared: Prepared) -> dict[str, Any]:
    """The base of `prepared` as JSON values: its name as the user gave it, what it is, how it computes.

    Threads are written down in fp32 alone: another count rounds differently, and in bf16 it changes while
    the climb runs.
    """
    device = prepared.device
    return {
        "base": prepared.settings.base,
        "fingerprint": prepared.base.fingerprint,
        "precision": device.precision,
        "bits": prepared.base.bits,
        "threads": device.threads if device.precision == "fp32" else None,
    }


def device_of(about: dict[str, Any]) -> Device:
    """The device for what `base_of` wrote down, with its number format and threads.

    A machine with fewer cores than threads were used computes with as many as it has free.
    """
    threads = about.get("threads")
    if threads is not None and threads > (os.cpu_count() or 1):
        threads = None
    return devices.choose(about["precision"], threads)


def speaker_of(about: dict[str, Any]) -> Speaker:
    """Load what `base_of` wrote down. Raises `BaseModelError` where it is not the same base."""
    device = device_of(about)
    base = load(about["base"], dtype=device.dtype, device=str(device.device), bits=about.get("bits"))
    if base.fingerprint != about["fingerprint"]:
        raise BaseModelError(
            f"the base {about['base']} is not the one that was used",
            why=f"Its fingerprint is {base.fingerprint}, not {about['fingerprint']}",
            fix="Give the original base, or climb again",
        )
    return Speaker(base, Renderer(base.tokenizer))
