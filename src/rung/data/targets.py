"""Which column is the target: by its name, as spans or tags, as one of two languages, or by its values."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NoReturn

from rung.data import names
from rung.data.facts import Column
from rung.data.marks import cut_texts
from rung.data.names import Kind
from rung.data.parts import Sheet, flag, listed
from rung.data.strict_json import show
from rung.data.values import truth

_BITS = ("0", "1", "0.0", "1.0", "true", "false")


def give_target(sheet: Sheet) -> None:
    """Give one column the part of the target, or one text the part of prompt and target together.

    Raises `DataError` where two columns could be the target, or none.
    """
    if sheet.parts["target"] or _spans(sheet) or _tags(sheet) or _indicators(sheet):
        return
    candidates = [c for c in sheet.may("target") if c.only("target") or c.few or c.numbers or _is_answer(c)]
    candidates = [c for c in candidates if c.only("target")] or candidates
    options = [c for c in sheet.left.values() if c.rank("prompt") == 2]
    candidates = [c for c in candidates if len(options) < 2 or c not in options]
    if len(candidates) == 1 and not candidates[0].only("target") and not _sources(sheet, candidates):
        candidates = []  # a name such as "code", which may be either
    chosen = _best(sheet, candidates)
    if chosen is not None:
        sheet.parts.kind = kind_of(chosen)
        sheet.take("target", chosen.name)
        _note_fields(sheet, chosen)
    elif not (_translation(sheet) or _by_content(sheet)):
        _whole(sheet)


def _sources(sheet: Sheet, targets: Sequence[Column]) -> list[Column]:
    """What could be the prompt if these are the target."""
    others = [c for c in sheet.left.values() if c not in targets]
    return [c for c in others if c.may("prompt") or c.may("context")] or [c for c in others if c.free]


def _is_answer(column: Column) -> bool:
    """Whether a column's name may be that of an answer, not only of a label."""
    return any(part == "target" and kind == "answer" for part, kind, _ in column.known)


def kind_of(column: Column) -> Kind:
    """Whether a target is a label, by its name, or by its values where the name allows both."""
    kinds = {kind for part, kind, _ in column.known if part == "target"}
    if kinds == {"label"} or (kinds == {"label", "answer"} and column.few):
        return "label" if not column.objects else "answer"
    return "answer"


def _best(sheet: Sheet, candidates: Sequence[Column]) -> Column | None:
    """The strongest target; None where there is none. Refuses where two are equally strong."""
    if not candidates:
        return None
    answers = [c for c in candidates if kind_of(c) == "answer"]
    labels = [c for c in candidates if c not in answers]
    questions = [c for c in sheet.may("prompt") if c.only("prompt") and c.rank("prompt") == 0]
    asked = bool(questions or sheet.parts["prompt"])
    first_answers, first_labels = _strongest(answers), _strongest(labels)
    if first_answers and first_labels:
        weak = first_labels[0].rank("target") >= 10 or first_answers[0].rank("target") >= 10
        if not asked and not weak and not _is_verdict(first_labels):
            _two_targets(sheet, [*first_answers, *first_labels])
        if weak and first_answers[0].rank("target") > first_labels[0].rank("target"):
            first_answers = []
    best = first_answers or first_labels
    if len(best) > 1:
        best = _same(sheet, best)
    if len(best) > 1:
        _two_targets(sheet, best)
    for other in candidates:
        if (
            other.rank("target") < 10
            and other is not best[0]
            and not _is_verdict([other])
            and not _says(sheet, other, best[0])
        ):
            learn = f"--completion {flag(other.name)}"
            sheet.parts.notes.append(f"{show(other.name)} could be the target as well; to learn it: {learn}")
    return best[0]


def _note_fields(sheet: Sheet, chosen: Column) -> None:
    """Say so where a column called "target" may be one field of several: a command's target, for instance."""
    few = [c for c in sheet.left.values() if not c.known and c.few]
    if sheet.parts.kind == "label" and _is_answer(chosen) and few:
        every = ",".join(flag(c.name) for c in sorted([chosen, *few], key=lambda c: c.place))
        sheet.parts.notes.append(
            f"{listed(few)} could be learned as well, as one JSON object: --completion {every}"
        )


