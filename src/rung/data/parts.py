"""What the parts of columns are, and the sheet that assigns them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from rung.config import Columns
from rung.data import names
from rung.data.facts import Column
from rung.data.marks import Marks
from rung.data.names import Kind, Part
from rung.data.strict_json import show
from rung.errors import DataError, UsageError, nearest

ORDER: tuple[Part, ...] = (
    *("conversation", "system", "history", "tools", "prompt", "target"),
    *("rejected", "rules", "wanted", "weight", "group", "id", "not used"),
)


@dataclass
class Parts:
    """Part -> columns, in the order in which they are used."""

    of: dict[Part, list[str]] = field(default_factory=dict)
    kind: Kind = ""  # of the target
    spans: bool = False  # the target is marked spans of the prompt
    tags: bool = False  # the target is tags, one for each word of the prompt
    indicators: bool = (
        False  # the targets are columns of 0 and 1; the answer is the names of those that are 1
    )
    whole: bool = False  # one text, to be cut at its marks
    learned: bool = False  # one text, all of which is learned
    unanswered: bool = False  # rows have rules that check an answer, and no answer
    options: str = ""  # the prompt column with a list of options, of which the target is a place
    first: int = 0  # the number of the first of them
    languages: tuple[str, str] | None = None
    notes: list[str] = field(default_factory=list)

    def __getitem__(self, part: Part) -> list[str]:
        return self.of.get(part, [])

    def one(self, part: Part) -> str | None:
        return next(iter(self[part]), None)

    def line(self, source: str | None = None) -> str:
        """``prompt: title, text; target: rating; id: row; not used: user_name``.

        `source` is a column whose values are weighed; it may also have a part.
        """
        text = "prompt and target" if self.whole else "text" if self.learned else "prompt"
        listed = [(text if part == "prompt" else part, self[part]) for part in ORDER if self[part]]
        if source is not None:
            unused = [name for name in self["not used"] if name != source]
            listed = [(part, found) for part, found in listed if part != "not used"] + [("source", [source])]
            listed += [("not used", unused)] if unused else []
        return "; ".join(f"{part}: {', '.join(_plain(name) for name in found)}" for part, found in listed)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the rows of a file became prompts, so that rows without an answer can be read in the same way."""

    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # part -> its columns, in their order
    tags: bool = False  # the prompt is a list of words
    options: str = ""  # a prompt column with a list of options
    whole: bool = False  # prompt and answer were one text, cut at `cut`
    learned: bool = False  # all of one text was learned: there is no prompt
    turns: bool = False  # a prompt is a list of turns
    header: bool | None = None  # whether a table had names in its first line; None: it was no table
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # as the user gave them
    start: str = ""  # marks that every prompt had around it, and that are taken off
    end: str = ""
    cut: Marks = field(default_factory=Marks)

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that a prompt is made of."""
        parts = self.parts
        asked = (*parts.get("conversation", ()), *parts.get("history", ()), *parts.get("prompt", ()))
        asked = asked or tuple(parts.get("target", ()))  # an answer that holds its conversation
        return (*parts.get("system", ()), *parts.get("tools", ()), *asked)


def _plain(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)[:60]


class Sheet:
    """The columns of one file while they get their parts; `left` are those that have none yet."""

    def __init__(
        self,
        columns: Sequence[Column],
        said: Columns,
        values: Mapping[str, Sequence[Any]],
        where: str,
        file: str,
        table: bool,
    ) -> None:
        self.columns = {column.name: column for column in columns}
        self.said = said
        self.values = values.__getitem__
        self.where = where
        self.verb = f"rung check {flag(file)}"  # the command to show in refusals
        self.table = table  # with a header
        self.parts = Parts()
        self.left = dict(self.columns)

    def take(self, part: Part, *found: str) -> None:
        """Give these columns a part."""
        for name in found:
            if self.left.pop(name, None) is not None:
                self.parts.of.setdefault(part, []).append(name)

    def may(self, *parts: Part) -> list[Column]:
        """The columns left whose names allow one of these parts and that hold something."""
        return [c for c in self.left.values() if c.filled and any(c.may(part) for part in parts)]

    def asking(self, columns: Iterable[Column | str]) -> str:
        """``--prompt A,B`` for the prompt that is settled, or for these columns."""
        wanted = self.parts["prompt"] or [c if isinstance(c, str) else c.name for c in columns]
        return f"--prompt {','.join(map(flag, wanted))}" if wanted else "--prompt COLUMN"

    def named(self, wanted: Sequence[str], flag: str) -> list[str]:
        """The columns of these names, compared exactly and then as names are. Raises `UsageError`."""
        found = []
        for name in wanted:
            same = [one for one in self.columns if names.plain(one) == names.plain(name)]
            column = name if name in self.columns else same[0] if len(same) == 1 else None
            column = column or next((one for one in self.columns if one == f"column {name}"), None)
            if column is None:
                shown = ", ".join(show(one) for one in list(self.columns)[:12])
                hint = nearest(name, self.columns)
                raise UsageError(
                    f"--{flag} names the column {show(name)}, which is not there.{hint}",
                    where=self.where,
                    fix=f"The columns are {shown}",
                )
            if column in found or column not in self.left:
                raise UsageError(f"the column {show(column)} is given two parts", where=self.where)
            found.append(column)
        return found

    def refuse(self, what: str, tries: Sequence[str], why: str = "") -> NoReturn:
        """Raises `DataError` with the columns, a value of each, and the commands for each reading."""
        shown = [
            f"{show(c.name)} ({c.sample}{f', {c.different:,} different' if c.filled > 1 else ''})"
            for c in list(self.columns.values())[:12]
        ]
        more = f" and {len(self.columns) - 12} more" if len(self.columns) > 12 else ""
        header = (
            "--no-header " if all(n.isdigit() for n in self.columns) and self.said.header is False else ""
        )
        tries = list(tries)
        if not any(c.known for c in self.columns.values()) and self.table and not header:
            tries.append("--no-header --prompt 1 --completion 2")
        commands = " or ".join(f"`{self.verb} {header}{one}`" for one in tries)
        raise DataError(
            f"{what}. The columns are {', '.join(shown)}{more}",
            where=self.where,
            why=why,
            fix=f"Say which is which: {commands}",
        )


def listed(columns: Iterable[Column]) -> str:
    return ", ".join(show(column.name) for column in columns)


def flag(name: str) -> str:
    """A column's name as it is typed in a shell; one that cannot be typed is COLUMN."""
    return shlex.quote(name) if name.isprintable() and len(name) <= 80 else "COLUMN"
