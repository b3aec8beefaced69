"""Multiple choice: a list of options, and the place of the right one as a number (MMLU, HellaSwag).

Options get letters, and the letter is learned. Places are counted from 0, or from 1 where that alone fits.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from rung.data.parts import Sheet
from rung.data.strict_json import show
from rung.data.values import number, text_of, unpacked

LETTERS = string.ascii_uppercase


def find_options(sheet: Sheet) -> None:
    """Note the column of options, where every target is the place of one. Prompt and target are settled."""
    parts = sheet.parts
    if len(parts["target"]) != 1 or parts.spans or parts.tags or parts.indicators:
        return
    places = [number(value) for value in sheet.values(parts["target"][0]) if text_of(value, "").strip()]
    for name in parts["prompt"]:
        lists = [unpacked(value) for value in sheet.values(name)]
        if not places or not all(map(_are_options, lists)):
            continue
        first = _counted_from(places, min(map(len, lists)), max(map(len, lists)))
        if first is None:
            continue
        parts.options, parts.first = name, first
        parts.kind = "label"
        parts.notes.append(
            f"{show(parts['target'][0])} is the right place in {show(name)}, counted from {first}; "
            "options get letters, and the letter is learned"
        )
        return


def lettered(options: Sequence[Any]) -> str:
    """A line for each option, such as ``A. Paris``."""
    return "\n".join(f"{letter}. {text_of(one, '')}" for letter, one in zip(LETTERS, options, strict=False))


def letter_at(value: Any, first: int) -> str:
    """The letter of the option at a place; the value as a text where it is no place."""
    place = number(value)
    if place is None or place != int(place) or not 0 <= place - first < len(LETTERS):
        return text_of(value, "")
    return LETTERS[int(place) - first]


def _are_options(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 2 <= len(value) <= len(LETTERS)
        and not any(isinstance(one, dict | list) or one is None for one in value)
    )


def _counted_from(places: Sequence[float | None], fewest: int, most: int) -> int | None:
    """0 or 1; None where the numbers are no places of so many options."""
    whole = [int(place) for place in places if place is not None and place == int(place)]
    if len(whole) < len(places) or min(whole) < 0 or max(whole) > most:
        return None
    if min(whole) == 0 or max(whole) < fewest:
        return 0 if max(whole) < most else None
    return 1
