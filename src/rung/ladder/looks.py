"""How often test rows have been looked at: a small file in the cache for each set of test rows.

The best of many climbs on the same test rows is partly the best by luck, so their number is said.
The file holds fingerprints alone and stays on this machine.
"""

from __future__ import annotations

from collections.abc import Sequence

from rung import storage
from rung.bases.catalog import cache_dir
from rung.errors import RungError
from rung.records import Example


def look(test: Sequence[Example], climb: str) -> int:
    """Note that the climb with the fingerprint `climb` looks at `test`; how many others did so before.

    Where nothing can be read or written the number is 0: a note is no reason to stop.
    """
    rows = storage.fingerprint(sorted(example.id for example in test))
    path = cache_dir() / "looks" / f"{rows}.json"
    try:
        found = storage.read_json(path) if path.exists() else []
        before = [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
        if climb not in before:
            storage.write_json(path, [*before, climb])
    except (RungError, OSError):
        return 0
    return len(set(before) - {climb})


def sentence(others: int) -> str:
    """What the number of other climbs means; "" for none."""
    if not others:
        return ""
    climbs = "1 other climb" if others == 1 else f"{others:,} other climbs"
    return (
        f"these test rows have been used by {climbs} before, and the best of many tries is partly luck: "
        "choose on dev, or hold out new rows"
    )
