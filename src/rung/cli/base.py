"""Makes sure that a named base is on this machine before a verb loads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rung.cli.progress import Screen
from rung.errors import BaseModelError


def ensure_base(config: Path | None, settings: dict[str, Any], screen: Screen) -> None:
    """Fetch the base that will be used if it is in the catalog and not yet here.

    Raises `UsageError` for settings that cannot be used, `BaseModelError` where it cannot be fetched.
    """
    from rung.bases.catalog import CATALOG, fetch, folder_of
    from rung.config import load_settings

    name = load_settings(config, settings)[0].base
    if name not in CATALOG or name == "tiny" or folder_of(name) is not None:
        return
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        raise BaseModelError(
            f"the base {name!r} is not on this machine yet and HF_HUB_OFFLINE is set",
            fix="Unset it for one run of `rung bases get`, or give a local folder with --base",
        )
    fetch(name, screen.say)
