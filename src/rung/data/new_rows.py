"""Rows without an answer -> prompts, in the way that the rows of a climb became prompts (`Reading`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rung.config import Columns
from rung.data import names
from rung.data.formats import example_of
from rung.data.marks import Edges, cut_prompt
from rung.data.parts import Parts, Reading
from rung.data.reading import RowFile
from rung.data.rows import Builder
from rung.data.strict_json import Row, RowError, show
from rung.errors import DataError
from rung.records import Example, Message


class Asker:
    """Makes prompts of new rows. Raises `DataError` where the rows of the climb had none: plain text that is
    learned as a whole."""

    def __init__(self, reading: Reading) -> None:
        if reading.learned or not reading.needed:
            raise DataError(
                "the rows of this run have no prompt, so there is nothing to answer",
                why="All of each text was learned",
                fix="Climb on rows with a prompt and an answer",
            )
        self.reading = reading
        parts = Parts(
            {part: list(found) for part, found in reading.parts.items()},  # type: ignore[misc]
            tags=reading.tags,
            options=reading.options,
            whole=reading.whole,
        )
        self._builder = Builder(parts, Columns(roles=reading.roles), RowFile("", "", "", "memory", ()))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a prompt is made of."""
        return self.reading.needed

    def is_name(self, text: str) -> bool:
        """Whether a text is the name of a column: a well-known one, or one of this run's."""
        return names.is_name(text) or names.plain(text) in map(names.plain, self.columns)

    def require(self, columns: Sequence[str], where: str) -> None:
        """Raises `DataError` that names the prompt columns that are not among `columns`."""
        there = set(columns) | {names.plain(name) for name in columns}
        lacks = [name for name in self.columns if not {name, names.plain(name)} & there]
        if lacks and not any(names.plain(name) == "translation" for name in columns):
            few = list(map(show, columns))[:12]
            raise DataError(
                f"lacks the prompt column{'s' * (len(lacks) > 1)} {', '.join(map(show, lacks))}",
                where=where,
                why=f"The run asks with {', '.join(map(show, self.columns))}; this file has "
                f"{', '.join(few) or 'no columns'}",
                fix="Name the columns as in the file that the run was made from",
            )

    def row_of(self, text: str) -> Row:
        """A row that holds `text` alone. Raises `DataError` where a prompt has more columns than one."""
        if len(self.columns) != 1:
            raise DataError(
                "one text is not enough for a prompt of this run",
                why=f"It is made of the columns {', '.join(map(show, self.columns))}",
                fix="Give rows with these columns, not lines of text",
            )
        (name,) = self.columns
        return {name: [{"role": "user", "content": text}] if self.reading.turns else text}

    def example(self, row: Row, number: int = 0, source: str = "") -> Example:
        """A row as an example with an empty target. Raises `RowError` where there is nothing to ask."""
        messages = self.prompt(row)
        return example_of([*messages, Message("assistant", "")], number, source)

    def prompt(self, row: Row) -> list[Message]:
        """The messages of a row before its answer. Raises `RowError`; see `example`."""
        row = self._named(row)
        messages = self._builder.ask(row)
        if self.reading.whole:
            text = messages.pop().content
            turns = cut_prompt(text, self.reading.cut)
            messages = turns if turns and turns[0].role == "system" else [*messages, *turns]
        messages = self._unmarked(messages)
        if not any(one.role in ("system", "user") and one.content.strip() for one in messages):
            raise RowError(f"has no text in {', '.join(map(show, self.columns))}")
        return messages

    def _named(self, row: Row) -> Row:
        """The row under the names that the climb knows. Raises `RowError` where it has none of them."""
        lacks = [name for name in self.columns if name not in row]
        if not lacks:
            return row
        keys = {names.plain(key): key for key in row}
        folded = row.get(keys.get("translation", ""))
        if isinstance(folded, dict):
            row = {**row, **{name: folded[name] for name in lacks if name in folded}}
        found = {name: row[keys[names.plain(name)]] for name in lacks if names.plain(name) in keys}
        row = {**row, **found}
        if not any(name in row for name in self.columns):
            raise RowError(f"lacks {', '.join(map(show, self.columns))}")
        return row

    def _unmarked(self, messages: list[Message]) -> list[Message]:
        edges = Edges(self.reading.start, self.reading.end)
        last = max((i for i, one in enumerate(messages) if one.role == "user"), default=-1)
        return [
            replace(one, content=edges.cut(one.content)) if i == last else one
            for i, one in enumerate(messages)
        ]
