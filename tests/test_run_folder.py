"""A run folder belongs to one run and is used by one process at a time (`rung.run_folder`)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from faults import Stop, fail_at, no_space
from rung import run_folder, storage
from rung.errors import ResourceError, ResumeError
from rung.run_folder import RunFolder


@pytest.fixture(autouse=True)
def _no_fault() -> Iterator[None]:
    yield
    storage.fault = None


def test_claim_tells_a_new_run_from_a_run_that_goes_on(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with run.claimed("f00d", {"seed": 1}) as begun:
        assert begun is False
        assert run.file(run_folder.LOCK).exists()
    assert not run.file(run_folder.LOCK).exists()
    with run.claimed("f00d", {"seed": 1}) as begun:
        assert begun is True


def test_lock_is_let_go_when_the_run_fails(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")

    def write_and_stop() -> None:
        storage.write_json(run.file("plan.json"), {})
        raise Stop

    with pytest.raises(Stop), run.claimed("f00d", {}):
        write_and_stop()
    with run.claimed("f00d", {}) as begun:
        assert begun


def test_a_run_that_fails_before_it_wrote_anything_leaves_no_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(Stop), run.claimed("f00d", {"budget": 1}):
        raise Stop
    assert not run.path.exists()
    with run.claimed("beef", {"budget": 60}) as begun:
        assert not begun


def test_another_runs_folder_is_refused_and_the_changed_keys_are_named(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with run.claimed("f00d", {"seed": 1, "rank": 8, "epochs": 2.0}):
        pass
    before = sorted(run.path.iterdir())
    with (
        pytest.raises(ResumeError, match=r"another run.*other values of: epochs, rank, shots\.") as caught,
        run.claimed("beef", {"seed": 1, "rank": 16, "shots": [2]}),
    ):
        pass
    assert str(run.path) in str(caught.value)
    assert sorted(run.path.iterdir()) == before


def test_other_files_are_never_mixed_with_a_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ResumeError, match="holds other files"), RunFolder(tmp_path).claimed("f00d", {}):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    with pytest.raises(ResumeError), RunFolder(tmp_path / "run").claimed("f00d", {}):
        pass


def test_what_a_kill_during_the_claim_left_is_no_hindrance(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    (run.path / ".claim.json.4711.tmp").write_text("{")
    with run.claimed("f00d", {}) as begun:
        assert begun is False


@pytest.fixture
def claimed_before(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    with run.claimed("f00d", {}):
        pass
    return run


HOLD = """
import sys
from pathlib import Path
from rung.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).claimed("f00d", {}):
    print("held", flush=True)
    input()
