"""What the examples ask for, inferred from the train rows' targets or said by the user."""

from __future__ import annotations

import ast
import json
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from types import MappingProxyType

from rung.errors import DataError, UsageError, nearest
from rung.evaluation.calls import read_call
from rung.records import Example, Task, TaskKind

METRIC_NAMES: Mapping[TaskKind, tuple[str, ...]] = MappingProxyType(
    {
        "classification": ("accuracy", "macro_f1"),
        # A row with nine right fields of ten is worth more than one with none, and a share of many fields
        # tells rungs apart on fewer rows than an all-or-nothing match; exact_match stays beside it.
        "extraction": ("field_f1", "exact_match", "json_valid"),
        "api_call": ("exact_call", "function_match"),
        "translation": ("chrf", "bleu"),
        "knowledge": ("rouge_l", "exact_match"),
        "generation": ("rouge_l", "exact_match"),
    }
)
"""Metrics of each kind of task, primary first."""

MOST_LABELS, LABEL_WORDS, LABEL_CHARACTERS = 200, 6, 60
_STOP_WORDS = {
    "English": "the and of to is you that it was for are not he she with his they have this what i we my",
    "French": "le les et est vous que il pas pour dans je ne une des du elle nous ce qui au à sont mon",
    "German": "der die das und ist nicht ich sie wir es ein eine zu mit den auf er du hat wie war haben",
    "Spanish": "el los y es que no en por con una se lo las del está para mi yo él qué muy tu como",
    "Italian": "il che di è non per una sono con ho mi del della lo ma gli si hai ha le nel cosa questo",
    "Portuguese": "o os e que não um uma para com eu ele do da em é você está as no na se foi ela muito",
    "Dutch": "de het een en van ik niet is dat je zijn op hij ze met voor wat er heeft we te naar maar",
}
_PROFILES = {language: frozenset(words.split()) for language, words in _STOP_WORDS.items()}
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
_TRANSLATE = re.compile(r"\b(translat\w*|tradu[iczs]\w*|übersetz\w*|vertaal\w*)", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
_CALL = re.compile(r"([A-Za-z_][\w.]*)\s*\(.*\)", re.DOTALL)
_PROGRAM = re.compile(r"[a-z][a-z0-9_.+-]*")
_SHELL = re.compile(r"(?:^|\s)(?:-{1,2}[A-Za-z]|\||>|\S*/\S)")


def infer(examples: Sequence[Example]) -> Task:
    """The task of these train rows; `why` is one sentence with numbers.

    The first that fits: extraction (95% of targets are JSON objects), api_call (90% are calls such as
    ``f(x=1)``), classification (few short targets, each used again), api_call (90% are commands of a
    few programs), translation (prompt and target say the same in two languages), else generation.
    Knowledge looks like generation; the user says it. Raises `DataError` without rows.
    """
    if not examples:
        raise DataError("there are no examples to infer a task from", fix="Give a file with examples")
    for kind, finder in _FINDERS:
        if why := finder(examples):
            return _filled(kind, examples, why)
    targets = [example.target for example in examples]
    words = median(len(target.split()) for target in targets)
    return _filled(
        "generation",
        examples,
        f"Generation: {len(set(targets)):,} different targets in {len(targets):,} rows, "
        f"half of them over {words:.0f} words.",
    )


def make_task(kind: str, examples: Sequence[Example]) -> Task:
    """The task `kind`, as said by the user, with the labels, fields or functions of these rows.

    For translation, `fields` holds the two languages, from and to, where they are known.
    Raises `UsageError` for an unknown kind.
    """
    for known in METRIC_NAMES:
        if kind == known:
            name = "API call" if known == "api_call" else known.capitalize()
            return _filled(known, examples, f"{name}: asked for.")
    raise UsageError(
        f"unknown task {kind!r}.{nearest(kind, METRIC_NAMES)}", fix=f"Known: {', '.join(METRIC_NAMES)}"
    )


def languages(examples: Sequence[Example]) -> tuple[str, str] | None:
    """The languages of prompts and targets, if both are known and they differ."""
    said = _language(_question(example) for example in examples)
    meant = _language(example.target for example in examples)
    return (said, meant) if said and meant and said != meant else None


def _filled(kind: TaskKind, examples: Sequence[Example], why: str) -> Task:
    targets = [example.target for example in examples]
    labels: Iterable[str] = ()
    fields: Iterable[str] = ()
    functions: Iterable[str] = ()
    if kind == "classification":
        labels = (target.strip() for target in targets if target.strip())
    elif kind == "extraction":
        fields = (key for target in targets for key in _object(target) or ())
    elif kind == "api_call":
        functions = (call.name for target in targets if (call := read_call(target)))
    pair = languages(examples) if kind == "translation" else None
    return Task(
        kind=kind,
        why=why,
        metrics=METRIC_NAMES[kind],
        labels=_by_frequency(labels),
        fields=pair or _by_frequency(fields),
        functions=_by_frequency(functions),
    )


def _by_frequency(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(item for item, _ in Counter(items).most_common())


def _extraction(examples: Sequence[Example]) -> str:
    found = [keys for example in examples if (keys := _object(example.target))]
    if len(found) < 0.95 * len(examples):
        return ""
    return (
        f"Extraction: {len(found):,} of {len(examples):,} targets are JSON objects "
        f"({len({key for keys in found for key in keys}):,} different keys)."
    )


def _calls(examples: Sequence[Example]) -> str:
    names = Counter(match[1] for example in examples if (match := _python_call(example.target)))
    if names.total() < 0.9 * len(examples):
        return ""
    return (
        f"API call: {names.total():,} of {len(examples):,} targets are calls, "
        f"most often of {names.most_common(1)[0][0]}."
    )


def _classification(examples: Sequence[Example]) -> str:
    targets = [example.target.strip() for example in examples]
    counts = Counter(targets)
    again = {label for label, n in counts.items() if n > 1 and _is_short(label)}
    covered = sum(counts[label] for label in again)
    if not 2 <= len(again) <= max(2, min(MOST_LABELS, len(targets) // 5)) or covered < 0.95 * len(targets):
        return ""
    return f"Classification: {covered:,} of {len(targets):,} targets are one of {len(again)} short labels."


def _commands(examples: Sequence[Example]) -> str:
    """Commands share few programs and, unlike prose, many have options, paths or pipes."""
    targets = [example.target.strip() for example in examples]
    programs = Counter(words[0] for target in targets if (words := _words_of_command(target)))
    shared = {name: n for name, n in programs.items() if n >= max(2, 0.02 * len(targets))}
    like_shell = sum(bool(_SHELL.search(target)) for target in targets)
    stop_words = sum(n for name, n in shared.items() if name in _PROFILES["English"])
    if sum(shared.values()) < 0.9 * len(targets) or stop_words > 0.1 * len(targets):
        return ""
    if like_shell < 0.2 * len(targets):
        return ""
    top = max(shared, key=lambda name: shared[name])
    return (
        f"API call: {sum(shared.values()):,} of {len(targets):,} targets are commands of "
        f"{len(shared)} program{'s' * (len(shared) > 1)}, most often {top}."
    )


def _translation(examples: Sequence[Example]) -> str:
    told = sum(bool(_TRANSLATE.search(_instructions(example))) for example in examples)
    if told >= 0.9 * len(examples):
        return f"Translation: {told:,} of {len(examples):,} prompts ask to translate."
    pair = languages(examples)
    ratios = [(len(e.target) + 1) / (len(_question(e)) + 1) for e in examples]
    near = sum(1 / 3 <= ratio <= 3 for ratio in ratios)
    shared = median(_overlap(_question(example), example.target) for example in examples)
    if pair is None or near < 0.8 * len(examples) or shared > 0.4:
        return ""
    return (
        f"Translation: prompts are in {pair[0]}, targets in {pair[1]}, and {near:,} of {len(examples):,} "
        f"pairs are of similar length."
    )


_FINDERS: tuple[tuple[TaskKind, Callable[[Sequence[Example]], str]], ...] = (
    ("extraction", _extraction),
    ("api_call", _calls),
    ("classification", _classification),
    ("api_call", _commands),
    ("translation", _translation),
)


def _object(text: str) -> Mapping[str, object] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _python_call(text: str) -> re.Match[str] | None:
    """A match whose group 1 is the function's name. Documented calls are often not quite Python
    (``load('x', model='y', 'z')``): the form alone counts, but "f (see below)" in prose does not."""
    text = text.strip()
    match = _CALL.fullmatch(text)
    if match is None:
        return None
    try:
        return match if isinstance(ast.parse(text, mode="eval").body, ast.Call) else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return match if "=" in text else None


def _words_of_command(text: str) -> list[str]:
    """The words of a shell command, or nothing if it does not begin with a lower-case program."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    return words if words and _PROGRAM.fullmatch(words[0]) else []


def _is_short(label: str) -> bool:
    return 0 < len(label) <= LABEL_CHARACTERS and len(label.split()) <= LABEL_WORDS


def _question(example: Example) -> str:
    """The last user turn."""
    return next((m.content for m in reversed(example.prompt) if m.role == "user"), "")


def _instructions(example: Example) -> str:
    """Where an instruction would stand: the system text and the edges of the question."""
    question = _question(example)
    told = [message.content for message in example.prompt if message.role == "system"]
    return "\n".join([*told, question[:120], question[-60:]])


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _overlap(first: str, second: str) -> float:
    one, two = set(_words(first)), set(_words(second))
    return len(one & two) / min(len(one), len(two)) if one and two else 0.0


def _language(texts: Iterable[str]) -> str | None:
    """The language of these texts together, by script or by the commonest small words."""
    sample = " ".join(text for text, _ in zip(texts, range(2000), strict=False))[:200_000]
    letters = [c for c in sample if c.isalpha()]
    if not letters:
        return None
    scripts = Counter(_script(c) for c in letters if c > "\u024f")
    if scripts.total() > 0.5 * len(letters):
        if scripts["Japanese"] > 0.1 * scripts.total():
            return "Japanese"
        return scripts.most_common(1)[0][0] or None
    words = _words(sample)
    hits = Counter({name: sum(w in profile for w in words) for name, profile in _PROFILES.items()})
    (best, most), (_, second) = hits.most_common(2)
    return best if most >= 0.1 * len(words) and most >= 1.3 * second else None


def _script(letter: str) -> str:
    return _SCRIPTS.get(unicodedata.name(letter, "").split(" ")[0].split("-")[0], "")
