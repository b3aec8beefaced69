"""Labels that are steps of a scale: the number that each stands for.

Numbers are read from the labels ("4", "4 stars", "4/5", "★★★★☆", "4 - good") or follow from well-known words
("low", "medium", "high"), which then count as 1, 2, 3, ... in their order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rung.data import names
from rung.evaluation.labels import loose

FEWEST, MOST = 3, 21  # steps of a scale; half points from 0 to 10 are 21
Scale = dict[str, float]  # label -> number

_NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:[.,]\d+)?(?![\w.]*\d)")
_OF = re.compile(r"\s*(?:/|out of|of|von|sur|de)\s*\d+(?:[.,]0+)?\s*$", re.IGNORECASE)
_STARS = re.compile(r"[★⭐☆\ufe0f\s]+")
_RATED = re.compile(r"star|point|level|grade|score|rating|stern|punkt|étoile|estrella|note|★", re.IGNORECASE)
_RATING_NAMES = {
    *("level", "severity", "priority", "urgency", "difficulty", "quality", "satisfaction", "importance"),
    *("rank", "likelihood", "relevance", "similarity", "age", "size", "intensity"),
}
_USUAL = ((1, 5), (1, 7), (1, 10), (0, 10))  # first and last step of plain numbers that are taken for ratings
_WORDS = (
    "very low,low,medium|moderate|normal,high,very high,critical|urgent",
    "very small,small,medium,large|big,very large",
    "none,mild|minor|low,moderate|medium,severe|major|high,critical",
    "terrible|awful|very poor|very bad,poor|bad,fair|average|ok|okay|neutral,good,great|very good,excellent",
    "strongly disagree,disagree,neutral|neither agree nor disagree|undecided,agree,strongly agree",
    "very dissatisfied,dissatisfied,neutral,satisfied,very satisfied",
    "very unlikely,unlikely,neutral|possible,likely,very likely",
    "very negative,negative,neutral|mixed,positive,very positive",
    "never,rarely,sometimes,often,always",
    "very easy,easy,medium|moderate|normal,hard|difficult,very hard|very difficult",
    "beginner|novice,intermediate,advanced,expert",
)


def scale_of(labels: Sequence[str], meanings: Mapping[str, str], columns: Sequence[str]) -> Scale:
    """The numbers of `labels` where they are steps of a scale; empty where they are not.

    `meanings` (label in the file -> label) may hold the numbers, and `columns` are the names of the target.
    Plain numbers, such as 0 to 3, may also be names of classes: they are a scale where the column is named
    after a rating, where a label says what is counted, or where they go from 1 to 5, 7 or 10, or 0 to 10.
    """
    if not FEWEST <= len(labels) <= MOST:
        return {}
    found = numbered(labels, meanings)
    if found and len(set(found.values())) == len(found):
        worded = any(_RATED.search(label) for label in labels) or any(_OF.search(label) for label in labels)
        if (
            worded
            or any(map(is_rating, columns))
            or _usual(found.values())
            or worded_scale(meanings.values())
        ):
            return found
        return _same_order(labels, found)
    return worded_scale(labels)


def numbered(labels: Iterable[str], meanings: Mapping[str, str]) -> Scale:
    """The number in each label, or in what the file writes for it; empty where one has none or several."""
    written = {meaning: name for name, meaning in meanings.items()}
    found: Scale = {}
    for label in labels:
        value = number_in(written.get(label, label))
        if value is None:
            return {}
        found[label] = value
    return found


def number_in(label: str) -> float | None:
    """The one number that a label holds, the 4 of "4/5" and "4 stars"; None where it has none or several."""
    text = loose(label)
    if _STARS.fullmatch(text) and text.strip():
        return float(text.count("★") + text.count("⭐"))
    found = _NUMBER.findall(_OF.sub("", text))
    return float(found[0].replace(",", ".").replace("−", "-")) if len(found) == 1 else None


def is_rating(column: str) -> bool:
    """Whether a column is named after a rating: rating, stars, score, severity, ..."""
    rated = any(
        part == "target" and kind == "label" and rank % 10 == 2 for part, kind, rank in names.parts_of(column)
    )
    return rated or bool(_RATING_NAMES & set(names.words_of(column)))


def worded_scale(labels: Iterable[str]) -> Scale:
    """1, 2, 3, ... for labels that are all words of one well-known scale; else empty."""
    plain = {label: loose(label).replace("_", " ").replace("-", " ") for label in labels}
    for line in _WORDS:
        place = {word: step for step, words in enumerate(line.split(",")) for word in words.split("|")}
        steps = {label: place[text] for label, text in plain.items() if text in place}
        if FEWEST <= len(plain) == len(steps) == len(set(steps.values())):
            return {label: float(i) for i, label in enumerate(sorted(steps, key=steps.__getitem__), start=1)}
    return {}


def main_labels(counts: Counter[str]) -> list[str]:
    """The labels without those that one row has by mistake, such as 55 among 1 to 5."""
    most = max(1, counts.total() // 100)
    often = [label for label, n in counts.items() if n > 1]
    rare = [label for label in counts if label not in often]
    return often if len(rare) <= most and len(often) >= FEWEST else list(counts)


def _usual(values: Iterable[float]) -> bool:
    found = set(values)
    return all(value == int(value) for value in found) and (int(min(found)), int(max(found))) in _USUAL


def _same_order(labels: Sequence[str], found: Scale) -> Scale:
    """`found` where the words next to the numbers are a scale: "1 low", "2 medium", "3 high"; else empty."""
    bare = {label: re.sub(r"[^\w\s]|\d", " ", loose(label)).strip() for label in labels}
    steps = worded_scale(bare.values())
    ordered = sorted(labels, key=found.__getitem__)
    known = [steps.get(bare[label], 0.0) for label in ordered]
    return found if steps and (known == sorted(known) or known == sorted(known, reverse=True)) else {}