def _is_verdict(columns: Sequence[Column]) -> bool:
    """Whether these only judge an answer (KTO)."""
    return all(names.plain(c.name) == "label" and (c.truths or c.different <= 2) for c in columns)


def _strongest(columns: Sequence[Column]) -> list[Column]:
    least = min((c.rank("target") for c in columns), default=0)
    return [c for c in columns if c.rank("target") == least]


def _same(sheet: Sheet, columns: Sequence[Column]) -> list[Column]:
    """One column for several that say the same in other words; words win over numbers."""
    first = columns[0]
    if all(_says(sheet, first, other) for other in columns[1:]):
        worded = [c for c in columns if not c.numbers] or list(columns)
        return worded[:1]
    return list(columns)


def _says(sheet: Sheet, first: Column, second: Column) -> bool:
    """Whether each value of one column goes with exactly one of the other; texts must be equal."""
    if first.filled != second.filled or first.different < 2:
        return False
    both = zip(sheet.values(first.name), sheet.values(second.name), strict=True)
    pairs = {(str(a).strip(), str(b).strip()) for a, b in both}
    if first.different > 0.5 * first.filled:
        return all(a == b for a, b in pairs)
    return len(pairs) <= 400 and len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _spans(sheet: Sheet) -> bool:
    found = [c for c in sheet.left.values() if c.spans]
    texts = [c for c in sheet.left.values() if c not in found and (c.may("prompt") or c.free)]
    if len(found) != 1 or not (texts or sheet.parts["prompt"]):
        return False
    rivals = [c for c in sheet.may("target") if c.only("target") and c not in found]
    if rivals:
        _two_targets(sheet, [*found, *rivals])
    sheet.take("target", found[0].name)
    sheet.parts.kind, sheet.parts.spans = "answer", True
    return True


def _tags(sheet: Sheet) -> bool:
    """Words in one column, their tags in another: lists of the same length."""
    words = [c for c in sheet.left.values() if names.plain(c.name) in ("tokens", "words") and c.texts]
    tags = [
        c
        for c in sheet.left.values()
        if c.objects
        and not c.turns
        and ("tags" in names.plain(c.name) or names.plain(c.name) in ("labels", "ner"))
    ]
    if len(words) != 1 or not tags:
        return False
    ner = [c for c in tags if "ner" in names.plain(c.name)] or tags
    if len(ner) > 1:
        _two_targets(sheet, ner)
    sheet.take("prompt", words[0].name)
    sheet.take("target", ner[0].name)
    sheet.parts.kind, sheet.parts.tags = "answer", True
    return True


def _indicators(sheet: Sheet) -> bool:
    """Three or more columns of 0 and 1 next to a text, each named after a label: the answer is the names that
    are 1, as ``a; b`` ("none" where none is), or the one name where that is one in every row."""
    found = _with_neighbours(sheet, [c for c in sheet.left.values() if _is_indicator(sheet, c)])
    texts = [c for c in sheet.left.values() if c not in found and (c.may("prompt", "context") or c.free)]
    rivals = [c for c in sheet.may("target") if c not in found and c.only("target")]
    others = [c for c in _others(sheet, [*found, *texts]) if not c.only("not used")]
    asked = any(c.known for c in texts) or len(texts) == 1 or bool(sheet.parts["prompt"])
    if len(found) < 3 or not asked or rivals or others or any(names.is_yes_or_no(c.name) for c in found):
        return False
    rows = zip(*(sheet.values(c.name) for c in found), strict=True)
    counts = [sum(truth(value) is True for value in row) for row in rows]
    one = all(count == 1 for count in counts)
    sheet.take("target", *[c.name for c in found])
    sheet.parts.kind, sheet.parts.indicators = "label" if one else "answer", True
    every = ",".join(flag(c.name) for c in found)
    sheet.parts.notes.append(
        f"{len(found)} columns of 0 and 1 are read as the label{'' if one else 's'} "
        f"with a 1; to learn the numbers themselves, as one JSON object: --completion {every}"
    )
    return True


