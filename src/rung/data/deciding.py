"""Columns -> parts: every column gets exactly one part, by flags first, then by name, then by content.

Where two readings are left over, nothing is guessed: the refusal shows the columns and the commands for
each reading.
"""

from __future__ import annotations

import re

from rung.data import names
from rung.data.conversations import ROLE_NAMES, Speakers, read_turns
from rung.data.facts import Column
from rung.data.multiple_choice import find_options
from rung.data.names import Part
from rung.data.parts import Parts, Sheet, flag, listed
from rung.data.prompt_columns import give_prompt
from rung.data.strict_json import show
from rung.data.targets import give_target, kind_of
from rung.data.values import Seen, text_of
from rung.data.verifiable import rule_columns

_SMALL: tuple[Part, ...] = ("weight", "rejected", "system", "history", "tools")
_FEW_ROWS = 10  # in fewer, one cell is not "nearly none"
_GROUPS = (
    *(
        "documentid",
        "docid",
        "customerid",
        "conversationid",
        "dialogid",
        "dialogueid",
        "sessionid",
        "threadid",
    ),
    *("patientid", "userid", "authorid", "chatid", "articleid", "storyid", "groupid"),
)


def decide(sheet: Sheet) -> Parts:
    """The part of every column. Raises `DataError` where two readings are left over, `UsageError` for a flag
    that names no column."""
    _flags(sheet)
    _nameless(sheet)
    sheet.take("rules", *rule_columns(list(sheet.left)))
    for part in _SMALL:
        sheet.take(part, *[one.name for one in sheet.left.values() if _is(sheet, one, part)])
    if sheet.said.text:
        sheet.take("prompt", *sheet.parts.of.pop("target", []))
        sheet.parts.learned = True
    elif not _conversation(sheet) and not _unanswered(sheet):
        _ids(sheet)
        _refuse_turns(sheet)
        give_target(sheet)
        if sheet.parts.kind == "answer":
            _wanted(sheet)
        give_prompt(sheet)
        _chosen_alone(sheet)
        find_options(sheet)
    _languages(sheet)
    _rest(sheet)
    _require(sheet)
    return sheet.parts


def _is(sheet: Sheet, column: Column, part: Part) -> bool:
    """Whether a column plays one of the smaller parts, by its name and the form of its values."""
    if not column.may(part) or column.rank(part) >= 10:
        return False
    if part == "weight":
        return column.numbers
    if part == "rejected":
        return any(names.is_chosen(one) for one in sheet.columns)
    if part == "tools":
        return column.objects and (column.only(part) or names.plain(column.name) == "function")
    if part == "history":
        return column.objects or column.filled == 0
    return part == "system"


def _unanswered(sheet: Sheet) -> bool:
    """Whether rows have rules and no answer; then only the prompt is looked for."""
    parts = sheet.parts
    if not parts["rules"] or parts["target"] or any(c.only("target") for c in sheet.may("target")):
        return False
    asked = [c for c in sheet.may("prompt") if c.only("prompt") and c.rank("prompt") == 0]
    asked = asked or [c for c in sheet.left.values() if c.free]
    if not parts["prompt"]:
        if not asked:
            sheet.refuse("has rules for answers and no prompt", ["--prompt COLUMN"])
        sheet.take("prompt", *[c.name for c in asked])
    parts.unanswered = True
    return True


def _refuse_turns(sheet: Sheet) -> None:
    """Raises `DataError` for a table with one turn of a conversation, or one word and its tag, a row."""
    if sheet.parts["prompt"] or sheet.parts["target"]:
        return
    for column in sheet.left.values():
        values = {str(value).strip().lower() for value in sheet.values(column.name) if value}
        if names.plain(column.name) in ("role", "speaker", "from", "sender") and values <= set(ROLE_NAMES):
            sheet.refuse(
                f"holds one turn of a conversation in each row ({show(column.name)} says whose)",
                ["--prompt COLUMN --completion COLUMN"],
                'Put the turns of a conversation into one row: {"messages": [{"role": …, "content": …}, …]}',
            )
        tags = values and all(re.fullmatch(r"o|[bieslu]-\S+", value) for value in values)
        if tags and any(value.startswith("b-") for value in values):
            sheet.refuse(
                f"holds one word with its tag in each row ({show(column.name)})",
                ["--prompt COLUMN --completion COLUMN"],
                "Write it as CoNLL (a word and its tag a line, a blank line between sentences), or "
                'one text a row with its entities: {"text": …, "entities": {"PERSON": ["Ada"]}}',
            )


