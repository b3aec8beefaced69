"""Whatever is odd about the process, its streams and what it prints: the right exit code and no traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import pytest

import letters
import rights
import shell
from rung import cli
from rung.cli.app import app

BAD_LABELS = ("red\x1b[2J\x1b]0;owned\x07", "blue\u202eeulb", "green\x9b31m")
STEERING = "\x1b\x07\x9b\u202e"
USAGE, DATA, BASE, RESOURCES = 2, 3, 4, 6


@pytest.fixture(autouse=True)
def _surroundings(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("RUNG_TRACEBACK", raising=False)
    monkeypatch.chdir(tmp_path)


class Streams:
    """Strict standard streams in one encoding, put in place for a command; what was written, as bytes."""

    def __init__(self, patch: pytest.MonkeyPatch, encoding: str) -> None:
        self.out, self.err = io.BytesIO(), io.BytesIO()
        self._patch = patch
        raw = {"stdin": io.BytesIO(), "stdout": self.out, "stderr": self.err}
        self._streams: dict[str, TextIO | None] = {
            name: io.TextIOWrapper(one, encoding=encoding, errors="strict") for name, one in raw.items()
        }

    def run(self, *arguments: str, **others: TextIO | None) -> int:
        """The exit code of a command; `others` stand in for standard streams."""
        self._place(others)
        code = cli.run(arguments)
        self._flush()
        return code

    def main(self, *arguments: str, **others: TextIO | None) -> object:
        """The exit code with which the process would end."""
        self._place(others)
        with pytest.raises(SystemExit) as left:
            cli.main(arguments)
        self._flush()
        return left.value.code

    def said(self) -> tuple[str, str]:
        """What stands in both, as UTF-8."""
        return self.out.getvalue().decode(), self.err.getvalue().decode()

    def _place(self, others: Mapping[str, TextIO | None]) -> None:
        for name, stream in (self._streams | dict(others)).items():
            self._patch.setattr(sys, name, stream)

    def _flush(self) -> None:
        for stream in self._streams.values():
            if stream is not None:
                stream.flush()


@pytest.fixture
def streams(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Streams:
    return Streams(monkeypatch, getattr(request, "param", "utf-8"))


def labelled(name: str, labels: tuple[str, ...] = BAD_LABELS) -> str:
    rows = [{"text": f"text {n} of {n * 7}", "label": labels[n % len(labels)]} for n in range(30)]
    return str(letters.write_jsonl(Path(name), rows))


def test_labels_and_names_do_not_steer_the_terminal(streams: Streams) -> None:
    name = labelled("a\x1b[31m\u202eb.jsonl")
    assert streams.run("check", name, "--base", "tiny", "--show", "2") == 0
    out, err = streams.said()
    assert not set(STEERING) & set(out + err)
    assert "a\\x1b[31m<U+202E>b.jsonl: " in out
    assert "Labels: " in out
    assert "red\\x1b[2J\\x1b]0;owned" in out


# arguments -> code, and a part of the line on stderr
LINES: dict[str, tuple[list[str], int, str]] = {
    "a name with an escape": (["check", "no\x1b[2J.csv"], DATA, "no\\x1b[2J.csv: no such file"),
    "a name that turns around": (["climb", "no\u202e.csv"], DATA, "no<U+202E>.csv: no such file"),
    "a flag with an escape": (["climb", "--\x1b[2J"], USAGE, "No such option: --\\x1b[2J"),
    "a verb with an escape": (["\x1b[2J"], USAGE, "No such command '\\x1b[2J'"),
    "a name of two lines": (["check", "a\nb.csv"], DATA, "a b.csv: no such file"),
    "a name of 10 kB": (["check", "x" * 10_000], DATA, "File name too long"),
    "a base of 10 kB": (["climb", "good.csv", "--base", "x" * 10_000], BASE, "no base 'xxx"),
    "a value of 10 kB": (["climb", "good.csv", "--rank", "x" * 10_000], USAGE, "'rank' cannot be 'xxx"),
    "a flag of 10 kB": (["climb", "good.csv", "--" + "x" * 10_000], USAGE, "No such option: --xxx"),
    "a name that is not UTF-8": (
        ["climb", "caf\udce9.csv"],
        USAGE,
        "argument 2 is not UTF-8 text: caf<U+DCE9>",
    ),
    "half an emoji": (["chat", "--system", "\udcf0\udc9f"], USAGE, "argument 3 is not UTF-8 text"),
    "an output that is not UTF-8": (["climb", "good.csv", "--output", "\udcff"], USAGE, "argument 4 is not"),
    "a run that is not one": (["report", "x\x1b"], USAGE, "x\\x1b: this is not a run folder"),
}


@pytest.mark.parametrize("name", LINES)
def test_one_short_line_that_steers_nothing(name: str, streams: Streams, tmp_path: Path) -> None:
    letters.write_csv(tmp_path / "good.csv", 60)
    arguments, code, said = LINES[name]
    assert streams.run(*arguments) == code
    out, err = streams.said()
    assert out == ""
    assert err.startswith("rung: ")
    assert said in err
    assert err.count("\n") == 1
    assert err.isprintable() or err[:-1].isprintable()
    assert len(err) < 2500
    assert [path.name for path in tmp_path.iterdir()] == ["good.csv"]


@pytest.mark.parametrize("streams", ["ascii", "latin-1", "cp1252"], indirect=True)
def test_streams_that_cannot_hold_the_text(streams: Streams) -> None:
    name = labelled("語.jsonl", ("вода", "語", "é"))
    assert streams.run("check", name, "--show", "1", "--write", "out.jsonl") == 0
    assert "30 rows" in streams.said()[0]
    assert len(Path("out.jsonl").read_text(encoding="utf-8").splitlines()) == 30
    assert streams.run("check", "кот.csv", "--json") == DATA
    value = json.loads(streams.out.getvalue().splitlines()[-1])
    assert value == {"error": "кот.csv: no such file. Check the path.", "exit_code": DATA}


def test_chat_reads_input_that_is_not_utf8(streams: Streams) -> None:
    raw = b"caf\xe9 \xf0\x9f\n\n"
    given = io.TextIOWrapper(io.BytesIO(raw), "utf-8", errors="strict")
    assert streams.run("chat", "--base", "tiny", "--max-new-tokens", "4", stdin=given) == 0
    out, err = streams.said()
    assert out.endswith("\n")
    assert err == ""


def test_a_folder_of_another_name_takes_a_whole_run(streams: Streams, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(odd)
    os.chdir(odd)
    letters.write_csv(Path("good.csv"), 60)
    assert streams.run("climb", "good.csv", "--rungs", "constant", "--base", "tiny", "--json") == 0
    folder = json.loads(streams.said()[0])["folder"]
    assert streams.run("report", folder) == 0


def test_no_path_is_judged_by_the_library_of_the_command_line() -> None:
    import typer

    group = typer.main.get_command(app)
    judged = [
        f"{name} {parameter.name}"
        for name, command in group.commands.items()  # type: ignore[attr-defined]
        for parameter in command.params
        if (kind := getattr(parameter, "type", None))
        and (getattr(kind, "readable", False) or getattr(kind, "exists", False))
    ]
    assert judged == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [["--version"], ["bases"], ["check", "good.csv", "--write", "x.jsonl"]])
def test_stdout_on_a_full_disk(arguments: list[str], streams: Streams) -> None:
    letters.write_csv(Path("good.csv"), 60)
    full = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115  `main` makes it one that can be closed
    assert streams.main(*arguments, stdout=full) == RESOURCES
    full.close()
    said = streams.said()[1]
    assert said.startswith("rung: the system refuses to read or write: No space left on device. ")
    assert said.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_stderr_on_a_full_disk(streams: Streams) -> None:
    full = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115  as above
    assert streams.main("check", "nowhere.csv", stderr=full) == DATA
    full.close()


def test_the_executable_with_closed_and_full_streams() -> None:
    script = f"""
