"""The base that a saved answer needs: how it is written down, and how it is loaded again."""

from __future__ import annotations

from typing import Any

from rung import device as devices
from rung.bases.load import load
from rung.data.templates import Renderer
from rung.errors import BaseModelError
from rung.evaluation.run import Speaker
from rung.ladder.prepare import Prepared


def base_of(prepared: Prepared) -> dict[str, Any]:
    """The base of `prepared` as JSON values: its name as the user gave it, what it is, its number format."""
    return {
        "base": prepared.settings.base,
        "fingerprint": prepared.base.fingerprint,
        "precision": prepared.device.precision,
    }


def speaker_of(about: dict[str, Any]) -> Speaker:
    """Load what `base_of` wrote down. Raises `BaseModelError` where it is not the same base."""
    device = devices.choose(about["precision"], None)
    base = load(about["base"], dtype=device.dtype, device=str(device.device))
    if base.fingerprint != about["fingerprint"]:
        raise BaseModelError(
            f"the base {about['base']} is not the one that was used",
            why=f"Its fingerprint is {base.fingerprint}, not {about['fingerprint']}",
            fix="Give the original base, or climb again",
        )
    return Speaker(base, Renderer(base.tokenizer))
