"""Sets of labels as text: read from a completion (None: unparsed), and the grammar of those of a task."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from rung.data.label_lists import LENGTH, LIST, WORDS, listed, says_none, written
from rung.evaluation.json_grammar import literal, starting
from rung.evaluation.labels import equal_label
from rung.evaluation.parse import after_colon, mentioned_labels

_WIDE = re.compile(r"[;|,\n•]+|\s+(?:and|und|et|y|e)\s+|^\s*(?:[-*]|\d+[.)])\s+", re.MULTILINE)
_ARRAY = re.compile(r"\[[^\[\]]*\]")


def read_labels(text: str, labels: Sequence[str], joint: str) -> list[str] | None:
    """The labels that a text gives, each once, or None.

    In turn: a JSON list; all lines, the first line, or what stands behind its colon, cut at the file's own
    separator or at others, where every part is a label; a text that says that there is none; the first line
    where some of its parts are labels and the others look like some, which then count as wrong; labels that
    are named in the text as whole words and not behind a "not".
    """
    names = tuple(labels)
    listing = next((one for match in _ARRAY.finditer(text) if (one := listed(match[0])) is not None), None)
    if listing is not None:
        return list(dict.fromkeys(equal_label(one, names) or one for one in listing if one))
    first = next((line for line in text.splitlines() if line.strip()), "")
    whole = [one for one in (text, first, after_colon(first)) if one.strip()]
    mark = joint.strip() or ";"
    for text_part in whole:
        for cut in (text_part.split(mark), _WIDE.split(text_part)):
            named = [equal_label(part, names) for part in cut if part.strip(" .")]
            if named and all(label is not None for label in named):
                return list(dict.fromkeys(label for label in named if label is not None))
    if any(map(says_none, whole)):
        return []
    cut = [part.strip(" .") for part in (after_colon(first) or first).split(mark) if part.strip(" .")]
    known = [equal_label(part, names) for part in cut]
    if any(known) and all(len(part) <= LENGTH and len(part.split()) <= WORDS for part in cut):
        return list(dict.fromkeys(label or part for label, part in zip(known, cut, strict=True)))
    return mentioned_labels(text, names) or None


@lru_cache(maxsize=16)
def grammar_of_sets(labels: tuple[str, ...], joint: str, most: int, empty: bool) -> str:
    """The grammar, in llguidance's notation, of at most `most` of `labels`, each once and in their order, as
    `rung.data.label_lists.written` writes them; with `empty` also of none.

    A rule stands for the labels that are left, and has the number of those written.
    """
    before, after = ('"[" ', ' "]"') if joint == LIST else ("", "")
    between = literal(joint or ", ")
    rules = []
    for place, label in enumerate(labels):
        last = place == len(labels) - 1
        text = literal(written([label], LIST)[1:-1] if joint == LIST else label)
        rest = "" if last else f" after{place + 1}::incr(_)"
        skip = "" if last else f"\n    | from{place + 1}::_"
        rules.append(f"from{place}::_: {text}{rest} %if lt(_, {most}){skip}")
        if place:
            rules.append(f'after{place}::_: "" | {between} from{place}::_ %if lt(_, {most})')
    none = f" | {literal(written((), joint))}" if empty else ""
    return "\n".join([starting(f"{before}from0::0x0{after}{none}"), *rules]) + "\n"
