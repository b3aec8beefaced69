"""Damaged files for every reader: each is read, or refused by an error of rung's own; else it is a finding.

    python tests/fuzz.py --seconds 60 --findings FOLDER --record runs/fuzz.json

The edits are in `damage`, the readers in `fuzz_readers`. The seed fixes every input of a reader, whichever
other readers are tried. What counts is the time of the processor, so that a busy machine makes no finding.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from damage import damaged
from fuzz_readers import READERS, Reader, seal, use_cache, write
from rung import cost, machine, storage
from rung.errors import RungError

MOST_SECONDS, MOST_MEMORY = 10, 8 << 30  # of one input; of the process
MOST_MESSAGE = 4000  # characters
_FAST_FOLDER = "/dev/shm"


class Hang(BaseException):
    """An input that takes too long; no `Exception`, so that no border takes it for a refusal."""


@dataclass(frozen=True)
class Input:
    """One damaged file."""

    folder: int  # among those of the reader
    name: str
    content: bytes


@dataclass
class Tally:
    """What became of the inputs of one reader."""

    tried: int = 0
    read: int = 0
    refused: int = 0
    slowest: float = 0.0  # seconds of the processor
    seconds: float = 0.0  # all inputs together
    peak_memory_bytes: int | None = None  # of the process, while this reader was tried
    findings: list[str] = field(default_factory=list)  # what happened, and where


def inputs(one: Reader, name: str, seed: int) -> Iterator[Input]:
    """Damaged files for the reader called `name`, without end."""
    chance = random.Random(f"{name} {seed}")
    folders = one.folders()
    others = [folder[file] for folder in folders for file in one.damaged_in(folder)]
    while True:
        number = chance.randrange(len(folders))
        file = chance.choice(one.damaged_in(folders[number]))
        yield Input(number, file, damaged(folders[number][file], others, chance))


def try_reader(
    name: str,
    seed: int,
    go_on: Callable[[Tally], bool],
    findings: Path | None = None,
    before: Tally | None = None,
) -> Tally:
    """Read damaged files while `go_on`; the inputs of findings are kept in the folder `findings`.

    The folders are read undamaged before that: this must not fail, and the libraries are then imported.
    `before`: what became of the inputs so far, which are not tried again.
    """
    one, tally, memory = READERS[name], before or Tally(), cost.PeakMemory()
    with tempfile.TemporaryDirectory(dir=_FAST_FOLDER if Path(_FAST_FOLDER).is_dir() else None) as place:
        use_cache(Path(place) / "cache")
        folders = one.folders()
        for number, files in enumerate(folders):
            path = Path(place) / str(number)
            write(path, files)
            one.read(path)
        memory.reset()
        for given in islice(inputs(one, name, seed), tally.tried, None):
            if not go_on(tally):
                tally.peak_memory_bytes = max(tally.peak_memory_bytes or 0, memory.bytes or 0)
                return tally
            path, files = Path(place) / str(given.folder), folders[given.folder]
            if one.writes:
                shutil.rmtree(path)
                write(path, files)
            (path / given.name).write_bytes(given.content)
            if one.sealed:
                seal(path / one.sealed)
            if what := _read(one, path, tally):
                _keep(tally, what, given, name, findings)
            (path / given.name).write_bytes(files[given.name])
    raise AssertionError("inputs do not end")


def _read(one: Reader, path: Path, tally: Tally) -> str:
    """Let the reader have the folder at `path`; what was found, or ""."""
    tally.tried += 1
    began, found = time.process_time(), ""
    try:
        with limited():
            one.read(path)
        tally.read += 1
    except RungError as error:
        tally.refused += 1
        text = str(error)
        if "\n" in text or len(text) > MOST_MESSAGE:
            found = f"a message of {len(text)} characters and {len(text.splitlines())} lines"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  that is what is looked for
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "rung" in Path(frame.filename).parts] or frames
        places = dict.fromkeys(f"{Path(f.filename).name}:{f.lineno}" for f in (ours[-1], frames[-1]))
        found = f"{type(error).__name__} in {' at '.join(places)}: {str(error)[:100]}"
    spent = time.process_time() - began
    tally.seconds += spent
    tally.slowest = max(tally.slowest, spent)
    return found


def _keep(tally: Tally, what: str, given: Input, name: str, findings: Path | None) -> None:
    """Note a finding; one of each kind where there is a folder for them."""
    if findings is None:
        tally.findings.append(f"{what}: {given.name} {given.content[:2000]!r}")
    elif not any(one.startswith(what[:60]) for one in tally.findings):
        findings.mkdir(parents=True, exist_ok=True)
        digest = storage.sha256_bytes(given.content)[:8]
        file = findings / f"{name.replace(' ', '-')}-{digest}-{given.name.replace('/', '-')}"
        file.write_bytes(given.content)
        tally.findings.append(f"{what}: {file.name}")


@contextmanager
def limited() -> Iterator[None]:
    """Raises `Hang` in a call that takes too long."""

    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def counts(total: int) -> dict[str, int]:
    """`total` inputs, divided over the readers by their shares; each has one at least."""
    whole = sum(one.share for one in READERS.values())
    return {name: max(1, round(total * one.share / whole)) for name, one in READERS.items()}


def record_of(asked: argparse.Namespace, tallies: Mapping[str, Tally]) -> dict[str, Any]:
    """What was tried and what became of it."""
    return {
        "written": storage.now(),
        "machine": machine.describe(),
        "seed": asked.seed,
        "tried": sum(one.tried for one in tallies.values()),
        "findings": sum(len(one.findings) for one in tallies.values()),
        "readers": {name: asdict(one) for name, one in tallies.items()},
    }


def _kept(asked: argparse.Namespace, names: Sequence[str]) -> dict[str, Tally]:
    """What the record already holds of other readers than `names`, with the same seed."""
    if asked.record is None or not asked.record.is_file():
        return {}
    old = storage.read_json(asked.record)
    kept = old["readers"] if old["seed"] == asked.seed else {}
    return {name: Tally(**tally) for name, tally in kept.items() if name not in names}


class Run:
    """Tries readers, each in a process of its own: one that ends it is a finding, and the rest goes on.

    Says every minute how far it is, and keeps the record.
    """

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.names = asked.readers.split(";")
        self.tallies = _kept(asked, self.names)
        self._wanted = counts(asked.inputs) if asked.inputs else {}
        self._number = multiprocessing.Value("q", 0)  # of the input that is being read
        self._told = time.monotonic()

    def reader(self, name: str) -> None:
        """Try one reader."""
        end = time.monotonic() + self.asked.seconds / len(self.names)
        self.tallies[name] = Tally()
        while True:
            ours, theirs = multiprocessing.Pipe()
            child = multiprocessing.get_context("fork").Process(target=self._child, args=(name, end, theirs))
            child.start()
            theirs.close()
            with suppress(EOFError):
                while True:
                    self.tallies[name] = ours.recv()
            child.join()
            if child.exitcode == 0:
                break
            if child.exitcode is None or child.exitcode > 0:
                sys.exit(f"{name} cannot be tried")
            tally = self.tallies[name]
            tally.tried = self._number.value
            tally.findings.append(f"the process ended with signal {-child.exitcode} at input {tally.tried}")
            if len(tally.findings) > 9:
                break
        self._tell(name)

    def _child(self, name: str, end: float, parent: Connection) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))

        def go_on(tally: Tally) -> bool:
            self._number.value = tally.tried + 1
            if tally.tried % 50 == 0:
                parent.send(tally)
            self.tallies[name] = tally
            if time.monotonic() - self._told > 60:
                self._tell(name)
            return tally.tried < self._wanted[name] if self._wanted else time.monotonic() < end

        parent.send(try_reader(name, self.asked.seed, go_on, self.asked.findings, self.tallies[name]))
        parent.close()

    def _tell(self, name: str) -> None:
        self._told = time.monotonic()
        sys.stdout.write(f"{storage.now()} {name:20} {self.tallies[name]}\n")
        sys.stdout.flush()
        if self.asked.record:
            storage.write_json(self.asked.record, record_of(self.asked, self.tallies))


def main() -> int:
    """Try every reader for its share of the time or of the inputs; 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all readers together")
    parser.add_argument("--inputs", type=int, help="for all readers together, in the place of --seconds")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--readers", default=";".join(READERS), help="names with a ; between")
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    parser.add_argument("--record", type=Path, help="other readers in it stay")
    run = Run(parser.parse_args())
    for name in run.names:
        run.reader(name)
    return 1 if any(run.tallies[name].findings for name in run.names) else 0


if __name__ == "__main__":
    sys.exit(main())
