"""Every storage operation of climb, predict and tune on `tiny` with every fault, then the same command again.

    python benchmarks/storage.py                       # all; continues where it was stopped
    python benchmarks/storage.py --command predict     # one command
    python benchmarks/storage.py --every 7             # every seventh operation, one fault each

An undisturbed run of the command is forked at each of its operations. The fork goes on in a copy of the
folder. There the operation fails (EIO, no space), or is half done and fails, or the process is killed before
it, after it or half way through it. Then the same command, run in that copy by another process, must leave
what an undisturbed run leaves, or refuse and say why. What it leaves depends on nothing but what is on the
disk, so it is run once for all faults that leave the same there.
"""

from __future__ import annotations

import argparse
import csv
import errno
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import gettempdir
from types import SimpleNamespace
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}

import left_behind

from rung import cli, device, machine, storage
from rung.bases import catalog
from rung.evaluation import forgetting
from rung.ladder import looks, probing, quote
from rung.report import html
from rung.train import optim, trainer
from rung.train.trainer import StepTime

HERE = Path(__file__).parent
RECORD = HERE / "results" / "storage.json"
SECONDS = 900.0  # after which a command hangs
TINY = "--base tiny --threads 1 --precision fp32 --budget none --epochs 1 --batch-tokens 200 --rank 4"
COMMANDS = {
    "climb": f"climb rows.csv --output run {TINY} --shots 1 --rungs constant,probe,full",
    "predict": "predict new.csv --run climbed --rung probe --output out.csv",
    "tune": f"tune rows.csv --output run {TINY} --top-layers 1 --checkpoint-seconds 20",
}


@dataclass(frozen=True)
class Fault:
    """What happens at an operation: an error or, without one, a kill."""

    name: str
    error: int = 0  # errno
    done: float = 0.0  # share of the operation that is done before it happens

    def fits(self, operation: str) -> bool:
        return self.done in (0.0, 1.0) or operation.split()[0] in ("write", "append")

    def strike(self) -> None:
        if not self.error:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(self.error, os.strerror(self.error))


FAULTS = (
    Fault("error", errno.EIO),
    Fault("no space", errno.ENOSPC),
    Fault("half, no space", errno.ENOSPC, 0.5),
    Fault("killed before"),
    Fault("killed half way", done=0.5),
    Fault("killed after", done=1.0),
)


class Branching:
    """The hooks of `rung.storage` in an undisturbed run: the process is forked at its operations."""

    def __init__(
        self,
        folder: Path,
        faults: Callable[[int, str], list[Fault]],
        judge: Callable[[dict[str, Any]], None],
    ) -> None:
        """`faults` gives those to try at an operation; `judge` gets the outcome of each fork."""
        self.folder, self.faults, self.judge = folder, faults, judge
        self.operations: list[str] = []
        self._begun: dict[tuple[str, Path], tuple[int, int]] = {}  # place, and size before
        storage.fault, storage.after = self._before, self._after

    def _before(self, name: str, path: Path) -> None:
        if is_temporary(path):
            return
        assert not path.is_absolute(), path  # else the forks would work in the folder of the undisturbed run
        place = len(self.operations)
        self.operations.append(f"{name} {left_behind.named(path.as_posix())}")
        self._begun[name, path] = place, size_of(path)
        for fault in self.faults(place, self.operations[place]):
            if fault.done == 0.0:
                self._branch(place, fault)

    def _after(self, name: str, path: Path) -> None:
        if is_temporary(path):
            return
        place, before = self._begun[name, path]
        for fault in self.faults(place, self.operations[place]):
            if fault.done > 0.0:
                size = before + (size_of(path) - before) // 2 if fault.done < 1.0 else None
                self._branch(place, fault, path, size)

    def _branch(self, place: int, fault: Fault, path: Path = Path(), size: int | None = None) -> None:
        copy = again(self.folder)
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.folder, copy, symlinks=True)
        child = os.fork()
        if child == 0:
            storage.fault = storage.after = None
            go_into(copy)
            if size is not None:
                os.truncate(path, size)
            fault.strike()  # an error goes its way through the command, to the end of `be_the_child`
        code = wait(child)
        said = log_of(copy).read_text(errors="replace")[-2000:]
        about = {"place": place, "operation": self.operations[place], "fault": fault.name}
        self.judge({**about, "code": code, "said": said})


def is_temporary(path: Path) -> bool:
    """Whether it is in a folder that lives no longer than a timing."""
    return any(part.startswith("rung-") for part in path.parts) and Path(gettempdir()) in path.parents


def size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def again(folder: Path) -> Path:
    """Where the forks of a run in `folder` work, and where the command runs again."""
    return folder.parent / "again" / folder.name


def log_of(folder: Path) -> Path:
    return folder.with_suffix(".log")


