"""The number of threads follows what others leave of the cores; how they wait is set before torch loads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from rung import threads
from rung.threads import CALM, EVERY, QUIET, Follower, Seen, Threads, taken

CORES = 2


class Machine:
    """A machine of a few cores on which others take what the test says; it stands for torch and the clock."""

    def __init__(self, cores: int = CORES, count: int | None = None) -> None:
        self.cores = cores
        self.count = count or cores  # torch's threads
        self.others = 0.0  # cores that others take
        self.now = self.own = self.all = 0.0
        self.set: list[int] = []
        self.said: list[str] = []

    def look(self) -> Seen:
        return Seen(self.now, self.own, self.all, self.cores)

    def put(self, count: int) -> None:
        self.count = count
        self.set.append(count)

    def sleep(self, seconds: float, used: float = 0.0) -> None:
        self.now += seconds
        self.own += used * seconds
        self.all += (used + self.others) * seconds

    def work(self, seconds: float, pace: Threads, others: float) -> None:
        """Compute for some seconds with all threads, a pass each tenth of a second."""
        self.others = others
        for _ in range(round(seconds * 10)):
            self.sleep(0.1, used=self.count * 0.9)
            pace.pace()

    def threads(self) -> Threads:
        made = Threads(lambda: self.count, self.put, self.look, lambda: self.now, self.sleep)
        made.tell(self.said.append)
        return made


def following(cores: int, others: Sequence[float], threads: int | None = None) -> list[int]:
    """The counts that follow from looks a second apart, at which others took so many cores."""
    follower = Follower(cores, Seen(0.0, 0.0, 0.0, cores), threads)
    at = used = 0.0
    counts = []
    for some in others:
        at, used = at + 1, used + some
        counts.append(follower.follow(Seen(at, 5.0 * at, 5.0 * at + used, cores)))
    return counts


@pytest.mark.parametrize(
    ("cores", "others", "count"),
    [(2, 0.0, 2), (2, 0.2, 2), (2, 0.5, 1), (2, 1.0, 1), (2, 2.0, 1), (8, 1.0, 7), (8, 2.6, 5), (8, 7.9, 1)],
)
def test_a_thread_makes_room_for_what_others_take(cores: int, others: float, count: int) -> None:
    assert following(cores, [others]) == [count]


def test_threads_come_back_only_after_calm() -> None:
    assert following(2, [1.0] + [0.0] * CALM) == [1] * CALM + [2]
    broken = [0.0] * (CALM - 1) + [0.5]
    assert following(2, [1.0, *broken, *broken]) == [1] * (1 + 2 * CALM)


def test_as_many_come_back_as_every_look_found_room_for() -> None:
    assert following(8, [7.0, 0.0, 3.0, 0.0, 0.0, 0.0]) == [1, 1, 1, 1, 1, 5]


def test_a_load_at_the_edge_does_not_swing_the_count() -> None:
    """What is too little to make room is enough to keep a thread away."""
    edge = [0.2] * 20
    assert following(2, edge) == [2] * 20
    assert following(2, edge, threads=1) == [1] * 20


def test_what_we_use_ourselves_is_not_taken_by_others() -> None:
    assert taken(Seen(0, 0, 0, 2), Seen(10, 20, 20, 2)) == 0
    assert taken(Seen(0, 0, 0, 2), Seen(10, 8, 15, 2)) == pytest.approx(0.7)
    assert taken(Seen(0, 0, 0, 2), Seen(10, 20, 0, 2)) == 0  # a system that counts nothing


def test_torch_follows_a_process_that_comes_and_goes() -> None:
    machine = Machine()
    here = machine.threads()
    assert here.fit() == ""
    here.follow()
    machine.work(3, here, others=0.0)
    assert machine.set == []
    machine.work(2 * EVERY, here, others=1.0)
    assert machine.set == [1]
    machine.work(QUIET + (CALM + 2) * EVERY, here, others=0.0)
    assert machine.set == [1, 2]
    assert machine.said == [
        "1 thread instead of 2: other processes use 1.0 of 2 cores",
        "2 threads again: the cores are free",
    ]
    assert here.describe() == {"threads": 2, "threads_follow": "at most 2, 1 at the lowest so far"}


def test_the_screen_is_not_flooded() -> None:
    machine = Machine()
    here = machine.threads()
    here.fit()
    here.follow()
    for _ in range(10):
        machine.work(2, here, others=1.0)
        machine.work(CALM + 2, here, others=0.0)
    assert len(machine.set) == 20
    assert 2 <= len(machine.said) <= 4


def test_the_first_count_is_what_others_leave() -> None:
    machine = Machine()
    machine.others = 1.0
    here = machine.threads()
    assert here.fit() == "1 thread instead of 2: other processes use 1.0 of 2 cores"
    assert machine.count == 1
    machine.others = 0.0
    assert here.fit() == ""  # what was set here is not the user's limit
    assert machine.count == 2


def test_a_limit_that_was_set_elsewhere_is_the_most() -> None:
    machine = Machine(cores=8, count=4)
    here = machine.threads()
    machine.others = 2.0
    assert here.fit() == ""
    here.follow()
    machine.work(10, here, others=0.0)
    assert (machine.count, machine.set) == (4, [])
    machine.count = 3
    assert here.fit() == ""
    assert here.describe() == {"threads": 3}


def test_a_fixed_count_does_not_follow() -> None:
    machine = Machine()
    here = machine.threads()
    here.fit()
    here.follow()
    here.fix(2)
    machine.work(5, here, others=2.0)
    assert machine.set == []
    assert "threads_follow" not in here.describe()


def test_a_fixed_count_is_no_limit_for_later() -> None:
    machine = Machine()
    here = machine.threads()
    here.fix(1)
    assert machine.count == 1
    assert here.fit() == ""
    assert machine.count == 2


def test_one_thread_and_a_system_that_shows_nothing_are_left_alone() -> None:
    one = Machine(count=1)
    made = one.threads()
    assert made.fit() == ""
    assert one.now == 0  # nothing to look for
    blind = Machine()
    here = Threads(lambda: blind.count, blind.put, lambda: None, lambda: blind.now, blind.sleep)
    assert here.fit() == ""
    here.follow()
    blind.work(5, here, others=2.0)
    assert blind.set == one.set == []


def test_the_kernels_counts_are_read_for_the_allowed_cores() -> None:
    lines = [
        "cpu  99 99 99 99 99 99 99 99 0 0",
        "cpu0 100 40 20 500 7 1 2 3 0 0",
        "cpu1 9 9 9 9 9 9 9 9 0 0",
        "intr 1",
    ]
    tick = os.sysconf("SC_CLK_TCK")
    assert threads._seen(lines, {0}, 1.0, 2.0) == Seen(1.0, 2.0, 166 / tick, 1)
    assert threads._seen(lines, {0, 1}, 1.0, 2.0) == Seen(1.0, 2.0, 220 / tick, 2)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="another system")
def test_this_machine_can_be_looked_at() -> None:
    before = threads.look()
    now = threads.look()
    assert before is not None
    assert now is not None
    assert now.at >= before.at
    assert now.all >= before.all


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000", None), ("250000 100000", 2), ("50000 100000", 1), ("", None), (None, None)],
)
def test_the_limit_of_a_container(tmp_path: Path, text: str | None, cores: int | None) -> None:
    path = tmp_path / "cpu.max"
    if text is not None:
        path.write_text(text)
    assert threads.quota(path) == cores


def test_waiting_is_set_unless_somebody_has_or_it_is_too_late() -> None:
    empty: dict[str, str] = {}
    assert "GOMP_SPINCOUNT=" in threads.wait_briefly(empty, loaded=False)
    assert empty == threads.WAITING
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"):
        theirs = {name: "7"}
        assert threads.wait_briefly(theirs, loaded=False) == f"{name}=7, from the environment"
        assert theirs == {name: "7"}
    late: dict[str, str] = {}
    assert "before rung" in threads.wait_briefly(late, loaded=True)
    assert late == {}


@pytest.mark.parametrize(("code", "said"), [("import rung", "=10000"), ("import torch, rung", "before rung")])
def test_importing_rung_is_enough(code: str, said: str) -> None:
    tail = "import torch; from rung import machine; print(machine.describe()['waiting'])"
    free = {name: value for name, value in os.environ.items() if name not in threads._OWN}
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; {tail}"],
        env={**free, "PYTHONPATH": str(Path(threads.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said in done.stdout
