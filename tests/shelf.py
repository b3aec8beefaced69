"""An invented house with devices: a catalogue of their functions, and requests with their calls."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import letters

DEVICES = ("lamp", "door", "oven", "fan", "radio", "gate", "heater", "pump")
DEEDS = {
    "start": "turns it on at once and keeps it running",
    "stop": "turns it off at once",
    "lock": "keeps others from changing it until it is opened again",
}


def catalogue() -> list[dict[str, Any]]:
    """A record for each function: name, call, description, arguments."""
    return [
        {
            "name": f"{device}.{deed}",
            "call": f"{device}.{deed}(room)",
            "description": f"The {device} of a room: {deed} {what}.",
            "arguments": [{"name": "room", "type": "str"}],
        }
        for device in DEVICES
        for deed, what in DEEDS.items()
    ]


def requests(count: int = 60, seed: int = 0) -> list[dict[str, str]]:
    """Requests and their calls; no two are the same."""
    draw, found = random.Random(seed), {}
    while len(found) < count:
        device, deed, room = draw.choice(DEVICES), draw.choice(sorted(DEEDS)), draw.randrange(40)
        polite = draw.choice(["Please", "Now", "Quick:"])
        request = f"{polite} {deed} the {device} in room {room}"
        found[request] = f"{device}.{deed}(room='{room}')"
    return [{"prompt": request, "completion": call} for request, call in found.items()]


def write(folder: Path, count: int = 60) -> tuple[Path, Path]:
    """The requests and the catalogue as files of JSON lines."""
    rows = letters.write_jsonl(folder / "requests.jsonl", requests(count))
    return rows, letters.write_jsonl(folder / "house.jsonl", catalogue())
