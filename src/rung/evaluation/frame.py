"""What all texts of a file begin and end with, such as an instruction, and what stands inside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """The words with which all texts begin and end, such as an instruction; all rows have them."""

    before: str = ""
    after: str = ""

    @classmethod
    def around(cls, texts: Sequence[str]) -> Frame:
        """The frame of `texts`, whole words only."""
        if len(set(texts)) < 2:
            return cls()
        before = _whole_words(_beginning(texts))
        inner = [text[len(before) :] for text in texts]
        after = _whole_words(_beginning([text[::-1] for text in inner]))[::-1]
        return cls(before, after)

    def inside(self, text: str) -> str:
        """`text` without the frame; as it is where the frame is not around it."""
        framed = text.startswith(self.before) and text.endswith(self.after)
        if not framed or len(text) < len(self.before) + len(self.after):
            return text
        return text[len(self.before) : len(text) - len(self.after)]


def _beginning(texts: Sequence[str]) -> str:
    """What all texts begin with: what the first and the last in alphabetical order do."""
    first, last = min(texts), max(texts)
    pairs = enumerate(zip(first, last, strict=False))
    return first[: next((place for place, (one, other) in pairs if one != other), len(first))]


def _whole_words(text: str) -> str:
    """`text` up to and with its last space."""
    places = [place for place, character in enumerate(text) if character.isspace()]
    return text[: places[-1] + 1] if places else ""
