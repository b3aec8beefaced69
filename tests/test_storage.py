"""Files and folders are there whole or not at all: after every failure, stop, kill and power cut."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults import Stop, count_operations, fail_at, no_space
from rung import storage
from rung.errors import ResourceError, ResumeError

OLD = {"a.txt": b"old a", "sub/b.bin": b"\x00\x01"}
Files = dict[str, bytes | Callable[[Path], None]]
NEW = {"a.txt": b"new a, longer", "c.bin": b"\x02" * 1000}


@pytest.fixture(autouse=True)
def _no_fault() -> Iterator[None]:
    yield
    storage.fault = storage.after = None


def write_b(path: Path) -> None:
    path.write_bytes(b"written by a callable")


def everything(folder: Path) -> dict[str, bytes]:
    """Content of a folder but manifests; {} where there is none."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != storage.MANIFEST)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_text_bytes_json_and_lines_come_back(tmp_path: Path) -> None:
    storage.write_file(tmp_path / "new" / "a.txt", "h\u00e9\u2028")
    assert (tmp_path / "new" / "a.txt").read_text(encoding="utf-8") == "h\u00e9\u2028"
    storage.write_json(tmp_path / "a.json", {"b": [1.5, None, "\u2713"]})
    assert storage.read_json(tmp_path / "a.json") == {"b": [1.5, None, "\u2713"]}
    rows = [{"text": "one\ntwo\u2028\x85three"}, {"text": ""}]
    storage.write_jsonl(tmp_path / "a.jsonl", rows)
    assert storage.read_jsonl(tmp_path / "a.jsonl") == rows


def test_not_a_number_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        storage.write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", '{"a": 1', "[" * 100_000])
def test_a_cut_json_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ResumeError, match=r"a\.json: not a JSON file"):
        storage.read_json(tmp_path / "a.json")


