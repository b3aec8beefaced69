"""What the screen shows while rung works."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from rung.cli import progress
from rung.cli.progress import Screen
from rung.ladder.left_out import LeftOut
from rung.ladder.plan import Plan
from rung.ladder.prepare import Prepared
from rung.ladder.watch import Silent
from rung.records import Cost, Measure, Quote, Result


def result(status: str = "ok", value: float | None = 0.5, unit: str = "", reason: str = "") -> Result:
    primary = Measure("accuracy", value, unit=unit) if status == "ok" else None
    return Result(
        "lora",
        "lora",
        status,  # type: ignore[arg-type]
        2,
        "tiny",
        "f00d",
        reason=reason,
        primary=primary,
        cost=Cost(seconds=65.0),
    )


@contextmanager
def signals_kept() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        after = {number: signal.getsignal(number) for number in before}
        assert after == before


def test_it_hears_all_that_a_climb_tells() -> None:
    calls = {name for name in vars(Silent) if not name.startswith("_")}
    assert calls <= {name for name in dir(Screen) if not name.startswith("_")}


def test_results_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.finished(result(), before=False)
    screen.finished(result(), before=True)
    screen.finished(result(value=None), before=False)
    screen.finished(result("failed", reason="it broke: [red]{x}"), before=False)
    screen.finished(result("skipped", reason="does not fit in the budget"), before=False)
    screen.finished(replace(result(), status="unfinished", done=0.124), before=False)
    screen.finished(result("unfinished", reason="no time"), before=False)
    timed = Cost(seconds=65.0, answer_seconds=15.0, answers=30)
    screen.finished(replace(result(), cost=timed), before=False)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.split("\n") == [
        "- lora: accuracy 50.0%, 1 min 5 s",
        "- lora: accuracy 50.0%, done before",
        "- lora: accuracy -, 1 min 5 s",
        "- lora: failed: it broke: [red]{x}",
        "- lora: skipped: does not fit in the budget",
        "- lora: accuracy 50.0%, not finished (12%), 1 min 5 s",
        "- lora: not finished: no time",
        "- lora: accuracy 50.0%, made in 50 s, 1,000 answers take 8 min 20 s",
        "",
    ]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(quiet=True)
    with screen.shown():
        screen.say("x")
        screen.begin("lora", "training")
        screen.step(1, 2, 3.0, 4.0, 5.0)
        screen.finished(result(), before=False)
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the screen's clock shows."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    screen = Screen()
    screen.begin("lora", "training")
    for done in range(1, 41):
        clock[0] += 1.0
        screen.step(done, 40, 1.25, 1000.0, 40.0 - done)
    lines = capsys.readouterr().err.strip("\n").split("\n")
    assert lines[0] == "  lora: training"
    assert lines[1] == "  lora: training 15/40 loss 1.250, 1000 tokens/s, 25 s left"
    assert len(lines) == 3


def test_rows_are_shown_with_the_time_that_is_left(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    screen = Screen()
    screen.begin("", "answering")
    clock[0] += 30.0
    screen.rows(10, 40)
    assert capsys.readouterr().err.split("\n")[1] == "  answering 10/40 rows, 1 min 30 s left"


def test_the_first_rows_say_nothing_about_the_time_that_is_left(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    screen = Screen()
    screen.begin("", "answering")
    for done in (0, 3, 4, 40):
        clock[0] += 30.0
        screen.rows(done, 40)
    assert capsys.readouterr().err.split("\n")[1:5] == [
        "  answering 0/40 rows",
        "  answering 3/40 rows",
        "  answering 4/40 rows, 9 min left",
        "  answering 40/40 rows, 0.0 s left",
    ]


def test_a_terminal_gets_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    assert not screen.bar.disable
    with screen.shown():
        screen.begin("lora", "training")
        screen.step(3, 10, 1.25, 1000.0, 7.0)
        screen.bar.refresh()
        screen.rows(10, 10)
        screen.finished(result(), before=False)
    err = capsys.readouterr().err
    assert "lora: training" in err
    assert "3/10 loss 1.250, 1000 tokens/s, 7.0 s left" in err
    assert "- lora: accuracy 50.0%, 1 min 5 s" in err


def test_what_was_left_out_is_said(prepared: Prepared, capsys: pytest.CaptureFixture[str]) -> None:
    Screen().prepared(prepared)
    lines = capsys.readouterr().err.split("\n")
    parts = prepared.split
    assert lines[0] == (
        f"letters.csv: text-label, {len(parts.train)} rows to learn from, {len(parts.dev)} to choose on, "
        f"{len(parts.test)} held out"
    )
    at = lines.index("Base: tiny on CPU, 1 thread, fp32 as asked")
    assert lines[at + 1] == "  path: fused, rung's own layers"


@pytest.mark.parametrize(
    ("changed", "said"),
    [({}, True), ({"splits": 5}, False), ({"rungs": ("lora",)}, False), ({"rungs": ("words", "lora")}, True)],
)
def test_few_test_rows_suggest_more_splits(
    prepared: Prepared, capsys: pytest.CaptureFixture[str], changed: dict[str, object], said: bool
) -> None:
    settings = prepared.settings.model_copy(update={"rungs": None} | changed)
    Screen().prepared(replace(prepared, settings=settings))
    assert ("--splits 5" in capsys.readouterr().err) == said


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
@pytest.mark.parametrize("call", ["begin", "rows", "step"])
def test_a_signal_stops_at_the_next_word(
    number: signal.Signals, error: type[BaseException], call: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"begin": ("lora", "training"), "rows": (1, 2), "step": (1, 2, 0.5, 10.0, 1.0)}
    went_on = []

    def work() -> None:
        screen = Screen()
        with signals_kept(), screen.shown():
            os.kill(os.getpid(), number)
            went_on.append(screen.stop)
            getattr(screen, call)(*words[call])
            went_on.append(0)

    with pytest.raises(error) as stopped:
        work()
    assert went_on == [number]
    if isinstance(stopped.value, SystemExit):
        assert stopped.value.code == 143
    assert "stopping after this step; press again to stop immediately" in capsys.readouterr().err


def test_a_second_signal_stops_at_once() -> None:
    went_on = []

    def work() -> None:
        with signals_kept(), Screen().shown():
            os.kill(os.getpid(), signal.SIGINT)
            went_on.append("once")
            os.kill(os.getpid(), signal.SIGINT)
            went_on.append("twice")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert went_on == ["once"]


def test_every_row_that_is_left_out_is_counted(
    prepared: Prepared, capsys: pytest.CaptureFixture[str]
) -> None:
    unwanted = [LeftOut("letters.csv", row, "it is marked as unwanted") for row in range(1, 13)]
    changed = replace(
        prepared,
        loaded=replace(prepared.loaded, parts_line="prompt: text; not used: id, at"),
        split=replace(prepared.split, duplicates=1200, leaked=prepared.split.train[:1]),
        left_out=(*unwanted, LeftOut("test.csv", 3, "longer than 20 tokens", "test")),
        warnings=("labels that no train row has: 'c' (2 rows)",),
    )
    Screen().prepared(changed)
    lines = capsys.readouterr().err.split("\n")
    row = prepared.split.train[0].row
    assert lines[1:7] == [
        "  prompt: text; not used: id, at",
        "  12 rows left out: it is marked as unwanted (rows 1, 2, 3, 4, 5 and 7 more)",
        "  1 row of test.csv left out: longer than 20 tokens (row 3)",
        "  1,200 rows left out: the same as an earlier row",
        f"  1 row left out: the test file holds the same prompt (row {row})",
        "  note: labels that no train row has: 'c' (2 rows)",
    ]
    assert lines[7].startswith("Task: ")


def test_a_plan_shows_ranges_and_only_what_is_still_to_run(capsys: pytest.CaptureFixture[str]) -> None:
    quotes = (
        Quote("words", True, seconds=1.0, low=0.3, high=3.0, test_rows=393),
        Quote("zero-shot", True, seconds=30.0, test_rows=100),
        Quote("lora", True, seconds=180.0, low=120.0, high=300.0, train_rows=362, epochs=1.5, test_rows=393),
        Quote("full", False, why="no time"),
    )
    plan = Plan(quotes, 50, 393, 362, 1.5, 200, 1024, 240.0, 10.0, "bf16", ("a note",), begun=("words",))
    Screen().planned(plan)
    assert capsys.readouterr().err.split("\n") == [
        "Plan, about 3 min 40 s in all, the budget is 4 min:",
        "  zero-shot  about 30 s, 100 test rows",
        "  lora       about 3 min (2 min to 5 min), 362 rows x 1.5 epochs, 393 test rows",
        "  full       left out: no time",
        "  a note",
        "",
    ]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_behind_stderr_does_not_end_the_work() -> None:
    screen = Screen()
    screen.console.file = full = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115  its close raises
    screen.say("one")
    screen.say("two")
    assert screen.console.quiet
    with pytest.raises(OSError, match="No space left"):
        full.close()
