"""`rung check`: what rung sees in a file, before anything is trained on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli.options import Config, File, Json, takes_settings
from rung.cli.rows import account, print_parts, write_messages
from rung.errors import cut

if TYPE_CHECKING:
    from rich.console import Console

    from rung.data.check import Findings
    from rung.data.templates import Renderer
    from rung.ladder.checking import Checked
    from rung.ladder.understood import Understood
    from rung.records import Task

EPILOG = "Examples:  rung check messages.csv   |   rung check train.jsonl --test test.jsonl"
Show = Annotated[
    int, typer.Option("--show", min=0, max=1000, help="Print so many rows as they were understood.")
]
Write = Annotated[
    Path | None,
    typer.Option(
        "--write",
        metavar="OUT.jsonl",
        help="Save all rows in the messages format.",
        show_default=False,
        readable=False,
    ),
]
_LABEL = 60  # characters of a label
_SEVERAL = re.compile(r"^(pair|row)s")
_SHOWN = 8  # row numbers listed before "and n more"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("check", epilog=EPILOG)(check)


@takes_settings(
    "Options",
    "Data",
    leave_out=(
        *("rungs", "method", "budget", "output", "epochs", "seed"),
        *("dev_fraction", "test_fraction", "max_dev", "max_test"),
    ),
)
def check(
    file: File,
    settings: dict[str, Any],
    config: Config = None,
    json: Json = False,
    show: Show = 0,
    write: Write = None,
) -> None:
    """Show what rung sees in FILE: columns, rows, task, lengths, one rendered example, and what is wrong."""
    from rung.config import load_settings
    from rung.ladder.understood import understand_data

    s, _ = load_settings(config, settings)
    data = understand_data(
        file, s, only_look=True
    )  # report faults in the data before anything heavy is imported
    from rung.cli.base import ensure_base
    from rung.cli.console import console
    from rung.cli.progress import Screen

    screen = console(quiet=json)
    if write is not None:
        write_messages(data.loaded, write)
        if json:
            _print_json(data)
            return
    print_parts(screen, data, show)
    if write is not None:
        screen.print(f"Written to {write}: {len(data.loaded.examples):,} rows of messages")
        return
    if data.corpus is not None and not data.loaded.examples:
        _print_corpus(data, screen, json)
        return
    ensure_base(config, settings, Screen(quiet=json))
    from rung.ladder.checking import examine

    checked = examine(data, s)
    if json:
        _print_json(data, checked)
        return
    _print_summary(screen, checked.findings, data.task)
    _print_sample(screen, checked.findings, checked.renderer)
    _print_problems(screen, checked, s.long_rows)


def _print_corpus(data: Understood, screen: Console, json: bool) -> None:
    """Documents without rows to learn from: what was read, and the questions to test on, if there are any."""
    from rung.cli.output import print_json
    from rung.cli.rows import print_test
    from rung.records import to_json

    assert data.corpus is not None
    if json:
        print_json({"documents": to_json(data.corpus), "task": to_json(data.task)})
        return
    if data.test is not None:
        print_test(screen, data, data.test)
    else:
        screen.print("To climb on them, give questions with their answers: --test FILE")


def _print_json(data: Understood, checked: Checked | None = None) -> None:
    from rung.cli.output import print_json
    from rung.records import to_json

    loaded, first = data.loaded, data.loaded.examples[0]
    value = {
        "format": loaded.format,
        "rows": len(loaded.examples),
        "parts": {part: list(columns) for part, columns in loaded.parts.items()},
        "parts_line": loaded.parts_line,
        "task": to_json(data.task),
        "first": [to_json(message) for message in first.messages],
        "left_out": [{"row": row, "why": why} for row, why in loaded.left_out],
        "warnings": data.warnings,
    }
    if checked is not None:
        value["findings"] = to_json(checked.findings)
        value["doubts"] = [{"file": one.file, "row": one.row, "why": one.why} for one in data.doubted]
        value["ungraded"] = [{"row": row, "why": why} for row, why in checked.ungraded]
        value["ungraded_test"] = [{"row": row, "why": why} for row, why in checked.ungraded_test]
    print_json(value)


def _print_summary(console: Console, found: Findings, task: Task) -> None:
    turns = ", ".join(f"{rows} rows of {n} turns" for n, rows in found.turns.items())
    roles = ", ".join(f"{n} {role}" for role, n in found.roles.items())
    console.print(f"Turns: {turns}; {roles}")
    for name, lengths in (("prompt", found.prompt_tokens), ("target", found.target_tokens)):
        console.print(
            f"Tokens per {name}: half up to {lengths.p50}, 90% up to {lengths.p90}, "
            f"99% up to {lengths.p99}, longest {lengths.max}"
        )
    if turns := _answers(found):
        console.print(turns)
    if found.classes:
        shown = ", ".join(f"{cut(label, _LABEL)} {rows}" for label, rows in found.classes[:12])
        more = f", and {len(found.classes) - 12} more" if len(found.classes) > 12 else ""
        console.print(f"Labels: {shown}{more}")


def _answers(found: Findings) -> str:
    """Which assistant turns are learned; nothing where each row has one, and it is learned."""
    reasons = [(found.marked, "marked weight 0"), (found.rewritten, "shown without their thoughts")]
    why = [f"{count} {'is' if count == 1 else 'are'} {what}" for count, what in reasons if count]
    if why:
        learned = f"{found.learned_answers} of {found.answers} assistant turns are learned ({', '.join(why)})"
        return f"{learned}; the last of each row is measured"
    if found.answers > found.rows:
        turns = f"{found.answers} assistant turns in {found.rows} rows"
        return f"{turns}: all are learned, the last of each row is measured"
    return ""


def _print_sample(console: Console, found: Findings, renderer: Renderer) -> None:
    """One row as the model sees it, the tokens that are learned in green."""
    from rich.text import Text

    tokens = found.sample_tokens
    parts = [
        (is_learned, str(renderer.tokenizer.decode([i for i, _ in part])))
        for is_learned, part in groupby(zip(tokens.ids, tokens.mask, strict=True), key=itemgetter(1))
    ]
    text = Text()
    for is_learned, part in parts:
        text.append(part, style="bold green" if is_learned else "dim")
    learned = f"{tokens.learned} of its {len(tokens.ids)} tokens are learned"
    console.print(f"\nRow {found.sample.row} as the model sees it ({learned}, shown in green):")
    console.print(text)
    if not console.is_terminal:
        for part in (part for is_learned, part in parts if is_learned):
            console.print(f"learned: {part!r}")


def _print_problems(console: Console, checked: Checked, long_rows: str) -> None:
    found = checked.findings
    fate = "dropped" if long_rows == "drop" else "refused (leave them out with --long-rows drop)"
    lines = [
        _rows("rows the same as an earlier one, kept once", [row for _, row in found.duplicates]),
        _rows(
            "rows whose prompt is nearly an earlier one, kept on one side of the split",
            [row for _, row in found.near_duplicates],
        ),
        _pairs("pairs of rows with the same prompt and different targets", found.contradictions),
        _rows("rows with an empty target, dropped", found.empty_targets),
        _rows(f"rows longer than {found.max_length} tokens, {fate}", [row for row, _ in found.too_long]),
        _rows(
            "rows whose text spells control tokens (read as plain text)",
            [row for row, _ in found.control_tokens],
        ),
        _rows("rows with invisible characters in the target", found.unseen_characters),
        *(_rows(f"rows that a climb will refuse: {reason}", rows) for reason, rows in found.refused),
        _rows(
            "rows in which the chat template leaves out earlier thoughts, as it does when the model is used",
            found.rewritten_rows,
        ),
        _pairs("rows also in the test file, left out of train", found.overlap),
        _pairs("rows whose prompt is nearly in the test file, left out of train", found.near_overlap),
        *(
            f"label {cut(label, _LABEL)!r} occurs in test only ({len(rows)} rows)"
            for label, rows in found.unseen_labels
        ),
    ]
    if found.imbalance is not None and found.imbalance >= 20:
        lines.append(f"the largest class has {found.imbalance:.0f} times the rows of the smallest")
    lines += [f"{line}; correct a row to have it used" for line in account(checked.ungraded, found.name)]
    lines += checked.data.doubts
    if (test := checked.data.test) is not None:
        bad = account((*test.left_out, *checked.ungraded_test), test.name)
        lines += [f"{test.name}: {line}" for line in bad]
    problems = [line for line in lines if line]
    console.print("\nFound nothing wrong." if not problems else "\nFound:")
    for line in problems:
        console.print(f"- {line}")


def _rows(what: str, rows: Sequence[int]) -> str:
    if not rows:
        return ""
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f"{_counted(len(rows), what)}: row {', '.join(map(str, rows[:_SHOWN]))}{more}"


def _pairs(what: str, pairs: Sequence[tuple[int, int]]) -> str:
    if not pairs:
        return ""
    shown = ", ".join(f"{a} and {b}" for a, b in pairs[:_SHOWN])
    more = f", and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
    return f"{_counted(len(pairs), what)}: {shown}{more}"


def _counted(number: int, what: str) -> str:
    """``2 rows with ...``, ``1 row with ...``."""
    noun = what if number > 1 else _SEVERAL.sub(r"\1", what)
    return f"{number} {noun}"
