"""Verifiable instructions: rules that a program can check, such as "at least 300 words" or "no commas".

The rules and their arguments are those that Zhou et al. 2023 describe (IFEval, arXiv 2311.07911, table 1),
each under its published name. `problem` says why a rule cannot be checked, `follows` checks one answer as it
is, and `variants` are the texts of which one has to follow a rule where the check is loose.

Where the paper's own program lets an answer pass because the check itself fails (no language can be
detected), it does not pass here. Sentences are counted by their marks, not by a trained model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

RELATIONS = ("less than", "at least")
CHOICES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_CODES = """
    af ar bg bn ca cs cy da de el en es et fa fi fr gu he hi hr hu id it ja kn ko lt lv mk ml mr ne nl no pa
    pl pt ro ru sk sl so sq sv sw ta te th tl tr uk ur vi zh zh-cn zh-tw
"""
LANGUAGES = frozenset(_CODES.split())  # that the detector knows
MOST = 100_000  # that a rule may count
_WORD = re.compile(r"\w+")
_WHOLE_WORD = re.compile(r"[^\W_]+(?:['’.&-][^\W_]+)*")
_TITLE = re.compile(r"<<[^\n<>]*[^\n<>\s][^\n<>]*>>")
_HIGHLIGHT = re.compile(r"\*\*(?=[^\n*]*[^\n*\s])[^\n*]+\*\*|\*(?=[^\n*]*[^\n*\s])[^\n*]+\*")
_BULLET = re.compile(r"^[^\S\n]*(?:\*(?!\*)|-)[^\n]*$", re.MULTILINE)
_DIVIDER = re.compile(r"\s?\*\*\*\s?")
_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|[。！？]+")
_ABBREVIATIONS = """
    mr mrs ms dr prof st vs fig vol no dept gen col sgt capt gov rev hon approx est e.g i.e p.s p.p.s
"""
_SHORT = frozenset(_ABBREVIATIONS.split())  # words whose full stop ends no sentence
_MAYBE = frozenset(("etc", "inc", "ltd", "co", "corp", "jr", "sr", "u.s", "u.k", "a.m", "p.m", "ph.d"))
"""Words whose full stop ends a sentence where a capital follows."""

Check = Callable[..., bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: the names of its arguments with what each must be, and the check of an answer."""

    takes: Mapping[str, str]
    check: Check


RULES: dict[str, Rule] = {}
"""Name of a rule, such as ``length_constraints:number_words`` -> the rule."""


def problem(name: str, arguments: object) -> str:
    """Why the rule `name` cannot be checked with these arguments; empty where it can."""
    rule = RULES.get(name)
    if rule is None:
        return f"there is no rule {name!r}"
    if not isinstance(arguments, Mapping):
        return f"the arguments of {name} are not an object"
    given = _given(arguments)
    for argument, what in rule.takes.items():
        if argument not in given:
            return f"{name} lacks {argument!r}"
        if not _IS[what](given[argument]):
            return f"{name} needs {what} as {argument!r}"
    if other := sorted(set(given) - set(rule.takes)):
        return f"{name} takes no {str(other[0])[:40]!r}"
    return ""


def follows(name: str, arguments: Mapping[str, Any], answer: str) -> bool:
    """Whether an answer follows the rule; an empty one follows none. `problem` must have found nothing."""
    return bool(answer.strip()) and RULES[name].check(answer, **_given(arguments))