def _flags(sheet: Sheet) -> None:
    said = sheet.said
    sheet.take("not used", *sheet.named(said.ignore, "ignore"))
    for part, name, said_as in (
        ("group", said.group, "group"),
        ("conversation", said.messages, "messages"),
        ("system", said.system, "system"),
        ("prompt", said.text, "text"),
    ):
        if name:
            sheet.take(part, *sheet.named((name,), said_as))  # type: ignore[arg-type]
    sheet.take("prompt", *sheet.named(said.prompt, "prompt"))
    sheet.take("target", *sheet.named(said.completion, "completion"))
    if said.completion:
        only = sheet.columns[sheet.parts["target"][0]] if len(sheet.parts["target"]) == 1 else None
        sheet.parts.kind = "label" if said.classification else kind_of(only) if only else "answer"
        sheet.parts.spans = only is not None and only.spans


def _nameless(sheet: Sheet) -> None:
    """Columns without a name that are empty in nearly every row are left over from a spreadsheet or hold a
    piece of a text that was torn at a delimiter: not used, and said."""
    full: set[int] = set()
    found = []
    for column in sheet.left.values():
        if not names.is_nameless(column.name) or column.filled > 0.1 * column.rows:
            continue
        cells = enumerate(sheet.values(column.name), start=1)
        rows = {number for number, value in cells if text_of(value, "").strip()}
        if len(rows) <= max(1, 0.05 * column.rows) and column.rows >= _FEW_ROWS:
            found.append(column)
            full |= rows
    sheet.take("not used", *[column.name for column in found])
    if full:
        where = f"row {min(full)}" if len(full) == 1 else f"{len(full):,} rows, the first is row {min(full)}"
        sheet.parts.notes.append(f"not used, without a name and nearly empty: {listed(found)} ({where})")


def _conversation(sheet: Sheet) -> bool:
    """Whether the rows are conversations; then every other column is only what goes with one."""
    if not sheet.parts["conversation"]:
        if sheet.parts["prompt"] or sheet.parts["target"]:
            return False
        if (name := _turns_column(sheet)) is None:
            return False
        sheet.take("conversation", name)
    name = sheet.parts["conversation"][0]
    _wanted(sheet)
    _ids(sheet)
    found = [c for c in sheet.may("target") if c.only("target")]
    if not sheet.parts["target"] and not _answered(sheet, name):
        chosen = [c for c in found if names.is_chosen(c.name)] or found
        if len(chosen) > 1:
            ways = [f"--prompt {flag(name)} --completion {flag(c.name)}" for c in chosen[:4]]
            sheet.refuse(f"has several columns that could answer {show(name)}: {listed(chosen)}", ways)
        if chosen:
            sheet.take("target", chosen[0].name)
            sheet.parts.kind = "answer"
    for column in found:
        if column.name in sheet.left:
            learn = f"--prompt {flag(name)} --completion {flag(column.name)}"
            sheet.parts.notes.append(f"{show(column.name)} could be the target as well; to learn it: {learn}")
    return True


def _turns_column(sheet: Sheet) -> str | None:
    least = 0.5 * max((c.filled for c in sheet.may("target")), default=0)
    some = [c for c in sheet.left.values() if c.filled >= least]  # not one odd row of a file of another kind
    found = [c for c in some if c.may("conversation") and (c.some_turns or c.texts)]
    if not found:
        found = [c for c in some if c.turns and not (c.may("prompt") or c.may("target"))]
    if not found and not any(c.may("target") or c.few or c.free for c in some):
        found = [c for c in some if c.turns]
    found = [c for c in found if names.plain(c.name) == "messages"] or found
    if len(found) > 1:
        wrong = f"has {len(found)} columns of conversations: {listed(found)}"
        sheet.refuse(wrong, [f"--messages {flag(c.name)}" for c in found])
    named = [
        c.name
        for c in sheet.left.values()
        if names.plain(c.name) in ("messages", "conversations") and not c.filled
    ]
    return found[0].name if found else (named[0] if named else None)


