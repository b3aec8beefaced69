"""What the screen shows while rung works: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from rung import numbers
from rung.cli.console import console
from rung.records import Quote, Result

if TYPE_CHECKING:
    from rung.ladder.divide import Divided
    from rung.ladder.plan import Plan

FEW_TEST = 300  # test rows below which more splits are suggested
_EVERY = 15.0  # seconds between lines where there is no terminal
_ENOUGH = 0.1  # of the rows: from there on the time that is left is estimated


class Screen:
    """Draws a climb on stderr; see `rung.ladder.watch.Watcher`."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = console(stderr=True, quiet=quiet)
        self.bar = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[facts]}"),
            console=self.console,
            transient=True,
            disable=quiet or not self.console.is_terminal,
        )
        self.task: TaskID | None = None
        self.stop = 0  # the signal that asked to stop
        self._where = ""
        self._said = 0.0
        self._from = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator[Screen]:
        """Show the bar, and turn Ctrl-C and SIGTERM into a clean stop at the next step."""
        old = {number: signal.signal(number, self._ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with self.bar:
                yield self
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def say(self, text: str) -> None:
        """Print a line; where stderr does not take it (its disk is full) the work goes on without a word."""
        try:
            self.console.print(text)
        except BrokenPipeError:
            raise
        except OSError:
            self.console.quiet = True

    def prepared(self, rows: Divided) -> None:
        parts, task = rows.split, rows.task
        self.say(
            f"{rows.loaded.name}: {rows.loaded.format}, {len(parts.train)} rows to learn from, "
            f"{len(parts.dev)} to choose on, {len(parts.test)} held out"
        )
        if rows.loaded.parts_line:
            self.say(f"  {rows.loaded.parts_line}")
        for line in rows.account():
            self.say(f"  {line}")
        for warning in rows.warnings:
            self.say(f"  note: {warning}")
        self.say(f"Task: {task.why}")
        if _offers_splits(rows):
            self.say("  few rows to test on: --splits 5 measures the best rungs on five splits of the file")
        if base := rows.base_facts():
            self.say(f"Base: {base['base']} on {base['precision_why']}")
            self.say(f"  path: {base['path_why']}")
            if base["template"]:
                self.say(f"  chat template: {base['template']}")

    def planned(self, plan: Plan) -> None:
        limit = f", the budget is {numbers.seconds(plan.budget)}" if plan.budget else ""
        self.say(f"Plan, about {numbers.seconds(plan.seconds)} in all{limit}:")
        for quote in plan.quotes:
            if quote.rung in plan.begun:
                continue
            if not quote.fits:
                self.say(f"  {quote.rung:<10} left out: {quote.why}")
                continue
            times = f" x {quote.epochs:g} epochs" if quote.epochs else ""
            training = f", {quote.train_rows} rows{times}" if quote.train_rows else ""
            forecast = f"about {numbers.seconds(quote.seconds or 0)}{_range(quote)}{training}"
            self.say(f"  {quote.rung:<10} {forecast}, {quote.test_rows} test rows")
        for note in plan.notes:
            self.say(f"  {note}")

    def begin(self, rung: str, phase: str) -> None:
        self._check()
        self._where = f"{rung}: {phase}" if rung else phase
        self._from = time.monotonic()
        self._draw(0, None, "")

    def rows(self, done: int, total: int) -> None:
        self._check()
        if not done:  # what came before was no work on rows
            self._from = time.monotonic()
        facts = f"{done}/{total} rows"
        if done >= _ENOUGH * total:
            left = (time.monotonic() - self._from) / max(done, 1) * (total - done)
            facts += f", {numbers.seconds(left)} left"
        self._draw(done, total, facts)

    def step(self, done: int, total: int, loss: float, tokens_per_second: float, seconds_left: float) -> None:
        self._check()
        left = numbers.seconds(seconds_left)
        facts = f"{done}/{total} loss {loss:.3f}, {tokens_per_second:.0f} tokens/s, {left} left"
        self._draw(done, total, facts)

    def finished(self, result: Result, before: bool) -> None:
        self._hide()
        if result.status != "ok" and result.primary is None:
            status = numbers.unfinished(result) if result.status == "unfinished" else result.status
            self.say(f"- {result.rung}: {status}: {result.reason}")
            return
        when = "done before" if before else _costs(result)
        cut = "" if result.status == "ok" else f", {numbers.unfinished(result)}"
        self.say(f"- {result.rung}: {numbers.named(result.primary)}{cut}, {when}")

    def _draw(self, done: int, total: int | None, facts: str) -> None:
        if self.bar.disable:
            now = time.monotonic()
            if now - self._said >= _EVERY:
                self._said = now
                self.say(f"  {self._where} {facts}".rstrip())
            return
        if self.task is None:
            self.task = self.bar.add_task(self._where, total=total, facts=facts)
        self.bar.update(self.task, description=self._where, completed=done, total=total, facts=facts)

    def _hide(self) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        if self.stop:
            self._leave(number)
        self.stop = number
        self.console.print("stopping after this step; press again to stop immediately")

    def _check(self) -> None:
        if self.stop:
            self._leave(self.stop)

    @staticmethod
    def _leave(number: int) -> None:
        if number == signal.SIGTERM:
            sys.exit(143)
        raise KeyboardInterrupt


def _offers_splits(rows: Divided) -> bool:
    """Whether more splits would help, and may be had."""
    settings, rungs = rows.settings, rows.settings.rungs
    few = len(rows.split.test) < FEW_TEST and rows.loaded_test is None
    return few and settings.splits == 1 and (rungs is None or len(rungs) > 1)


def _costs(result: Result) -> str:
    """``made in 5 min 26 s, 1,000 answers take 10 min 3 s``; the whole time where that is all there is."""
    each = result.cost.one_answer
    if each is None:
        return numbers.seconds(result.cost.seconds)
    making = numbers.seconds(result.cost.making_seconds)
    return f"made in {making}, 1,000 answers take {numbers.seconds(1000 * each)}"


def _range(quote: Quote) -> str:
    """`` (2 min to 5 min)``."""
    if quote.low is None or quote.high is None:
        return ""
    return f" ({numbers.seconds(quote.low)} to {numbers.seconds(quote.high)})"