def variants(answer: str) -> tuple[str, ...]:
    """The answer, and without its first line, its last line and both, each with and without asterisks.

    A rule is followed loosely where it is followed by one of them: introductions, closing words and
    Markdown do not count against the answer (section 2.2 of the paper).
    """
    lines = answer.split("\n")
    cut = [answer, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return tuple(dict.fromkeys([*cut, *(text.replace("*", "") for text in cut)]))


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that have a value: files list all names, with null for those not taken."""
    return {name: value for name, value in arguments.items() if value is not None}


def _is_count(value: object) -> bool:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return whole and not isinstance(value, bool) and 0 <= value <= MOST  # type: ignore[operator]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


_IS: dict[str, Callable[[Any], bool]] = {
    "a number": _is_count,
    "a number from 1": lambda value: _is_count(value) and value >= 1,
    "a text": _is_text,
    "one character": lambda value: isinstance(value, str) and len(value) == 1,
    "a list of texts": lambda value: isinstance(value, list) and bool(value) and all(map(_is_text, value)),
    "'less than' or 'at least'": lambda value: value in RELATIONS,
    "the code of a language": lambda value: isinstance(value, str) and value in LANGUAGES,
}
_COUNT, _FIRST, _TEXT, _TEXTS = "a number", "a number from 1", "a text", "a list of texts"
_CHARACTER, _RELATION, _LANGUAGE = "one character", "'less than' or 'at least'", "the code of a language"


def rule(name: str, **takes: str) -> Callable[[Check], Check]:
    """Add a check to the rules; `takes` says what each of its arguments must be."""

    def add(check: Check) -> Check:
        RULES[name] = Rule(takes, check)
        return check

    return add


def _related(count: int, relation: str, bound: float) -> bool:
    return count < bound if relation == "less than" else count >= bound


# --- words and letters


@rule("keywords:existence", keywords=_TEXTS)
def _all_words(answer: str, keywords: list[str]) -> bool:
    folded = answer.casefold()
    return all(word.casefold() in folded for word in keywords)


@rule("keywords:frequency", keyword=_TEXT, frequency=_COUNT, relation=_RELATION)
def _word_count(answer: str, keyword: str, frequency: float, relation: str) -> bool:
    return _related(answer.casefold().count(keyword.strip().casefold()), relation, frequency)


@rule("keywords:forbidden_words", forbidden_words=_TEXTS)
def _no_words(answer: str, forbidden_words: list[str]) -> bool:
    return not any(
        re.search(rf"(?<!\w){re.escape(word.strip())}(?!\w)", answer, re.IGNORECASE)
        for word in forbidden_words
    )


@rule("keywords:letter_frequency", letter=_CHARACTER, let_frequency=_COUNT, let_relation=_RELATION)
def _letter_count(answer: str, letter: str, let_frequency: float, let_relation: str) -> bool:
    return _related(answer.lower().count(letter.lower()), let_relation, let_frequency)


@rule("language:response_language", language=_LANGUAGE)
def _in_language(answer: str, language: str) -> bool:
    found = language_of(answer)
    return found == language or (language == "zh" and found.startswith("zh"))


def language_of(text: str) -> str:
    """The code of the language of a text, by the paper's detector, langdetect; empty where it finds none."""
    from langdetect import DetectorFactory, detect
    from langdetect.lang_detect_exception import LangDetectException

    DetectorFactory.seed = 0  # it draws at random
    try:
        return str(detect(text))
    except LangDetectException:
        return ""


# --- lengths


@rule("length_constraints:number_words", num_words=_COUNT, relation=_RELATION)
def _words(answer: str, num_words: float, relation: str) -> bool:
    return _related(len(_WORD.findall(answer)), relation, num_words)


@rule("length_constraints:number_sentences", num_sentences=_COUNT, relation=_RELATION)
def _sentences(answer: str, num_sentences: float, relation: str) -> bool:
    return _related(count_sentences(answer), relation, num_sentences)


def count_sentences(text: str) -> int:
    """Sentences by their end marks; the mark of an abbreviation, an initial or a list number ends none."""
    count, start = 0, 0
    for found in _END.finditer(text):
        said = text[start : found.start()].split()
        last = said[-1].casefold().lstrip("(\"'“‘[") if said else ""
        rest = text[found.end() : found.end() + 20].lstrip()
        inside = (
            last in _SHORT or (last in _MAYBE and not rest[:1].isupper()) or len(last) == 1 or last.isdigit()
        )
        if found.group() == "." and inside and rest:
            continue
        count += bool(said)
        start = found.end()
    return count + bool(_WORD.search(text, start))


@rule("length_constraints:number_paragraphs", num_paragraphs=_COUNT)
def _paragraphs(answer: str, num_paragraphs: float) -> bool:
    parts = _DIVIDER.split(answer)
    inner = parts[1:-1]
    if len(parts) > 1 and not all(part.strip() for part in inner):
        return False
    return sum(bool(part.strip()) for part in parts) == num_paragraphs


@rule(
    "length_constraints:nth_paragraph_first_word",
    num_paragraphs=_COUNT,
    nth_paragraph=_FIRST,
    first_word=_TEXT,
)
def _first_word(answer: str, num_paragraphs: float, nth_paragraph: float, first_word: str) -> bool:
    parts = answer.split("\n\n")
    place = int(nth_paragraph) - 1
    if sum(bool(part.strip()) for part in parts) != num_paragraphs or place >= len(parts):
        return False
    said = parts[place].split()
    found = _WORD.match(said[0].lstrip("\"'")) if said else None
    return found is not None and found.group().casefold() == first_word.strip().casefold()


# --- content and format


@rule("detectable_content:number_placeholders", num_placeholders=_COUNT)
def _placeholders(answer: str, num_placeholders: float) -> bool:
    return sum(map(_brackets, answer.split("\n"))) >= num_placeholders


def _brackets(line: str) -> int:
    """How many ``[...]`` a line has, one after the other."""
    count, place = 0, line.find("[")
    while place >= 0 and (end := line.find("]", place)) >= 0:
        count, place = count + 1, line.find("[", end)
    return count


@rule("detectable_content:postscript", postscript_marker=_TEXT)
def _postscript(answer: str, postscript_marker: str) -> bool:
    letters = re.findall(r"\w", postscript_marker.casefold())
    if letters in (["p", "s"], ["p", "p", "s"]):
        marker = r"\.\s?".join(letters) + (r"\." if len(letters) == 2 else "")
        return re.search(marker, answer.casefold()) is not None
    return postscript_marker.strip().casefold() in answer.casefold()


@rule("detectable_format:number_bullet_lists", num_bullets=_COUNT)
def _bullets(answer: str, num_bullets: float) -> bool:
    return len(_BULLET.findall(answer)) == num_bullets


@rule("detectable_format:constrained_response")
def _one_of(answer: str) -> bool:
    return any(choice in answer for choice in CHOICES)


@rule("detectable_format:number_highlighted_sections", num_highlights=_COUNT)
def _highlights(answer: str, num_highlights: float) -> bool:
    return len(_HIGHLIGHT.findall(answer)) >= num_highlights


@rule("detectable_format:multiple_sections", section_spliter=_TEXT, num_sections=_COUNT)
def _sections(answer: str, section_spliter: str, num_sections: float) -> bool:
    return len(re.findall(rf"{re.escape(section_spliter.strip())}\s?\d+", answer)) >= num_sections


@rule("detectable_format:title")
def _titled(answer: str) -> bool:
    return _TITLE.search(answer) is not None


@rule("detectable_format:json_format")
def _json(answer: str) -> bool:
    text = answer.strip()
    fence = re.match(r"```(?:json)?", text, re.IGNORECASE)
    text = text[fence.end() :] if fence else text
    try:
        json.loads(text.removesuffix("```"))
    except (ValueError, RecursionError):
        return False
    return True


# --- two at once, beginnings and ends, letters


@rule("combination:repeat_prompt", prompt_to_repeat=_TEXT)
def _repeats(answer: str, prompt_to_repeat: str) -> bool:
    return answer.strip().casefold().startswith(prompt_to_repeat.strip().casefold())


@rule("combination:two_responses")
def _two(answer: str) -> bool:
    parts = [part.strip() for part in answer.split("******")]
    kept = [part for i, part in enumerate(parts) if part or 0 < i < len(parts) - 1]
    return len(kept) == 2 and all(kept) and kept[0] != kept[1]


@rule("change_case:capital_word_frequency", capital_frequency=_COUNT, capital_relation=_RELATION)
def _capital_words(answer: str, capital_frequency: float, capital_relation: str) -> bool:
    count = sum(word.isupper() for word in _WHOLE_WORD.findall(answer))
    return _related(count, capital_relation, capital_frequency)


@rule("change_case:english_capital")
def _upper(answer: str) -> bool:
    return answer.isupper() and language_of(answer) == "en"


@rule("change_case:english_lowercase")
def _lower(answer: str) -> bool:
    return answer.islower() and language_of(answer) == "en"


@rule("startend:end_checker", end_phrase=_TEXT)
def _ends(answer: str, end_phrase: str) -> bool:
    return answer.strip().strip('"').casefold().endswith(end_phrase.strip().casefold())


@rule("startend:quotation")
def _quoted(answer: str) -> bool:
    text = answer.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


@rule("punctuation:no_comma")
def _no_comma(answer: str) -> bool:
    return "," not in answer