rung() {{ "$PYTHON" -c '{shell.RUNG}' "$@"; }}
rung --version >&-; echo $?
rung nonsense 2>&-; echo $?
rung --version <&- >&- 2>&-; echo $?
"""
    full = "rung --version 2>&1 >/dev/full; echo $?\n" if Path("/dev/full").exists() else ""
    done = subprocess.run(
        ["sh", "-c", script + full],
        env={**os.environ, "PYTHONPATH": str(shell.SOURCE), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[:3] == ["0", "2", "0"]
    if full:
        assert done.stdout.splitlines()[3].startswith("rung: the system refuses to read or write: ")
        assert done.stdout.splitlines()[4:] == ["6"]


@pytest.mark.parametrize("closed", ["stdin", "stdout", "stderr"])
def test_a_closed_stream_is_no_fault(closed: str, streams: Streams) -> None:
    assert streams.run("check", "nowhere.csv", **{closed: None}) == DATA
    os.close(getattr(sys, closed).fileno())


def test_a_working_folder_that_is_gone(
    monkeypatch: pytest.MonkeyPatch, streams: Streams, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert streams.run("check", "x.csv") == USAGE
    assert streams.said()[1].startswith("rung: the folder this command runs in is not there any more. ")
    assert streams.run("--version") == 0


def test_a_limit_of_memory(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _: (512 << 20, 512 << 20))
    assert streams.run("check", "x.csv") == RESOURCES
    assert "ulimit -v" in streams.said()[1]


def test_memory_that_runs_out(monkeypatch: pytest.MonkeyPatch, streams: Streams) -> None:
    def greedy(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("rung.ladder.understood.read_examples", greedy)
    assert streams.run("check", "x.csv", "--json") == RESOURCES
    out, err = streams.said()
    assert json.loads(out)["exit_code"] == RESOURCES
    assert err.startswith("rung: there is not enough memory. ")


def test_after_two_dashes_a_flag_is_a_file(streams: Streams) -> None:
    assert streams.run("check", "--", "--json") == DATA
    assert streams.said() == ("", "rung: --json: no such file. Check the path.\n")


def test_a_fault_in_the_file_is_said_before_torch_is_imported() -> None:
    code = """
import sys
from rung.cli import run
codes = [run([verb, "nowhere.csv", *more]) for verb, *more in (
    ("check",), ("climb",), ("tune",), ("evaluate",), ("predict", "--run", "."))]
print(codes, [name for name in ("torch", "transformers") if name in sys.modules])
"""
    assert shell.python(code).stdout.strip() == "[3, 3, 3, 3, 3] []"


def test_a_small_and_dumb_terminal(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COLUMNS": "20", "LINES": "3", "TERM": "dumb", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    assert streams.run("check", labelled("a.jsonl"), "--base", "tiny", "--show", "1") == 0
    assert streams.run("bases") == 0
    out, err = streams.said()
    assert "30 rows" in out
    assert err == ""
    assert all(letter.isprintable() or letter == "\n" for letter in out)


def test_no_home_and_no_cache(streams: Streams, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o500)
    monkeypatch.delenv("HOME")
    monkeypatch.setenv("RUNG_CACHE", str(closed / "cache"))
    letters.write_csv(Path("good.csv"), 60)
    with rights.of_others():
        assert streams.run("bases") == 0
        assert (
            streams.run("climb", "good.csv", "--rungs", "constant", "--base", "tiny", "--output", "run") == 0
        )
    assert not list(closed.iterdir())
