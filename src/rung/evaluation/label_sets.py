"""Sets of labels in the text of a completion, or None: unparsed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rung.data.label_lists import LENGTH, WORDS, listed, says_none
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
