"""Put an adapter on a base that is loaded: what `rung evaluate` and `rung chat` do with ``--adapter``."""

from __future__ import annotations

from pathlib import Path

from rung.bases.catalog import CATALOG
from rung.evaluation.run import Speaker
from rung.methods.method import Attached
from rung.methods.origin import Home, Origin
from rung.methods.peft_format import load_adapter


def home_of(speaker: Speaker) -> Home:
    """The base of `speaker`, in the terms in which an adapter's folder names its base."""
    return Home(
        name=speaker.base.name,
        fingerprint=speaker.base.fingerprint,
        template=speaker.renderer.written_template,
        template_fingerprint=speaker.renderer.fingerprint,
        catalog=frozenset(CATALOG),
        bits=speaker.base.bits,
    )


def attach(folder: Path, speaker: Speaker) -> tuple[Attached, Origin]:
    """Put the adapter in `folder` on the base of `speaker`; raises `AdapterError`."""
    return load_adapter(folder, speaker.base.model, home_of(speaker))
