"""The language of a text, by its script or by its commonest small words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_SMALL_WORDS = {
    "English": "the and of to is you that it was for are not he she with his they have this what i we my",
    "French": "le les et est vous que il pas pour dans je ne une des du elle nous ce qui au à sont mon",
    "German": "der die das und ist nicht ich sie wir es ein eine zu mit den auf er du hat wie war haben",
    "Spanish": "el los y es que no en por con una se lo las del está para mi yo él qué muy tu como",
    "Italian": "il che di è non per una sono con ho mi del della lo ma gli si hai ha le nel cosa questo",
    "Portuguese": "o os e que não um uma para com eu ele do da em é você está as no na se foi ela muito",
    "Dutch": "de het een en van ik niet is dat je zijn op hij ze met voor wat er heeft we te naar maar",
}
SMALL_WORDS = {language: frozenset(words.split()) for language, words in _SMALL_WORDS.items()}
_SCRIPTS = {
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "HANGUL": "Korean",
    "CJK": "Chinese",
    "CYRILLIC": "Russian",
    "ARABIC": "Arabic",
    "GREEK": "Greek",
    "HEBREW": "Hebrew",
    "DEVANAGARI": "Hindi",
    "THAI": "Thai",
}
_WORD = re.compile(r"[^\W\d_]+")


def letters_only(text: str) -> list[str]:
    """The words of a text in lower case, without digits and marks."""
    return [word.lower() for word in _WORD.findall(text)]


def language_of(texts: Iterable[str]) -> str | None:
    """The language of these texts together, None where they do not show it."""
    sample = " ".join(text for text, _ in zip(texts, range(2000), strict=False))[:200_000]
    letters = [c for c in sample if c.isalpha()]
    if not letters:
        return None
    scripts = Counter(_script(c) for c in letters if c > "\u024f")
    if scripts.total() > 0.5 * len(letters):
        if scripts["Japanese"] > 0.1 * scripts.total():
            return "Japanese"
        return scripts.most_common(1)[0][0] or None
    words = letters_only(sample)
    hits = Counter({name: sum(w in small for w in words) for name, small in SMALL_WORDS.items()})
    (best, most), (_, second) = hits.most_common(2)
    return best if most >= 0.1 * len(words) and most >= 1.3 * second else None


def _script(letter: str) -> str:
    return _SCRIPTS.get(unicodedata.name(letter, "").split(" ")[0].split("-")[0], "")
