"""Rules that say whether a written answer follows a simple instruction. No torch, no judge.

A rule is a name and an argument, both plain JSON; an answer is right where it follows all rules of its item.

    is [texts]              the answer is one of these, but for case, quotes and the full stop at its end
    is_exactly [texts]      as `is`, but case counts
    contains [texts]        each is in it as whole words, case does not count; `a|b` asks for one of two
    contains_exactly [...]  as `contains`, but case counts
    without [texts]         none is in it as whole words, case does not count
    choice {options, right} `right` is in it and no other option is
    begins text             it begins with this, case does not count
    ends text               it ends with this, case does not count, nor do quotes after it and a full
                            stop or an exclamation mark after a word
    upper true              all its letters are capitals, and it has some
    lower true              none of its letters is a capital, and it has some
    lines n                 it has exactly n lines that are not blank
    most_words n            it has at least one and at most n words
    most_sentences n        it has at least one and at most n sentences
    pattern regex           the whole answer matches, without the space around it
    number x                the last number in it is x
    json {key: value}       it is a JSON object with these keys and values, alone or as a block of code;
                            null stands for any value
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from rung.errors import UsageError

_QUOTES = "\"'`*“”‘’"
_BLOCK = re.compile(r"```\w*\s*(.*?)```", re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?")
_SENTENCE_END = re.compile(r"[.!?]+(?=[\s\"'”’)]|$)")


def follows(rules: Mapping[str, Any], answer: str) -> bool:
    """Whether `answer` follows all `rules`. An answer without text follows none.

    Raises `UsageError` where there is no rule, or one that is not known.
    """
    if not rules:
        raise UsageError("an instruction without a rule cannot be graded", fix="Give it a rule")
    for name in rules:
        if name not in RULES:
            raise UsageError(f"no rule is called {name!r}", fix=f"There are: {', '.join(RULES)}")
    text = answer.strip()
    return bool(text) and all(RULES[name](text, argument) for name, argument in rules.items())


def _bare(text: str) -> str:
    """The text without the quotes around it and the full stop at its end."""
    return text.strip().strip(_QUOTES).removesuffix(".").strip(_QUOTES).strip()


def _is(text: str, wanted: list[str]) -> bool:
    return _bare(text).casefold() in {_bare(one).casefold() for one in wanted}


def _is_exactly(text: str, wanted: list[str]) -> bool:
    return _bare(text) in {_bare(one) for one in wanted}


def _has(text: str, words: str) -> bool:
    """Whether `words`, or one of those between bars, stand in `text` as whole words."""
    return any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", text) for one in words.split("|"))


def _contains(text: str, wanted: list[str]) -> bool:
    return all(_has(text.casefold(), one.casefold()) for one in wanted)


def _contains_exactly(text: str, wanted: list[str]) -> bool:
    return all(_has(text, one) for one in wanted)


def _without(text: str, banned: list[str]) -> bool:
    return not any(_has(text.casefold(), one.casefold()) for one in banned)


def _choice(text: str, of: Mapping[str, Any]) -> bool:
    found = [one for one in of["options"] if _has(text.casefold(), one.casefold())]
    return found == [of["right"]]


def _begins(text: str, wanted: str) -> bool:
    start = text.lstrip(_QUOTES).casefold()
    return re.match(rf"{re.escape(wanted.casefold())}(?!\w)", start) is not None


def _ends(text: str, wanted: str) -> bool:
    end = text.rstrip(_QUOTES)
    if wanted[-1].isalnum():
        end = end.rstrip(_QUOTES + ".!")
    lead = r"(?<!\w)" if wanted[0].isalnum() else ""
    return re.search(rf"{lead}{re.escape(wanted.casefold())}$", end.casefold()) is not None


def _upper(text: str, wanted: bool) -> bool:
    return text.isupper() is wanted


def _lower(text: str, wanted: bool) -> bool:
    return text.islower() is wanted


def _lines(text: str, wanted: int) -> bool:
    return sum(1 for line in text.splitlines() if line.strip()) == wanted


def _most_words(text: str, most: int) -> bool:
    return 0 < len(re.findall(r"\w+(?:['’-]\w+)*", text)) <= most


def _most_sentences(text: str, most: int) -> bool:
    parts = [part for part in _SENTENCE_END.split(text) if re.search(r"\w", part)]
    return 0 < len(parts) <= most


def _pattern(text: str, pattern: str) -> bool:
    return re.fullmatch(pattern, text) is not None


def _number(text: str, wanted: float) -> bool:
    found = _NUMBER.findall(text)
    return bool(found) and float(found[-1].replace(",", "")) == wanted


def _json(text: str, wanted: Mapping[str, Any]) -> bool:
    block = _BLOCK.search(text)
    try:
        found = json.loads(block[1] if block else text)
    except ValueError:
        return False
    if not isinstance(found, dict):
        return False
    return all(key in found and value in (None, found[key]) for key, value in wanted.items())


RULES: dict[str, Callable[[str, Any], bool]] = {
    "is": _is,
    "is_exactly": _is_exactly,
    "contains": _contains,
    "contains_exactly": _contains_exactly,
    "without": _without,
    "choice": _choice,
    "begins": _begins,
    "ends": _ends,
    "upper": _upper,
    "lower": _lower,
    "lines": _lines,
    "most_words": _most_words,
    "most_sentences": _most_sentences,
    "pattern": _pattern,
    "number": _number,
    "json": _json,
}