def _answered(sheet: Sheet, name: str) -> bool:
    """Whether most conversations end with an answer."""
    speakers, ends = Speakers(sheet.said.roles), []
    for value in sheet.values(name)[:50]:
        try:
            ends.append(read_turns(value, name, speakers, Seen())[-1].role == "assistant")
        except (ValueError, IndexError):
            continue
    return not ends or sum(ends) > 0.5 * len(ends)


def _wanted(sheet: Sheet) -> None:
    """A column that says whether the answer of a row is wanted (KTO)."""
    for column in list(sheet.left.values()):
        named = column.only("wanted") and column.rank("wanted") < 10
        label = names.plain(column.name) == "label"
        judged = all(
            text_of(v, "").strip().lower() in ("true", "false", "0", "1", "")
            for v in sheet.values(column.name)
        )
        if (named or label) and judged and column.filled:
            sheet.take("wanted", column.name)
            return


def _ids(sheet: Sheet) -> None:
    """Ids by name where they look like ids, and unknown columns that look like nothing else."""
    for column in list(sheet.left.values()):
        named = column.may("id") and not column.free and not (column.few and not column.numbers)
        if named or (column.ids and not column.known):
            sheet.take("id", column.name)


def _languages(sheet: Sheet) -> None:
    """One column in one language as the prompt and one in another as the target are a translation."""
    prompt, target = sheet.parts["prompt"], sheet.parts["target"]
    if len(prompt) == len(target) == 1:
        source, wanted = (sheet.columns[name].language for name in (*prompt, *target))
        if source and wanted:
            sheet.parts.languages = (source, wanted)


def _chosen_alone(sheet: Sheet) -> None:
    """A chosen answer without a prompt holds the conversation: as turns, or as one text to be cut."""
    name = sheet.parts.one("target")
    if name is None or sheet.parts["prompt"] or not names.is_chosen(name) or not sheet.columns[name].free:
        return
    sheet.parts.of["prompt"] = sheet.parts.of.pop("target")
    sheet.parts.whole = True


def _rest(sheet: Sheet) -> None:
    """Ids, a group where it is certain, and everything else: not used."""
    sheet.take("id", *[c.name for c in sheet.left.values() if c.ids or (c.may("id") and not c.free)])
    for name in list(sheet.parts["id"]):
        if names.plain(name) in _GROUPS and not sheet.parts["group"] and _groups(sheet.columns[name]):
            sheet.parts["id"].remove(name)
            sheet.parts.of["group"] = [name]
    sheet.take("not used", *list(sheet.left))


def _groups(column: Column) -> bool:
    """Whether many values occur more than once, and nearly every row has one."""
    return (
        column.different >= 10
        and 1.2 * column.different < column.filled
        and column.filled > 0.9 * column.rows
    )


def _require(sheet: Sheet) -> None:
    parts = sheet.parts
    if parts["conversation"] or parts.learned or parts.whole or parts.unanswered:
        return
    if not parts["target"]:
        sheet.refuse("has no column to learn", ["--prompt COLUMN --completion COLUMN"])
    if not parts["prompt"] and not parts["history"] and not sheet.columns[parts["target"][0]].turns:
        for column in sheet.columns.values():
            if column.may("prompt") and not column.filled:
                sheet.refuse(f"has an empty {show(column.name)} in every row", ["--prompt COLUMN"])
        others = [name for name in sheet.columns if name not in parts["target"]]
        tries = [f"--prompt {flag(name)} --completion {flag(parts['target'][0])}" for name in others[:2]]
        sheet.refuse(
            "has no column that is known to be the prompt", tries or ["--prompt COLUMN --completion COLUMN"]
        )
