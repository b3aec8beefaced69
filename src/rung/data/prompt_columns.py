"""Which columns are the prompt, and in which order they are joined."""

from __future__ import annotations

from collections.abc import Sequence

from rung.data import names
from rung.data.facts import Column
from rung.data.parts import Sheet, flag, listed
from rung.data.strict_json import show
from rung.data.values import text_of

_OPTIONS = ("choices", "options", "endings", "alternatives")
_TITLES = ("title", "titel", "titre", "titulo", "标题")


def give_prompt(sheet: Sheet) -> None:
    """Give columns the part of the prompt. Raises `DataError` where a text may belong to it or not."""
    if sheet.parts["prompt"] or sheet.parts.whole:
        return
    if sheet.said.completion:
        sheet.take("prompt", *[c.name for c in sheet.left.values() if c.filled])
        return
    named = [c for c in sheet.may("prompt", "context", "conversation") if _is_text(c)]
    options = [c for c in named if c.rank("prompt") == 2]
    sure = [c for c in named if _is_sure(c)]
    sure += [c for c in options if c not in sure]
    asked = any(c.rank("prompt") == 0 for c in named)
    weak = [
        c for c in named if c not in sure and c.free and not c.may("not used")
    ]  # review_text and the like
    unknown = [c for c in sheet.left.values() if not c.known and c.free]
    if sure:
        named = sure if asked else [*sure, *weak]
        unknown += weak if asked else []
    named = [
        c
        for c in named
        if (c not in options or asked or len(c.name) > 1 < len(options) or names.plain(c.name) in _OPTIONS)
        and not _leaks(sheet, c)
    ]
    about = [c for c in sheet.left.values() if names.is_attribute(c.name) and not c.known and _is_text(c)]
    named += [c for c in about if c.filled] if named and not asked else []
    free = [c for c in unknown if c not in named and not _leaks(sheet, c)]
    if asked and free and _between(sheet, named, free):
        said = f"{listed(free)} {'is' if len(free) == 1 else 'are'} read as part of the prompt; without: "
        sheet.parts.notes.append(f"{said}--prompt {','.join(flag(c.name) for c in named)}")
        named, free = [*named, *free], []
    if named and free:
        wanted = flag(sheet.parts["target"][0])
        both = ",".join(flag(c.name) for c in sorted([*named, *free], key=lambda c: c.place))
        columns = f"column{'s' * (len(free) > 1)} {listed(free)}"
        sheet.refuse(
            f"has the text {columns} that could belong to the prompt or not",
            [
                f"--prompt {both} --completion {wanted}",
                f"--prompt {','.join(flag(c.name) for c in named)} --completion {wanted}",
            ],
        )
    short = [c for c in sheet.left.values() if not c.known and c.filled and c.different > 0.5 * c.filled]
    found = named or free or [c for c in short if not (c.numbers or c.dates or c.objects or c.ids)]
    sheet.take("prompt", *_ordered(sheet, found))


def _between(sheet: Sheet, questions: Sequence[Column], texts: Sequence[Column]) -> bool:
    """Whether texts of unknown names stand between the question and its answer, as an input does, and do not
    give the answer away."""
    target = sheet.parts.one("target")
    if target is None or sheet.parts.kind != "answer" or len(sheet.parts["target"]) > 1:
        return False
    first, last = min(c.place for c in questions), sheet.columns[target].place
    answers = [text_of(value, "").strip() for value in sheet.values(target)[:500]]
    for column in texts:
        cells = [text_of(value, "") for value in sheet.values(column.name)[:500]]
        held = sum(bool(answer) and answer in cell for answer, cell in zip(answers, cells, strict=True))
        if not first < column.place < last or held > 0.2 * len(answers):
            return False
    return True


def _is_sure(column: Column) -> bool:
    """Whether a name says prompt and nothing else, or a context, or a conversation written as one text."""
    named = column.only("prompt") and column.rank("prompt") < 10
    return named or column.may("context") or column.may("conversation")


def _is_text(column: Column) -> bool:
    """Whether a column with the name of a text holds one; a question may be anything."""
    if column.rank("prompt") in (0, 2) or column.may("context"):
        return True
    return column.texts or not (column.objects or column.numbers or column.truths or column.dates)


def _ordered(sheet: Sheet, found: Sequence[Column]) -> list[str]:
    """Prompt columns in the order of the prompt: an instruction, then its input; a context, then the
    question about it; else as in the file, a list of options last."""
    contexts = [c.name for c in found if c.may("context")]
    questions = [c.name for c in found if c.rank("prompt") == 0]
    instructed = [name for name in questions if names.plain(name).startswith("instruction")]
    extra = [c for c in found if c.name not in (*contexts, *questions) and names.plain(c.name) not in _TITLES]
    if len(instructed) == 1 and len(questions) + len(contexts) == 2 and not extra:
        return [*instructed, *(name for name in (*questions, *contexts) if name not in instructed)]
    if contexts and len(questions) == 1 and not extra:
        return [*contexts, *questions]
    return [c.name for c in sorted(found, key=lambda c: (names.plain(c.name) in _OPTIONS, c.place))]


def _leaks(sheet: Sheet, column: Column) -> bool:
    """Whether a column repeats another prompt and the target behind it, so that it cannot be part of the
    prompt. A context may hold the answer: that is what it is for."""
    target = sheet.parts.one("target")
    others = [c for c in sheet.may("prompt", "context") if c is not column]
    if target is None or sheet.parts.kind != "answer" or sheet.parts.spans or sheet.parts.tags or not others:
        return False
    columns = [column.name, target, *(c.name for c in others)]
    texts = ([text_of(value, "").strip() for value in sheet.values(name)[:500]] for name in columns)
    rows = [row for row in zip(*texts, strict=True) if row[1]]
    held = sum(
        row[1] in row[0] and any(len(other) >= 10 and other in row[0] for other in row[2:]) for row in rows
    )
    if len(rows) < 3 or held < 0.8 * len(rows):
        return False
    sheet.parts.notes.append(f"{show(column.name)} holds prompt and answer, so it is not part of the prompt")
    return True