def _with_neighbours(sheet: Sheet, found: list[Column]) -> list[Column]:
    """With the columns of 0 and 1 right next to three or more labels, whatever their names mean elsewhere:
    "support" next to "billing", "shipping" and "quality" is a label too."""
    if len(found) < 3:
        return found
    near = {c.place: c for c in sheet.left.values() if c not in found and _is_bits(sheet, c)}
    near = {place: c for place, c in near.items() if not (c.only("target") or names.is_yes_or_no(c.name))}
    grown = {c.place: c for c in found}
    while new := [place for place in near if place not in grown and {place - 1, place + 1} & set(grown)]:
        grown |= {place: near[place] for place in new}
    return [grown[place] for place in sorted(grown)]


def _is_indicator(sheet: Sheet, column: Column) -> bool:
    """Whether every row has 0 or 1 (or true or false) here, and the name may be a label's own."""
    if column.known and not (column.only("target") and column.rank("target") > 0):
        return False
    return _is_bits(sheet, column)


def _is_bits(sheet: Sheet, column: Column) -> bool:
    if not (column.numbers or column.truths) or column.filled < column.rows:
        return False
    return all(str(value).strip().lower() in _BITS for value in sheet.values(column.name))


def _translation(sheet: Sheet) -> bool:
    """Two columns named after languages: from the first into the second."""
    found = [c for c in sheet.left.values() if c.language and not c.numbers]
    if len(found) < 2 or sheet.parts["prompt"]:
        return False
    if len(found) > 2:
        pairs = [f"--prompt {flag(a.name)} --completion {flag(b.name)}" for a, b in pairwise(found)]
        sheet.refuse(f"has columns in {len(found)} languages: {listed(found)}", pairs[:2])
    source, target = found
    _take_pair(sheet, source, target, f"read as translation from {source.name} to {target.name}")
    return True


def _by_content(sheet: Sheet) -> bool:
    """A target that only its values show: few short ones, or the one text next to a prompt."""
    unknown = [c for c in sheet.left.values() if not c.known and c.filled]
    named = sheet.may("prompt", "context") or [sheet.columns[name] for name in sheet.parts["prompt"]]
    few = [c for c in unknown if c.few]
    texts = [c for c in unknown if c.free]
    if len(few) == len(unknown) == 2 and not named:  # texts that occur again and again, and their labels
        short, long = sorted(few, key=lambda c: c.different)
        if long.different >= 3 * short.different and long.words >= 3:
            sheet.take("prompt", long.name)
            few, texts = [short], [long]
    sure = (
        bool(named) or len(texts) == 1 or all(c.name.isdigit() for c in texts)
    )  # or several of unknown names
    if len(few) == 1 and (named or texts) and sure and not _others(sheet, [*few, *named, *texts]):
        sheet.take("target", few[0].name)
        sheet.parts.kind = "label"
        return True
    if few and (named or texts):
        prompt = sheet.asking(named or texts)
        each = [f"{prompt} --label {flag(c.name)}" for c in few[:2]]
        empty = [c for c in sheet.left.values() if not c.known and not c.filled]
        all_ = sorted([*few, *empty], key=lambda c: c.place)[:12]
        every = f"{prompt} --completion {','.join(flag(c.name) for c in all_)}"
        sheet.refuse(
            f"has several columns that could be the target: {listed(few)}"
            if len(few) > 1
            else f"has no column that is known to be the target; it could be {listed(few)}",
            [every, *each] if len(few) > 1 else each,
            "Several targets become one JSON object" if len(few) > 1 else "",
        )
    only = [c for c in unknown if not (c.ids or c.dates) and c.different > 1]
    asked = any(c.only("prompt") and c.rank("prompt") == 0 for c in named)
    if (
        named
        and len(only) == 1
        and (only[0].free or only[0].objects or asked)
        and not _others(sheet, [*only, *named])
    ):
        sheet.take("target", only[0].name)
        sheet.parts.kind = "answer"
        return True
    return _second_of_two(sheet)


