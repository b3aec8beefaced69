"""The machine is described without its name, and without torch where nothing needed it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

from rung import machine

TELL = """
import json, sys
from rung import machine
print(json.dumps([machine.describe(), "torch" in sys.modules]))
"""


def test_the_machine_is_described_without_its_name() -> None:
    import torch

    facts = machine.describe()
    assert {"system", "processor", "cores", "threads", "waiting", "memory_bytes"} <= facts.keys()
    assert int(facts["memory_bytes"]) > 2**20
    assert facts["threads"] == torch.get_num_threads()
    assert platform.node() not in facts.values()


def test_versions_are_those_that_decide_numbers() -> None:
    found = machine.versions()
    assert found["python"] == platform.python_version()
    assert {"rung", "torch", "transformers", "numpy"} <= found.keys()


def test_torch_is_not_imported_for_it() -> None:
    out = subprocess.run([sys.executable, "-c", TELL], capture_output=True, text=True, check=True).stdout
    facts, loaded = json.loads(out)
    assert not loaded
    assert "threads" not in facts
    assert facts["cores"] == machine.describe()["cores"]


def test_free_memory_is_that_of_the_machine_and_of_the_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       2000 kB\nMemAvailable:    1000 kB\nHugePages_Total:   0\n")
    assert machine.free_memory(meminfo, tmp_path) == 1000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("300000\n")
    (tmp_path / "memory.stat").write_text("anon 100\nfile 90000\nshmem 20000\n")
    assert machine.free_memory(meminfo, tmp_path) == 1000 * 1024
    (tmp_path / "memory.max").write_text("500000\n")
    assert machine.free_memory(meminfo, tmp_path) == 500000 - 300000 + 90000 - 20000
    assert machine._memory(tmp_path) == 500000
    assert machine.free_memory(tmp_path / "none", tmp_path / "none") is None
