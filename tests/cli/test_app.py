"""The front of the command line: help, verbs, exit codes, JSON, pipes and signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import letters
import shell
from rung import __version__, cli
from rung.cli.app import app
from rung.errors import (
    BaseModelError,
    DataError,
    ResourceError,
    ResumeError,
    RungError,
    UsageError,
    VerifyError,
)

VERBS = ("climb", "check", "predict", "tune", "evaluate", "chat", "report", "methods", "bases")
ESCAPE = "\x1b"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([verb, "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"Usage: rung {verb}")
    assert f"Examples:  rung {verb}" in " ".join(out.split()).replace("Examples: ", "Examples:  ")
    assert (err, ESCAPE in out) == ("", False)


def test_the_front_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 0
    bare = capsys.readouterr().out
    assert cli.run(["--help"]) == 0
    assert capsys.readouterr().out == bare
    listed = bare[bare.index("Commands:") :].split("\n")[1:]
    assert tuple(line.split()[0] for line in listed if line.startswith("  ") and line[2] != " ") == VERBS


@pytest.mark.parametrize("arguments", [["--help"], ["climb", "--help"], ["--version"], ["climbb"], ["bases"]])
def test_help_imports_no_torch(arguments: list[str]) -> None:
    heavy = ("torch", "transformers", "scipy", "matplotlib", "pyarrow", "safetensors", "numpy")
    code = f"""
import sys
from rung.cli import run
run({arguments!r})
print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""
    assert shell.python(code).stderr.strip().split("\n")[-1] == "[]"


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"rung {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["climbb"], "No such command 'climbb'. Did you mean 'climb'? See `rung --help`."),
        (["--nonsense"], "No such option: --nonsense. See `rung --help`."),
        (["climb"], "Missing argument 'FILE...'. See `rung climb --help`."),
        (["bases", "gett"], "No such command 'gett'. Did you mean 'get'? See `rung bases --help`."),
        (["chat", "--temperature", "9"], "See `rung chat --help`."),
        (["report", "a", "b"], "See `rung report --help`."),
    ],
)
def test_a_command_line_that_cannot_be_used(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rung: ")
    assert err.endswith(f"{said}\n")
    assert err.count("\n") == 1
    assert cli.run([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2


KINDS = [RungError, UsageError, DataError, BaseModelError, VerifyError, ResourceError, ResumeError]


@pytest.mark.parametrize("kind", KINDS)
def test_each_error_has_its_exit_code_and_its_json(
    kind: type[RungError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise kind("it broke", where="here", fix='Repair "it"')

    monkeypatch.setattr("rung.cli.app.app", fail)
    assert cli.run(["climb", "--json"]) == kind.exit_code
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": 'here: it broke. Repair "it".', "exit_code": kind.exit_code}
    assert err == 'rung: here: it broke. Repair "it".\n'


def test_a_bug_is_one_paragraph_and_its_traceback_is_there_for_who_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RUNG_TRACEBACK", raising=False)
    monkeypatch.setattr("rung.cli.app.app", lambda *_, **__: 1 / 0)
    assert cli.run(["climb", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["exit_code"] == 1
    assert err.startswith("rung: this is a fault in rung: ZeroDivisionError: division by zero. It came from ")
    assert err.endswith("Set RUNG_TRACEBACK=1, run the same command again and report what it prints.\n")
    monkeypatch.setenv("RUNG_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        cli.run(["climb"])


def test_ctrl_c_is_130_and_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rung.ladder.understood.read_examples", interrupt)
    assert cli.run(["check", "x.csv", "--base", "tiny"]) == 130
    assert capsys.readouterr().err == "rung: stopped; run the same command again to continue from here\n"


@pytest.mark.parametrize("code", [0, 3])
def test_an_exit_keeps_its_code(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rung.cli.app.app", lambda *_, **__: sys.exit(code))
    assert cli.run(["climb"]) == code


def test_main_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["rung", "climbb"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2


@pytest.mark.parametrize("arguments", [["--help"], ["bases"], ["report", "RUN"]])
def test_a_closed_pipe_is_no_error(arguments: list[str], climbed: Any) -> None:
    read, write = os.pipe()
    os.close(read)
    arguments = [str(climbed.folder) if part == "RUN" else part for part in arguments]
    try:
        done = subprocess.run(
            [sys.executable, "-c", shell.RUNG, *arguments],
            env={**os.environ, "PYTHONPATH": str(shell.SOURCE)},
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_sigterm_ends_a_climb_at_the_next_step_and_the_run_can_go_on(
    letters_csv: Path, tmp_path: Path, own_cache: Path
) -> None:
    run = tmp_path / "run"
    settings = letters.FAST | {"rungs": "lora", "epochs": 500, "checkpoint_seconds": 0.05}
    command = ["climb", str(letters_csv), "--output", str(run), *letters.flags(**settings)]
    with subprocess.Popen(
        [sys.executable, "-c", shell.RUNG, *command],
        env={**os.environ, "PYTHONPATH": str(shell.SOURCE), "RUNG_CACHE": str(own_cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        end = time.monotonic() + 60
        while not list(run.glob("checkpoints/lora/step-*")) and time.monotonic() < end:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert out == ""
    assert "stopping after this step; press again to stop immediately" in err
    assert err.endswith("rung: stopped; run the same command again to continue from here\n")
    assert "Traceback" not in err
    assert ESCAPE not in err
    assert not (run / "lock.json").exists()
    assert list(run.glob("checkpoints/lora/step-*/manifest.json"))


def test_the_app_is_the_one_that_is_installed() -> None:
    assert [command.name for command in app.registered_commands] == [v for v in VERBS if v != "bases"]
    assert [group.name for group in app.registered_groups] == ["bases"]