def _second_of_two(sheet: Sheet) -> bool:
    """Two columns without a header, neither of them an id: the second answers the first."""
    left = [c for c in sheet.left.values() if c.filled]
    if len(left) != 2 or not all(c.name.isdigit() for c in left) or sheet.parts["prompt"]:
        return False
    asked, answered = left
    if any(c.ids or c.dates or c.turns or c.few or c.different < 2 for c in left):
        return False  # few: a label next to a word, which may be one word of a tagged sentence
    said = f"column {answered.name} is read as the answer to column {asked.name}"
    _take_pair(sheet, asked, answered, said)
    return True


def _take_pair(sheet: Sheet, prompt: Column, target: Column, said: str) -> None:
    """One column asks and the other one answers, which is `said` with the command for the reverse."""
    sheet.take("prompt", prompt.name)
    sheet.take("target", target.name)
    sheet.parts.kind = "answer"
    reverse = f"--prompt {flag(target.name)} --completion {flag(prompt.name)}"
    sheet.parts.notes.append(f"{said}; the other way round: {reverse}")


def _others(sheet: Sheet, explained: Sequence[Column]) -> list[Column]:
    """Columns that vary and are neither explained nor ids, dates or links: each may be what is meant."""
    left = [c for c in sheet.left.values() if c not in explained and c.filled and c.different > 1]
    return [c for c in left if not (c.ids or c.dates or c.may("id"))]


def _whole(sheet: Sheet) -> None:
    """No column is the target: one text may hold prompt and answer; else that is said."""
    named = sheet.may("prompt", "context", "conversation")
    texts = [c for c in sheet.left.values() if c in named or c.free]
    for column in texts:
        if column.may("conversation") and column.objects:
            first = next(value for value in sheet.values(column.name) if value)
            sheet.refuse(
                f"has turns without a role and a text in {show(column.name)}: {show(first, 120)}",
                ["--messages COLUMN"],
            )
    others = [c for c in sheet.left.values() if c not in texts and not c.known and c.filled]
    empty = [c for c in sheet.left.values() if c.only("target") and c.rank("target") < 10 and not c.filled]
    whole = len(texts) == 1 and not sheet.parts["prompt"] and not others
    if empty and not (whole and cut_texts([str(one) for one in sheet.values(texts[0].name)[:100] if one])):
        prompt, other = sheet.asking(texts), [flag(c.name) for c in others] or ["COLUMN"]
        tries = [f"{prompt} --completion {name}" for name in other[:2]]
        sheet.refuse(f"has an empty {listed(empty)} in every row, so there is nothing to learn", tries)
    if whole:
        sheet.take("prompt", texts[0].name)
        sheet.parts.whole = True
        return
    both = [c.name for c in (texts or list(sheet.left.values()))]
    if len(both) < 2 == len(sheet.columns):
        both = list(sheet.columns)
    if len(both) >= 2:
        tries = [f"--prompt {flag(both[0])} --completion {flag(both[-1])}"]
        if len(both) == 2:
            tries.append(f"--prompt {flag(both[1])} --completion {flag(both[0])}")
    elif texts and others:
        tries = [f"{sheet.asking(texts)} --completion {flag(c.name)}" for c in others[:3]]
    else:
        tries = ["--prompt COLUMN --completion COLUMN"]
    sheet.refuse("has no column that is known to be the answer to learn", tries)


def _two_targets(sheet: Sheet, found: Sequence[Column]) -> NoReturn:
    asked = sheet.asking(_sources(sheet, found))
    ways = [
        f"{asked} --{'label' if kind_of(c) == 'label' else 'completion'} {flag(c.name)}" for c in found[:4]
    ]
    sheet.refuse(f"has several columns that could be the target: {listed(found)}", ways)