"""


def test_a_live_process_keeps_its_lock_and_a_killed_one_loses_it(claimed_before: RunFolder) -> None:
    run = claimed_before
    source = str(Path(__file__).parents[1] / "src")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": source},
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        who = rf"another process is using.*Process {other.pid} on {socket.gethostname()} has held it since 2"
        with pytest.raises(ResumeError, match=who), run.claimed("f00d", {}):
            pass
        assert run.file(run_folder.LOCK).exists()
        other.kill()
        other.wait()
    assert run.file(run_folder.LOCK).exists()  # the process ended without deleting it
    with run.claimed("f00d", {}) as begun:
        assert begun
        assert json.loads(run.file(run_folder.LOCK).read_text())["pid"] == os.getpid()


def test_the_same_process_cannot_claim_a_folder_twice(claimed_before: RunFolder) -> None:
    with claimed_before.claimed("f00d", {}):
        with pytest.raises(ResumeError, match="another process is using"), claimed_before.claimed("f00d", {}):
            pass
        assert claimed_before.file(run_folder.LOCK).exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[" * 100_000, "\\0", '{"pid": 1}', '{"host": "elsewhere", "pid": 1}']
)
def test_what_stands_in_a_file_holds_no_lock(claimed_before: RunFolder, text: str) -> None:
    claimed_before.file(run_folder.LOCK).write_text(text)
    with claimed_before.claimed("f00d", {}) as begun:
        assert begun


def test_a_holder_that_left_no_name_still_holds_the_lock(claimed_before: RunFolder) -> None:
    with claimed_before.claimed("f00d", {}):
        claimed_before.file(run_folder.LOCK).write_text("")
        with pytest.raises(ResumeError, match=r"using the run folder\. Wait for it"):
            claimed_before.claimed("f00d", {}).__enter__()


def test_full_disk_while_claiming_is_explained(tmp_path: Path) -> None:
    seen = fail_at(-1, no_space())
    _claim(tmp_path / "probe")
    assert {"mkdir", "lock", "open", "write", "fsync", "rename", "append", "unlink"} == set(seen)
    for number, name in enumerate(list(seen), 1):
        run = tmp_path / str(number)
        fail_at(number, no_space())
        if name == "unlink":  # of the name of the process that is done
            _claim(run)
        else:
            with pytest.raises(ResourceError, match="No space left"):
                _claim(run)
        storage.fault = None
        _claim(run)
        assert sorted(path.name for path in run.iterdir()) == [".lock", "claim.json", "events.jsonl"]


def _claim(path: Path) -> None:
    run = RunFolder(path)
    with run.claimed("f00d", {}):
        run.event("started")


@pytest.mark.parametrize("text", ["", '{"event": "one"}\n{"eve', '{"eve', '{"event": "one"}\n'])
def test_an_event_that_a_stop_cut_is_no_hindrance(tmp_path: Path, text: str) -> None:
    run = RunFolder(tmp_path)
    run.file("events.jsonl").write_text(text)
    run.event("two", name="caf\udce9")
    events = [event["event"] for event in storage.read_jsonl(run.file("events.jsonl"))]
    assert events == ["one"] * text.count("\n") + ["two"]


def test_what_stopped_writes_left_is_deleted_by_the_next_run(claimed_before: RunFolder) -> None:
    storage.write_file(claimed_before.file("results", ".lora.json.4711.tmp"), "{")
    storage.write_folder(claimed_before.file("adapters", ".lora.old"), {"a": b"a"})
    before = claimed_before.file("splits", "1", "kept.json")
    storage.write_json(before, {})
    with claimed_before.claimed("f00d", {}):
        assert not [path for path in claimed_before.path.rglob(".*") if path.name != ".lock"]
    assert before.is_file()


def test_a_run_that_another_process_claims_at_the_same_moment_keeps_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, make_folder = RunFolder(tmp_path / "run"), storage.make_folder

    def slow(path: Path) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(storage, "make_folder", make_folder)
            with run.claimed("beef", {"seed": 2}):  # the other one was faster
                pass

    with monkeypatch.context() as patch:
        patch.setattr(storage, "make_folder", slow)
        with pytest.raises(ResumeError, match=r"belongs to another run.*other values of: seed"):
            run.claimed("f00d", {"seed": 1}).__enter__()
    assert storage.read_json(run.file("claim.json"))["fingerprint"] == "beef"


def test_the_lock_is_one_that_other_programs_know(claimed_before: RunFolder) -> None:
    held = FileLock(claimed_before.file(".lock"), timeout=0)
    with held, pytest.raises(ResumeError, match="another process is using"):
        claimed_before.claimed("f00d", {}).__enter__()
    with claimed_before.claimed("f00d", {}), pytest.raises(Timeout):
        held.acquire()


def test_events_are_appended_in_order(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.event("started", rung="lora", path=Path("a/b"))
    run.event("finished")
    first, second = storage.read_jsonl(run.file("events.jsonl"))
    assert (first["event"], first["rung"], first["path"]) == ("started", "lora", "a/b")
    assert second["event"] == "finished"
    assert first["time"].endswith("Z")


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_the_events_is_refused(claimed_before: RunFolder) -> None:
    claimed_before.file("events.jsonl").unlink(missing_ok=True)
    os.mkfifo(claimed_before.file("events.jsonl"))
    refused = pytest.raises(ResumeError, match=r"events\.jsonl: cannot write: a pipe or a device.*Delete it")
    with refused, claimed_before.claimed("f00d", {}):
        claimed_before.event("started")


@pytest.mark.timeout(20)
def test_a_pipe_in_the_place_of_the_lock_is_replaced(claimed_before: RunFolder) -> None:
    os.mkfifo(claimed_before.file(run_folder.LOCK))
    with claimed_before.claimed("f00d", {}):
        assert storage.read_json(claimed_before.file(run_folder.LOCK))["pid"] == os.getpid()


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"fingerprint": "f00d", "asked": []}', "[" * 100_000])
def test_a_damaged_claim_is_named(claimed_before: RunFolder, text: str) -> None:
    claimed_before.file("claim.json").write_text(text)
    with pytest.raises(ResumeError, match=r"^claim\.json: .*Delete the file"):
        claimed_before.claimed("f00d", {}).__enter__()


def test_the_lock_does_not_depend_on_the_name_of_the_machine(
    claimed_before: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claimed_before.claimed("f00d", {}):
        monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
        with pytest.raises(ResumeError, match="another process is using"):
            claimed_before.claimed("f00d", {}).__enter__()
    held = {"pid": os.getpid(), "host": "elsewhere", "since": "2026-01-01"}
    claimed_before.file(run_folder.LOCK).write_text(json.dumps(held))
    with claimed_before.claimed("f00d", {}) as begun:
        assert begun