def test_a_cut_line_is_named_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n\n{"a": ')
    with pytest.raises(ResumeError, match=r"a\.jsonl: line 3 is not JSON"):
        storage.read_jsonl(tmp_path / "a.jsonl")


@pytest.mark.parametrize("error", [no_space(), Stop()], ids=["full-disk", "stop"])
def test_file_failing_at_every_operation_keeps_the_old_content(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "folder" / "a.txt"
    total = count_operations(lambda: storage.write_file(tmp_path / "other" / "a.txt", "x"))
    for number in range(1, total):  # the last one syncs the name of a file that is there
        if path.exists():
            path.unlink()
            path.parent.rmdir()
        fail_at(number, error)
        with pytest.raises(ResourceError if isinstance(error, OSError) else Stop):
            storage.write_file(path, "new")
        assert not everything(tmp_path / "folder"), number
        storage.fault = None
        storage.write_file(path, "old")
    for number in range(1, total - 2):  # the folder is there now, and need not be made and synced
        fail_at(number, error)
        with pytest.raises(ResourceError if isinstance(error, OSError) else Stop):
            storage.write_file(path, "new")
        assert everything(path.parent) == {"a.txt": b"old"}, number


def test_full_disk_is_explained(tmp_path: Path) -> None:
    fail_at(3, no_space())
    with pytest.raises(ResourceError, match=r"a\.txt: cannot write: No space left on device\. Make room"):
        storage.write_file(tmp_path / "a.txt", "x")


def test_folder_has_a_manifest_that_verifies(tmp_path: Path) -> None:
    storage.write_folder(tmp_path / "f", {**OLD, "b.txt": write_b})
    storage.verify_folder(tmp_path / "f")
    assert everything(tmp_path / "f") == {**OLD, "b.txt": b"written by a callable"}
    facts = json.loads((tmp_path / "f" / storage.MANIFEST).read_text())["files"]
    assert facts["a.txt"] == {"bytes": 5, "sha256": storage.sha256_bytes(b"old a")}


def test_a_folder_is_replaced_not_mixed(tmp_path: Path) -> None:
    storage.write_folder(tmp_path / "f", dict(OLD))
    storage.write_folder(tmp_path / "f", dict(NEW))
    assert everything(tmp_path / "f") == NEW
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("error", [no_space(), Stop()], ids=["full-disk", "stop"])
@pytest.mark.parametrize("before", [{}, OLD], ids=["new", "replaced"])
def test_folder_failing_at_every_operation(
    tmp_path: Path, before: dict[str, bytes], error: BaseException
) -> None:
    files: Files = {**NEW, "b.txt": write_b}
    probe = tmp_path / "probe"
    if before:
        storage.write_folder(probe / "f", dict(before))
    seen = fail_at(-1, error)
    storage.write_folder(probe / "f", files)
    assert len(seen) > 10
    last = len(seen) - seen[::-1].index("rename")  # after it nothing can fail that is still needed
    for number in range(1, last + 1):
        path = tmp_path / str(number) / "f"
        if before:
            storage.write_folder(path, dict(before))
        fail_at(number, error)
        with pytest.raises(ResourceError if isinstance(error, OSError) else Stop):
            storage.write_folder(path, files)
        storage.fault = None
        assert everything(path.parent) == {f"f/{name}": content for name, content in before.items()}, number
        if before:
            storage.verify_folder(path)
        storage.write_folder(path, files)
        storage.verify_folder(path)


def test_an_error_of_the_disk_gets_other_advice_than_a_full_one(tmp_path: Path) -> None:
    fail_at(3, OSError(errno.EIO, os.strerror(errno.EIO)))
    with pytest.raises(ResourceError, match=r"cannot write: Input/output error\. Check the disk and the"):
        storage.write_file(tmp_path / "a.txt", "x")


def test_what_is_after_an_operation_is_called_when_it_has_succeeded(tmp_path: Path) -> None:
    before, after = list[str](), list[str]()
    storage.fault = lambda name, path: before.append(name)
    storage.after = lambda name, path: after.append(name)
    storage.write_file(tmp_path / "a.txt", "x")
    assert before == after == ["open", "write", "fsync", "rename", "fsync"]
    with pytest.raises(ResourceError):
        storage.delete(tmp_path / "b")
    assert before[5:] == ["unlink"]
    assert len(after) == 5


def test_new_folders_have_their_names_on_disk(tmp_path: Path) -> None:
    synced: list[Path] = []
    storage.fault = lambda name, path: synced.append(path) if name == "fsync" else None
    storage.make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]


def test_a_full_disk_is_known_before_a_large_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise no_space()

    with storage.new_file(tmp_path / "a", 1000) as path:
        assert path.stat().st_size == 1000
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ResourceError, match="No space left"), storage.new_file(tmp_path / "b", 1000):
        pytest.fail("it began to write")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_stopped_writes_left_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    left, others = [".a[1].7.tmp"], [".a[1].x.tmp", ".a[1].b.7.tmp", "a[1].7.tmp", "a[1]", ".a1.7.tmp"]
    for name in [*left, *others]:
        (tmp_path / name).write_text("x")
    storage.sweep(tmp_path / "a[1]", 60)  # another process may be writing
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*left, *others])
    os.utime(tmp_path / left[0], (1, 1))
    storage.sweep(tmp_path / "a[1]", 60)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


