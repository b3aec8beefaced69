"""Text formats that are neither JSON nor tables and still hold examples: CoNLL, Rasa NLU, fastText."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rung.data.spans import tag_spans
from rung.data.strict_json import Row, RowError, show

_TAG = re.compile(r"O|[BIESLUM]-\S+")
_FAST = re.compile(r"(?:__label__\S+\s+)+\S")
_MARKED = re.compile(r"\[([^\]\n]+)\](?:\([^)\n]*\)|\{[^}\n]*\})")


def is_conll(text: str) -> bool:
    """Whether the first lines are a token and its BIO tag each, with blank lines between sentences."""
    lines = [line.split() for line in text[: 1 << 15].splitlines()[:300] if line.strip()]
    lines = [line for line in lines if line[0] != "-DOCSTART-" and not line[0].startswith("#")]
    if len(lines) < 4 or len({len(line) for line in lines[:-1]}) > 1:
        return False
    if "\n\n" not in text.replace("\r", "") and not any("-" in line[-1] for line in lines):
        return False
    return all(len(line) >= 2 and _TAG.fullmatch(line[-1]) for line in lines[:-1])


def conll_rows(text: str) -> Iterator[tuple[int, Row | RowError]]:
    """One row a sentence: its words joined by spaces, and ``{type: [words]}``."""
    tokens: list[str] = []
    tags: list[str] = []
    number = 0
    for line in [*text.splitlines(), ""]:
        cells = line.split()
        if len(cells) >= 2 and cells[0] != "-DOCSTART-" and not (cells[0].startswith("#") and len(cells) > 4):
            tokens.append(cells[0])
            tags.append(cells[-1])
        elif not cells and tokens:
            number += 1
            odd = next((tag for tag in tags if not _TAG.fullmatch(tag)), None)
            if odd is None:
                yield number, {"text": " ".join(tokens), "entities": tag_spans(tokens, tags)}
            else:
                fix = "End each line with O, or with a tag such as B-PER or I-PER"
                yield number, RowError(f"has {show(odd)} in the place of a tag", fix)
            tokens, tags = [], []


def is_fasttext(text: str) -> bool:
    """Whether the first lines begin with ``__label__``, but for comments."""
    lines = [line for line in text[: 1 << 15].splitlines()[:100] if line.strip() and not line.startswith("#")]
    return len(lines) > 1 and all(_FAST.match(line) for line in lines[:-1])


def fasttext_rows(text: str) -> Iterator[tuple[int, Row]]:
    """One row a line: its text, and its label or labels."""
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.split()
        labels = [word.removeprefix("__label__") for word in words if word.startswith("__label__")]
        if words and labels:
            rest = line.strip()
            while rest.startswith("__label__"):
                rest = rest.split(None, 1)[1] if len(rest.split(None, 1)) > 1 else ""
            label: Any = labels[0] if len(labels) == 1 else labels
            yield number, {"text": rest.lstrip(" ,"), "label": label}


def is_rasa(text: str) -> bool:
    """Whether this is Rasa's training data for intents, in YAML or in its older Markdown form."""
    if re.match(r"\s*(?:##|<!--)", text):
        return bool(re.search(r"^## intent:", text, re.MULTILINE))
    yaml = re.match(r"\s*(?:#|---|\w+:(?:\s|$))", text)
    return bool(yaml and re.search(r"^nlu:\s*$", text, re.MULTILINE))


def rasa_rows(text: str) -> Iterator[tuple[int, Row]]:
    """One row for each example of each intent, without the marks of entities.

    Read line by line: ``- intent: NAME`` (or ``## intent:NAME``), then ``- text`` lines below it.
    """
    intent, number = "", 0
    for line in text.splitlines():
        bare = line.strip()
        if found := re.match(r"(?:-\s*|##\s*)intent:\s*[\"']?([^\"'#]+?)[\"']?\s*(?:#.*)?$", bare):
            intent = found[1]
        elif re.match(r"(?:-\s*(?:lookup|synonym|regex)|##\s*\w+)\s*:", bare) or re.match(r"\w+:", line):
            intent = "" if not bare.startswith("examples") else intent
        elif intent and (example := re.match(r"-\s+(?:text:\s*\|?\s*)?(\S.*)", bare)):
            number += 1
            said = example[1].strip().strip("\"'") if example[1][:1] in "\"'" else example[1].strip()
            yield number, {"text": _MARKED.sub(r"\1", said), "label": intent}
