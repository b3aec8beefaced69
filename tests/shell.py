"""Run the command line in a process of its own, with or without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
TESTS = Path(__file__).parent
RUNG = "from rung.cli import main; main()"
_NO_NETWORK = """
import os, socket

def refuse(*given, **named):
    with open(os.environ["NETWORK_LOG"], "a", encoding="utf-8") as log:
        log.write(f"{given[1:]}\\n")
    raise OSError("no network in this test")

for name in ("connect", "connect_ex", "sendto", "sendmsg"):
    setattr(socket.socket, name, refuse)
for name in ("getaddrinfo", "create_connection", "gethostbyname"):
    setattr(socket, name, refuse)
"""


def python(
    code: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run Python code; the tests' helpers can be imported."""
    paths = os.pathsep.join([*filter(None, [(env or {}).get("PYTHONPATH")]), str(SOURCE), str(TESTS)])
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {}), "PYTHONPATH": paths},
        cwd=cwd,
        **({"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}),  # type: ignore[arg-type]
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def rung(
    arguments: Sequence[str],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command line; it reads `stdin`, or nothing."""
    return python(RUNG, *arguments, env=env, cwd=cwd, stdin=stdin)


def without_network(folder: Path) -> dict[str, str]:
    """Environment of a process in which every use of a socket fails and is written to a log in `folder`."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_NO_NETWORK, encoding="utf-8")
    log = folder / "network.log"
    log.write_text("", encoding="utf-8")
    return {"PYTHONPATH": str(folder), "NETWORK_LOG": str(log)}