def run(folder: Path, command: str) -> tuple[int, str]:
    """The exit code of a command that works in `folder`, or minus its signal, and what it printed."""
    modules = folder.with_suffix(".modules")
    modules.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        be_the_child(folder, command, end=lambda: modules.write_text(json.dumps(sorted(sys.modules))))
    code = wait(child)
    for module in json.loads(modules.read_text()) if modules.exists() else []:
        with suppress(Exception):  # so that the next child need not import it
            import_module(module)
    return code, log_of(folder).read_text(errors="replace")


def wait(child: int) -> int:
    """The exit code of a child, or minus its signal; one that hangs is killed."""
    deadline = time.monotonic() + SECONDS
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)


def go_into(folder: Path) -> None:
    """Work in `folder` and print to its log."""
    out = os.open(log_of(folder), os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(out, stream)
    os.chdir(folder)


def be_the_child(
    folder: Path, command: str, begin: Callable[[], object] = int, end: Callable[[], object] = int
) -> None:
    """Run the command and leave with its exit code; nothing of the parent's is run on the way out."""
    code, me = 1, os.getpid()
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        go_into(folder)
        catalog.cache_dir = looks.cache_dir = lambda: Path("cache")
        stop_the_clock()
        shorten()
        begin()
        code = cli.run(command.split())
        if os.getpid() == me:  # and not a fork
            end()
    except BaseException:  # noqa: BLE001  the child ends here whatever it is
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def stop_the_clock() -> None:
    """For training: ten seconds pass with each step, so that checkpoints are written after the same steps."""
    ticking, scale = SimpleNamespace(now=0.0), optim.scale_gradients

    def slow(*given: Any) -> None:
        ticking.now += 10
        scale(*given)

    trainer.time = SimpleNamespace(monotonic=lambda: ticking.now)  # type: ignore[assignment]
    optim.scale_gradients = slow


def shorten() -> None:
    """Leave out most of what takes time and writes nothing: timing, choosing, texts and charts."""
    few = forgetting.general_prompts()[:4]
    forgetting.general_prompts, forgetting.NEW_TOKENS = (lambda: few), 4
    device.use_exact_fp32 = lambda: False
    probing.FINALISTS = 1
    quote.repeated = lambda work, allowance, first: quote.Timed(first, 0.0)
    quote._timed_steps = lambda trainer, allowance: [StepTime(100, 0.01, 0.001)]
    html._quality_charts = lambda view: (None, "")
    html._cost_charts = html._curve_charts = lambda view: None


def prepare(folder: Path, command: str, climbed: Path | None) -> Path:
    """A new folder with what `command` reads."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    again(folder).parent.mkdir(exist_ok=True)
    draw = random.Random(1)
    rows = []
    for _ in range(80):
        label = draw.choice("ab")
        word = [draw.choice("mnrst") for _ in range(5)]
        word.insert(draw.randrange(6), label)
        rows.append(("".join(word), label))
    name, some = ("new.csv", [row[:1] for row in rows[:40]]) if command == "predict" else ("rows.csv", rows)
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label")[: len(some[0])], *some])
    if command == "predict":
        assert climbed is not None
        (folder / "climbed").symlink_to(climbed)
    return folder


class Kept:
    """The tries so far, a line each, for a loop that is stopped and continues."""

    def __init__(self, path: Path, mark: str) -> None:
        self.path = path
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        self.rows: list[dict[str, Any]] = rows[1:] if rows and rows[0] == {"mark": mark} else []
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in [{"mark": mark}, *self.rows]))

    def find(self, **values: Any) -> dict[str, Any] | None:
        return next((row for row in self.rows if row | values == row), None)

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


class Loop:
    """All tries of one command."""

    def __init__(self, command: str, work: Path, every: int, climbed: Path | None = None) -> None:
        """Runs the command undisturbed; `climbed` is the run that `predict` uses."""
        self.command, self.work, self.every, self.climbed = command, work, every, climbed
        self.whole = prepare(work / "whole" / command, command, climbed)
        self._run_undisturbed(self.whole)
        self.promised = left_behind.promised(self.whole)
        files = [file for folder in (HERE.parent / "src", HERE) for file in sorted(folder.rglob("*.py"))]
        mark = storage.fingerprint([every, [storage.sha256_file(file) for file in files]])
        self.kept = Kept(work / f"{command}.jsonl", mark)

    def _run_undisturbed(self, folder: Path) -> None:
        code, said = run(folder, COMMANDS[self.command])
        if code or "failed" in said:
            raise SystemExit(f"{self.command} ended with {code}:\n{said}")

    def faults(self, place: int, operation: str) -> list[Fault]:
        """What is left to try at an operation; with `every` > 1 one fault at each of those."""
        fitting = [fault for fault in FAULTS if fault.fits(operation)]
        if self.every > 1:
            fitting = [] if place % self.every else [random.Random(place).choice(fitting)]
        return [fault for fault in fitting if not self.kept.find(place=place, fault=fault.name)]

    def try_all(self) -> dict[str, Any]:
        """Run the command once more, forked at its operations; returns the facts for the record."""
        folder = prepare(self.work / "try" / self.command, self.command, self.climbed)
        (asked, ask), (answers, answer) = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            os.close(asked)

            def judge(row: dict[str, Any]) -> None:
                os.write(ask, json.dumps(row).encode() + b"\n")
                os.read(answers, 1)  # the command has run again

            forked: list[Branching] = []
            be_the_child(
                folder,
                COMMANDS[self.command],
                begin=lambda: forked.append(Branching(folder, self.faults, judge)),
                end=lambda: os.write(ask, json.dumps(forked[0].operations).encode() + b"\n"),
            )
        os.close(ask)
        operations: list[str] = []
        with os.fdopen(asked) as lines:
            for line in lines:
                row = json.loads(line)
                if isinstance(row, list):
                    operations = row
                    continue
                self._judge(row)
                os.write(answer, b"\n")
        code = wait(child)
        left = left_behind.differences(self.promised, left_behind.promised(folder))
        if code or left:
            raise SystemExit(f"the forked run ended with {code}, {left}:\n{log_of(folder).read_text()}")
        return self._facts(operations)

    def _judge(self, row: dict[str, Any]) -> None:
        fault = next(fault for fault in FAULTS if fault.name == row["fault"])
        row["state"], row["outcome"], row["said"] = self._outcome(fault, row["code"], row["said"])
        if row["outcome"] != "same":
            print(self.command, json.dumps(row), flush=True)
        self.kept.add(row)

    def _outcome(self, fault: Fault, code: int, said: str) -> tuple[str, str, str]:
        """What the fault left on disk, "same", "refused" or "finding", and what was said or found."""
        folder = again(self.work / "try" / self.command)
        outputs = {"out.csv": self.promised["out.csv"]} if self.command == "predict" else {}
        if wrong := first_is_wrong(fault, code, said):
            return "", "finding", wrong
        if half := left_behind.half_files(folder, outputs):
            return "", "finding", f"half a file: {half}"
        state = storage.fingerprint(left_behind.state(folder))
        if known := self.kept.find(state=state):
            return state, known["outcome"], known["said"]
        an_hour_later(folder / "cache")
        code, said = run(folder, COMMANDS[self.command])
        if code:
            return state, "refused" if 2 <= code <= 7 else "finding", f"{code}: {said[-600:]}"
        different = left_behind.differences(self.promised, left_behind.promised(folder))
        return state, "finding" if different else "same", ", ".join(different)

    def _facts(self, operations: list[str]) -> dict[str, Any]:
        rows = self.kept.rows
        return {
            "arguments": COMMANDS[self.command],
            "operations": len(operations),
            "operations_by_kind": dict(Counter(operation.split()[0] for operation in operations)),
            "tries": dict(Counter(row["fault"] for row in rows)),
            "states": len({row["state"] for row in rows}),
            "ended_the_same": sum(row["outcome"] == "same" for row in rows),
            "refused": [row for row in rows if row["outcome"] == "refused"],
            "findings": [row for row in rows if row["outcome"] == "finding"],
        }


def first_is_wrong(fault: Fault, code: int, said: str) -> str:
    """What is wrong with how the disturbed command ended; "" where it did what is promised."""
    if not fault.error:
        killed = code == -signal.SIGKILL
        return "" if killed else f"it was to be killed and ended with {code}: {said[-600:]}"
    if code == 0:  # what failed was of no use any more, such as deleting a checkpoint
        return ""
    last = said.splitlines()[-1] if said else ""
    explained = os.strerror(fault.error) in last and "then run the same command again" in last
    return "" if code == 6 and explained else f"ended with {code}: {said[-600:]}"


def an_hour_later(cache: Path) -> None:
    """The cache is shared with other processes, so what is left there is deleted when it is old."""
    for left in cache.rglob("*.tmp"):
        old = time.time() - 2 * storage.STALE_SECONDS
        os.utime(left, (old, old))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--command", choices=COMMANDS, action="append", help="one of them; all if not given")
    parser.add_argument("--every", type=int, default=1, help="every N-th operation, with one fault each")
    parser.add_argument("--work", type=Path, default=HERE / ".work" / "storage", help="folder for the tries")
    parser.add_argument("--record", type=Path, default=RECORD, help="file for the record")
    given = parser.parse_args()
    work = given.work.resolve()
    found: dict[str, Any] = {
        "title": "Every storage operation failed or stopped once, then the same command again",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine.describe(),
        "every": given.every,
        "commands": {},
    }
    climb = Loop("climb", work, given.every)
    for command in given.command or list(COMMANDS):
        loop = climb if command == "climb" else Loop(command, work, given.every, climb.whole / "run")
        found["commands"][command] = loop.try_all()
    storage.write_json(given.record.resolve(), found)
    return 1 if any(one["findings"] for one in found["commands"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
