"""The machine is described without its name, and without torch where nothing needed it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

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


def test_torch_is_not_imported_for_it() -> None:
    out = subprocess.run([sys.executable, "-c", TELL], capture_output=True, text=True, check=True).stdout
    facts, loaded = json.loads(out)
    assert not loaded
    assert "threads" not in facts
    assert facts["cores"] == machine.describe()["cores"]
