"""What `rung check` measures: the rows of a file as they were understood, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung.config import Settings, load_settings
from rung.data.check import Findings
from rung.data.check import check as find
from rung.errors import DataError
from rung.evaluation.tasks import unreadable
from rung.ladder.understood import Understood, understand_data

if TYPE_CHECKING:
    from rung.data.templates import Renderer


@dataclass(frozen=True, slots=True)
class Checked:
    """Rows, their task, and what was found in them for one base."""

    data: Understood
    findings: Findings
    ungraded: tuple[tuple[int, str], ...]  # (row, why): targets that the task's grader cannot read
    renderer: Renderer
    ungraded_test: tuple[tuple[int, str], ...] = ()  # of the test file


def check(data: object, config: str | Path | None = None, **settings: Any) -> Checked:
    """Look at `data`, a path or rows in memory, before anything is trained on it.

    `settings` are those of `rung.config.Settings`. Raises the errors of `rung.errors`.
    """
    s, _ = load_settings(Path(config) if config else None, settings)
    return examine(understand_data(data, s, only_look=True), s)


def examine(data: Understood, settings: Settings) -> Checked:
    """Render every row for the base and look through them. Raises `DataError` or `BaseModelError`."""
    if not data.loaded.examples:
        raise DataError("has no rows to look through, but documents", where=data.loaded.name)
    from rung.compute.load import load
    from rung.data.templates import Renderer

    base = load(settings.base)
    renderer = Renderer(base.tokenizer)
    longest = min(settings.max_length or base.context, base.context)
    found = find(data.loaded, renderer, longest, data.test, data.task.labels)
    bad, bad_test = (
        tuple(unreadable(data.task, one.examples)) if one else () for one in (data.loaded, data.test)
    )
    return Checked(data, found, bad, renderer, bad_test)
