"""Rows as they were understood: on the screen, and as a file in the messages format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rung.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from rung.data.documents import Corpus
    from rung.data.formats import Loaded
    from rung.ladder.understood import Understood
    from rung.records import Example

_COLOURS = {"system": "dim", "user": "cyan", "tool": "magenta", "assistant": "bold green"}


def print_parts(console: Console, data: Understood, show: int = 0) -> None:
    """The first lines about a file: its columns, its task, what is left out; then `show` of its rows."""
    loaded = data.loaded
    if data.corpus is not None:
        print_corpus(console, data.corpus, show)
    if not loaded.examples:
        return
    rows = f"{len(loaded.examples):,} row{'s' * (len(loaded.examples) != 1)}"
    console.print(f"{loaded.name}: {loaded.format}, {rows}")
    console.print(loaded.parts_line)
    for line in account(loaded.left_out, loaded.name):
        console.print(line)
    console.print(f"Task: {data.task.why}")
    for line in data.warnings:
        console.print(f"Note: {line}")
    for example in loaded.examples[:show]:
        _print_row(console, example)


def print_corpus(console: Console, documents: Corpus, show: int = 0) -> None:
    """What was read of a folder, what is left out of it, and the first `show` passages."""
    from rich.text import Text

    console.print(f"{documents.name}: {documents.line}")
    for line in documents.gone(most=1000):
        console.print(f"- left out: {line}", markup=False)
    for passage in documents.passages[:show]:
        console.print(Text(f"\n{passage.source}: {passage.title}", style="bold"))
        console.print(Text(passage.text, style="cyan"))


def _print_row(console: Console, example: Example) -> None:
    from rich.text import Text

    console.print(f"\nRow {example.row}")
    for place, message in enumerate(example.messages, start=1):
        target = place == len(example.messages)
        learned = message.role == "assistant" and message.learn
        name = "target" if target else message.role
        note = "" if learned or message.role != "assistant" else " (not learned)"
        line = Text(f"{name}{note}: ", style="bold")
        line.append(message.content, style=_COLOURS[message.role] if not note else "dim")
        console.print(line)


def account(rows: Sequence[tuple[int, str]], file: str, fate: str = " left out") -> list[str]:
    """A line for each reason why rows are left out, or met another `fate`, with how many there are."""
    from rung.ladder.left_out import LeftOut, lines

    return lines([LeftOut(file, row, why) for row, why in rows], file, fate)


def write_messages(loaded: Loaded, path: Path) -> None:
    """Write all rows as ``{"messages": [...]}``, one a line. Raises `UsageError` where `path` exists."""
    from rung import storage

    if path.exists():
        raise UsageError("exists already", where=str(path), fix="Give another name, or delete it first")
    lines = [json.dumps({"messages": _turns(example)}, ensure_ascii=False) for example in loaded.examples]
    storage.write_file(path, "".join(f"{line}\n" for line in lines))


def _turns(example: Example) -> list[dict[str, object]]:
    return [
        {"role": m.role, "content": m.content} | ({} if m.learn or m.role != "assistant" else {"weight": 0})
        for m in example.messages
    ]


def print_test(console: Console, data: Understood, test: Loaded) -> None:
    """The first lines about a file of rows to test on, and those of its rows that cannot be graded."""
    from rung.ladder.divide import faults

    console.print(f"{test.name}: {test.format}, {len(test.examples):,} rows to test on")
    console.print(test.parts_line)
    bad = faults(data.task, test.examples)
    for line in account([*test.left_out, *bad.items()], test.name):
        console.print(line)
    console.print(f"Task: {data.task.why}")