def test_an_old_half_file_goes_with_the_next_write(tmp_path: Path) -> None:
    for name in (".a.txt.1.tmp", ".a.txt.2.tmp"):
        (tmp_path / name).write_text("half")
    os.utime(tmp_path / ".a.txt.1.tmp", (1, 1))
    storage.write_file(tmp_path / "a.txt", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.txt.2.tmp", "a.txt"]


def test_a_folder_is_swept_to_its_ground(tmp_path: Path) -> None:
    storage.write_folder(tmp_path / "sub" / ".f.9.tmp", dict(OLD))
    storage.write_folder(tmp_path / ".f.old", dict(OLD))
    storage.write_file(tmp_path / "sub" / "kept.old", "x")
    storage.sweep_folder(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["kept.old", "sub"]


def test_what_nobody_needs_may_stay_where_the_disk_refuses(tmp_path: Path) -> None:
    storage.write_folder(tmp_path / "f", dict(OLD))
    (tmp_path / "link").symlink_to(tmp_path / "f")
    storage.remove(tmp_path / "link")
    storage.verify_folder(tmp_path / "f")
    fail_at(1, OSError(errno.EIO, "x"))
    storage.remove(tmp_path / "f")
    storage.verify_folder(tmp_path / "f")
    fail_at(3, OSError(errno.EIO, "x"))
    storage.remove(tmp_path / "f")  # half deleted, and so without its name
    assert [path.name for path in tmp_path.iterdir()] == [f".f.{os.getpid()}.tmp"]
    storage.fault = None
    storage.sweep_folder(tmp_path)
    storage.remove(tmp_path / "f")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ResourceError, match="cannot write: No such file"):
        storage.delete(tmp_path / "f")


def test_a_callable_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def half(path: Path) -> None:
        path.write_bytes(b"half")
        raise ValueError("it broke")

    with pytest.raises(ValueError, match="it broke"):
        storage.write_folder(tmp_path / "f", {"a.txt": b"a", "half.bin": half})
    assert not list(tmp_path.iterdir())


KILLED = """
import os, sys
from pathlib import Path
from rung import storage

root = Path(sys.argv[1])
files = {"a.txt": b"new a, longer", "c.bin": b"\\x02" * 1000}
for number in range(1, 100):
    folder = root / str(number)
    storage.write_folder(folder / "f", {"a.txt": b"old a", "sub/b.bin": b"\\x00\\x01"})
    storage.write_file(folder / "a.txt", "old")
    child = os.fork()
    if child == 0:
        seen = []
        def fault(name, path):
            seen.append(name)
            if len(seen) == number:
                os._exit(9)
        storage.fault = fault
        storage.write_file(folder / "a.txt", "new")
        storage.write_folder(folder / "f", files)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(number - 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_every_operation(tmp_path: Path) -> None:
    """No handler runs after a kill: what is there is old or new, whole, and the next try succeeds."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(storage.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    kills = int(done.stdout)
    assert kills > 12
    for number in range(1, kills + 1):
        folder = tmp_path / str(number)
        assert (folder / "a.txt").read_text() in ("old", "new")
        if (folder / "f").exists():
            storage.verify_folder(folder / "f")
            assert everything(folder / "f") in (OLD, NEW)
        storage.write_folder(folder / "f", dict(NEW))
        assert everything(folder / "f") == NEW


# ---- a power cut: the name is there, the bytes are not


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    storage.write_folder(tmp_path / "step-1", dict(NEW))
    with (tmp_path / "step-1" / "c.bin").open("r+b") as file:
        file.truncate(500)
    with pytest.raises(ResumeError, match=r"step-1: c\.bin is missing or was changed"):
        storage.verify_folder(tmp_path / "step-1")


def test_a_file_of_the_right_size_with_other_bytes_is_named(tmp_path: Path) -> None:
    storage.write_folder(tmp_path / "step-1", dict(NEW))
    (tmp_path / "step-1" / "c.bin").write_bytes(b"\x00" * 1000)
    with pytest.raises(ResumeError, match=r"c\.bin"):
        storage.verify_folder(tmp_path / "step-1")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    storage.write_folder(tmp_path / "step-1", dict(NEW))
    (tmp_path / "step-1" / "a.txt").unlink()
    with pytest.raises(ResumeError, match=r"a\.txt"):
        storage.verify_folder(tmp_path / "step-1")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "\x00" * 50, '{"files": [1]}', '{"files": {"a": 1}}']
)
def test_a_spoiled_manifest_is_a_resume_error(tmp_path: Path, text: str) -> None:
    storage.write_folder(tmp_path / "step-1", dict(NEW))
    (tmp_path / "step-1" / storage.MANIFEST).write_text(text)
    with pytest.raises(ResumeError, match=r"step-1: .*manifest"):
        storage.verify_folder(tmp_path / "step-1")


def test_newest_whole_folder_is_found_by_number_and_damaged_ones_are_told(tmp_path: Path) -> None:
    for number in (9, 10, 11):
        storage.write_folder(tmp_path / f"step-{number}", dict(OLD))
    (tmp_path / "step-x").mkdir()
    assert storage.newest_folder(tmp_path, "step-") == (tmp_path / "step-11", [])
    (tmp_path / "step-11" / "a.txt").write_bytes(b"")
    newest, notes = storage.newest_folder(tmp_path, "step-")
    assert newest == tmp_path / "step-10"
    assert len(notes) == 1
    assert "step-11" in notes[0]
    assert "a.txt" in notes[0]


def test_no_folder_is_none(tmp_path: Path) -> None:
    assert storage.newest_folder(tmp_path, "step-") == (None, [])


def test_fingerprint_ignores_the_order_of_keys_and_nothing_else() -> None:
    first = storage.fingerprint({"a": 1, "b": [1, 2]})
    assert first == storage.fingerprint({"b": [1, 2], "a": 1})
    assert first != storage.fingerprint({"b": [2, 1], "a": 1})
    assert len(first) == 16


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert storage.sha256_file(tmp_path / "a") == storage.sha256_bytes(b"abc") == known


def test_free_space_is_asked_of_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    assert storage.free_bytes(tmp_path / "not" / "yet") > 0
    assert storage.free_bytes(Path("not/yet")) > 0
