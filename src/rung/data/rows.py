"""One row -> the messages of one example, by the parts of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rung.config import Columns
from rung.data import names
from rung.data.conversations import (
    Speakers,
    is_call,
    is_turns,
    read_history,
    read_turns,
    tools_text,
    written_calls,
)
from rung.data.label_lists import written
from rung.data.multiple_choice import letter_at, lettered
from rung.data.parts import Parts
from rung.data.reading import RowFile
from rung.data.rejected import REJECTED, answer_turns, paired
from rung.data.spans import is_tags, span_target, tag_spans
from rung.data.strict_json import Row, RowError, show
from rung.data.tool_calls import facts_of, first_admissible, is_admissible, text_of_calls
from rung.data.values import Seen, number, text_of, truth, unpacked
from rung.data.verifiable import rules_in
from rung.records import Message

Left = tuple[int, str]  # number of a row, and why it is no example


@dataclass(frozen=True, slots=True)
class Built:
    """One row as messages."""

    messages: tuple[Message, ...]
    group: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)  # JSON: what else the row says


SOURCE = "source"  # in `Example.facts`


class Builder:
    """Turns the rows of one file into messages; counts what the user should know."""

    def __init__(self, parts: Parts, said: Columns, source: RowFile) -> None:
        self.parts = parts
        self.said = said
        self.class_names: Mapping[str, Sequence[str]] = source.class_names
        self.speakers = Speakers(said.roles)
        self.seen = Seen()
        self.misplaced = 0  # rows whose spans name other words than stand at their places
        self.named: set[str] = set()  # columns whose numbers were read by their class names

    def read(self, row: Row) -> Built | str:
        """The messages of a row, or why it is no example. Raises `RowError` where it cannot be used."""
        self._require_columns(row)
        if why := self._unwanted(row):
            return why
        system = self._system(row)
        if name := self.parts.one("conversation"):
            turns = read_turns(row.get(name), name, self.speakers, self.seen)
        elif self.parts.learned or self.parts.whole:
            name = self.parts["prompt"][0]
            turns = [Message("assistant", text_of(row.get(name), name))]
        else:
            turns = [*self._history(row), *self._asked(row)]
        messages = self._answered(row, turns)
        if system:
            messages = self._with_system(system, messages)
        return self._checked(messages, row)

    def ask(self, row: Row) -> list[Message]:
        """The messages of a row before its answer, whether it has one or not. Raises `RowError`.

        A text that holds prompt and answer comes back whole, as the last message.
        """
        parts = self.parts
        system = self._system(row)
        asked = parts["prompt"] or parts["history"]
        name = parts.one("conversation") or (None if asked else parts.one("target"))
        if name:
            turns = read_turns(row.get(name), name, self.speakers, self.seen)
            answered = name not in parts["target"] and parts["target"]  # in a column of its own
            if not answered and turns[-1].role == "assistant":
                turns = turns[:-1]
        elif parts.whole:
            name = parts["prompt"][0]
            turns = [Message("user", text_of(row.get(name), name))]
        else:
            turns = [*self._history(row), *self._asked(row)]
        if system:
            turns = self._with_system(system, turns)
        if any(message.role == "system" for message in turns[1:]):
            turns = self._one_system(turns)
        return turns

    def notes(self) -> list[str]:
        """What the user should know of the values, a line each."""
        seen, lines = self.seen, []
        if self.misplaced:
            lines.append(
                f"in {_rows(self.misplaced)} an entity's own words are not at its place; the words count"
            )
        if seen.turn_keys:
            keys = ", ".join(show(key) for key in list(seen.turn_keys)[:8])
            lines.append(f"keys of a turn that are not used: {keys}")
        if seen.thoughts:
            parts = "1 part" if seen.thoughts == 1 else f"{seen.thoughts:,} parts"
            lines.append(f"{parts} of reasoning left out of the answers")
        if seen.after_answer:
            lines.append(f"turns after the last answer left out in {_rows(seen.after_answer)}")
        if seen.roleless:
            lines.append(
                f"turns without roles in {_rows(seen.roleless)} are read as user, assistant, user, ..."
            )
        for column in sorted(self.named):
            labels = ", ".join(self.class_names[column][:4])
            lines.append(f"the numbers in {show(column)} are read by the class names in the file ({labels})")
        return lines

    # --- parts of a row

    def _require_columns(self, row: Row) -> None:
        """Raises `RowError` where a row of JSON has no prompt or no target at all."""
        needed = [*self.parts["conversation"], *self.parts["target"][:1]]
        prompts = self.parts["prompt"]
        lacks = [name for name in needed if name not in row]
        lacks += prompts[:1] if prompts and not any(name in row for name in prompts) else []
        if lacks:
            found = ", ".join(show(name) for name in list(row)[:8])
            what = f"lacks {', '.join(map(show, lacks))} (it has {found or 'nothing'})"
            raise RowError(what, "Give every row of a file the same keys, or null for what is missing")

    def _unwanted(self, row: Row) -> str:
        if (name := self.parts.one("wanted")) and truth(row.get(name)) is False:
            return f"{name!r} is {text_of(row.get(name), name)}, which marks an answer as unwanted"
        if (name := self.parts.one("weight")) and number(row.get(name)) == 0:
            return f"{name!r} is 0, which marks a row that is not to be learned"
        return ""

    def _system(self, row: Row) -> str:
        texts = [self._system_text(row.get(name), name).strip() for name in self.parts["system"]]
        for name in self.parts["tools"]:
            if text := tools_text(row.get(name), name):
                texts.append(f"Tools:\n{text}")
        return "\n\n".join(text for text in texts if text)

    def _system_text(self, value: Any, name: str) -> str:
        if isinstance(value, dict) and (
            inner := next((value[key] for key in ("parts", "content", "text") if key in value), None)
        ):
            value = inner
        return text_of(value, name, self.seen)

    def _with_system(self, system: str, messages: list[Message]) -> list[Message]:
        if messages and messages[0].role == "system":
            return [Message("system", f"{messages[0].content}\n\n{system}".strip()), *messages[1:]]
        return [Message("system", system), *messages]

    def _history(self, row: Row) -> list[Message]:
        return [
            turn
            for name in self.parts["history"]
            for turn in read_history(row.get(name), name, self.speakers, self.seen)
        ]

    def _asked(self, row: Row) -> list[Message]:
        columns = self.parts["prompt"]
        if len(columns) == 1 and is_turns(row.get(columns[0])):
            return read_turns(row.get(columns[0]), columns[0], self.speakers, self.seen)
        texts = {name: self._prompt_text(row.get(name), name) for name in columns}
        if self.parts.tags:
            texts = {name: " ".join(map(str, unpacked(row.get(name)) or [])) for name in columns}
        if len(columns) == 1 or self._plain(columns):
            asked = "\n\n".join(text for text in texts.values() if text.strip())
        else:
            asked = "\n".join(f"{name}: {text}" for name, text in texts.items())
            asked = asked if any(text.strip() for text in texts.values()) else ""
        return [Message("user", asked)] if columns else []

    @staticmethod
    def _plain(columns: Sequence[str]) -> bool:
        """Whether texts are joined without their names: instruction and input, or context and question."""
        if len(columns) != 2:
            return False
        first, second = (names.parts_of(name) for name in columns)
        ask = ("prompt", "", 0)
        context = ("context", "", 0)
        instructed = names.plain(columns[0]).startswith("instruction") and (
            ask in second or context in second
        )
        return instructed or (context in first and ask in second)

    def _prompt_text(self, value: Any, name: str) -> str:
        if name == self.parts.options and isinstance(unpacked(value), list):
            return lettered(unpacked(value))
        value = unpacked(value) if names.plain(name) in ("choices", "options") else value
        if (
            isinstance(value, dict)
            and isinstance(value.get("text"), list)
            and isinstance(value.get("label"), list)
        ):
            return "\n".join(
                f"{label}. {text}" for label, text in zip(value["label"], value["text"], strict=False)
            )
        return text_of(value, name, self.seen)

    def _answered(self, row: Row, turns: list[Message]) -> list[Message]:
        columns = self.parts["target"]
        if self.parts.unanswered:
            return [*turns, Message("assistant", "")]
        if not columns:
            return turns
        if self.parts.indicators:
            named = [name for name in columns if truth(row.get(name))]
            label = written(named, " | " if any(";" in name for name in columns) else "; ")
            return [*turns, Message("assistant", label)]
        if len(columns) > 1:
            value: Any = {name: self._cell(row, name) for name in columns}
            return [*turns, Message("assistant", text_of(value, "the target"))]
        (name,) = columns
        value = row.get(name)
        if self.parts.spans:
            text = "\n\n".join(message.content for message in turns)
            marked, right = span_target(unpacked(value), text)
            self.misplaced += not right
            return [*turns, Message("assistant", text_of(marked, name))]
        if self.parts.tags:
            return [*turns, Message("assistant", self._tagged(row, value, name))]
        if is_turns(value):
            said = read_turns(value, name, self.speakers, self.seen)
            same = [message.content for message in said[: len(turns)]] == [
                message.content for message in turns
            ]
            return said if same else [*turns, *said]
        if (
            isinstance(value, dict)
            and isinstance(value.get("content", value.get("value")), str)
            and {"role", "from"} & set(value)
        ):
            return [*turns, *read_turns([value], name, self.speakers, self.seen)]
        return [*turns, Message("assistant", self._target_text(value, name))]

    def _cell(self, row: Row, name: str) -> Any:
        """A value inside a target of several columns: as it is, its class name where there is one."""
        value = row.get(name)
        named = self.class_names.get(name)
        if named and type(value) is int and 0 <= value < len(named):
            self.named.add(name)
            return named[value]
        return None if isinstance(value, str) and not value.strip() else value

    def _target_text(self, value: Any, name: str) -> str:
        if self.parts.options:
            return letter_at(value, self.parts.first)
        named = self.class_names.get(name)
        if named and type(value) is int:
            self.named.add(name)
            return named[value] if 0 <= value < len(named) else ""
        if (
            named
            and isinstance(value, list)
            and all(type(one) is int and 0 <= one < len(named) for one in value)
        ):
            self.named.add(name)
            value = [named[one] for one in value]
        if isinstance(value, dict) and isinstance(value.get("text"), list) and "answer_start" in value:
            value = value["text"][0] if value["text"] else ""
        inner = unpacked(value)
        if is_admissible(inner):
            inner = first_admissible(inner)
        if text := text_of_calls(inner):
            return text
        calls = inner if isinstance(inner, list) else [inner]
        if calls and all(is_call(call) for call in calls):
            return written_calls(inner, name)
        text = text_of(value, name, self.seen)
        if self.parts.kind == "label":
            text = text.strip()
        return self.said.label_names.get(text.strip(), text) if self.said.label_names else text

    def _tagged(self, row: Row, value: Any, name: str) -> str:
        tokens, tags = unpacked(row.get(self.parts["prompt"][0])), unpacked(value)
        named = self.class_names.get(name)
        if named and isinstance(tags, list):
            self.named.add(name)
            tags = [named[tag] if type(tag) is int and 0 <= tag < len(named) else tag for tag in tags]
        if not is_tags(tokens, tags):
            raise RowError(
                f"has {show(tags)} in {name}, which are not BIO tags, one for each word",
                "Write tags such as B-PER, I-PER and O; numbers need their names",
            )
        return text_of(tag_spans(tokens, tags), name)

    # --- the whole

    def _checked(self, messages: list[Message], row: Row) -> Built | str:
        """The messages as an example. Raises `RowError`; returns why a row is none."""
        group = self.parts.one("group")
        while messages and messages[-1].role != "assistant":
            if not any(message.role == "assistant" for message in messages):
                raise RowError("has no assistant turn, so there is nothing to learn", "Add the wanted answer")
            messages = messages[:-1]
            if not messages or messages[-1].role == "assistant":
                self.seen.after_answer += 1
        if not messages:
            raise RowError("has no turns", "Add the turns or leave the row out")
        if any(message.role == "system" for message in messages[1:]):
            messages = self._one_system(messages)
        if not messages[-1].learn:
            return "its target has weight 0, which marks a turn that is not to be learned"
        free = self.parts.learned or self.parts.whole
        if not free and not any(m.role in ("system", "user") and m.content.strip() for m in messages[:-1]):
            return "it has no user or system text before the target"
        if free and not messages[-1].content.strip():
            return "its text is empty"
        named = text_of(row.get(group), group).strip() if group else ""
        facts = {
            **facts_of(row, self.parts["tools"]),
            **self._rejected(row, messages),
            **rules_in(row, self.parts["rules"]),
            **self._source(row),
        }
        return Built(tuple(messages), named, facts)

    def _rejected(self, row: Row, messages: Sequence[Message]) -> dict[str, str]:
        """The facts of a preference pair (`rung.data.rejected`), whose chosen side is `messages`."""
        name = self.parts.one("rejected")
        if name is None or row.get(name) is None:
            return {}
        if (turns := answer_turns(row[name], name, self.speakers, self.seen)) is not None:
            return paired(messages, turns)
        return {REJECTED: self._target_text(row[name], name)}

    def _source(self, row: Row) -> Mapping[str, Any]:
        """The source of a row, where sources are weighed."""
        if self.said.source is None:
            return {}
        text = text_of(row.get(self.said.source), self.said.source).strip()
        return {SOURCE: text} if text else {}

    def _one_system(self, messages: list[Message]) -> list[Message]:
        """System turns at the start as one. Raises `RowError` for one in the middle."""
        count = next(i for i, message in enumerate(messages) if message.role != "system")
        if any(message.role == "system" for message in messages[count:]):
            raise RowError("has a system turn that is not the first turn", "Keep one, at the start")
        text = "\n\n".join(message.content for message in messages[:count])
        return [Message("system", text), *messages[count:]]


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
