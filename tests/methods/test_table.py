"""The table of methods: found by name, imported when asked for, open to other packages."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from rung.errors import UsageError
from rung.methods import METHODS, table


def test_an_unknown_method_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'lora'"):
        METHODS["lorra"]


def test_each_method_is_under_its_own_name() -> None:
    assert {"lora", "full"} <= set(METHODS)
    assert len(METHODS) == len(list(METHODS.items()))
    for name, method in METHODS.items():
        assert name in METHODS
        assert method.name == name
        assert method.title == METHODS.title(name)
        assert method.when.endswith(".")
        assert 0 < method.learning_rate < 1
        assert method.classifies is METHODS.classifies(name) is ("labels" in method.Settings.model_fields)


def test_the_table_needs_no_torch() -> None:
    code = "import sys; from rung.methods import METHODS; list(METHODS); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("rung.methods.lora:LORA", "is no method called 'mine'"),
        ("rung.methods.nowhere:X", "cannot be imported: No module named"),
        ("rung.methods.lora:NOTHING", "cannot be imported"),
        ("rung.errors:UsageError", "is no method called 'mine'"),
    ],
)
def test_an_entry_point_that_is_no_method_is_explained(
    value: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("mine", value, table.GROUP)
    monkeypatch.setattr(table, "_outside", lambda: {"mine": point})
    with pytest.raises(UsageError, match=why):
        METHODS["mine"]
    assert list(METHODS)[-1] == "mine"


def test_every_method_but_those_of_labels_can_learn_from_pairs() -> None:
    dpo, plain = METHODS["dora-dpo"], METHODS["dora"]
    assert (dpo.name, dpo.title, dpo.prefers) == ("dora-dpo", "DoRA with DPO", True)
    assert dpo.learning_rate < plain.learning_rate
    assert (dpo.Settings, dpo.attach, dpo.format) == (plain.Settings, plain.attach, plain.format)
    assert METHODS.plain("dora-dpo") == "dora"
    assert METHODS.plain("dora") == "dora"
    assert not METHODS.prefers("dora")
    for name in ("head-dpo", "x-dpo", "-dpo", "dora-dpo-dpo"):
        assert name not in METHODS
