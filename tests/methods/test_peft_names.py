"""The names of PEFT's methods."""

from __future__ import annotations

import subprocess
import sys

import pytest
from peft import PeftType

from bridged import REFUSED, RUN
from rung.errors import UsageError
from rung.methods import METHODS, peft_names


def test_they_are_those_that_peft_has_and_each_runs_or_is_refused() -> None:
    assert set(peft_names.names()) == {kind.value.lower() for kind in PeftType}
    assert set(RUN) | set(REFUSED) == set(peft_names.names())
    assert {kind for kind in peft_names.names() if peft_names.runs(kind)} == set(RUN)


@pytest.mark.parametrize("kind", RUN)
def test_one_that_runs_is_a_method(kind: str) -> None:
    name = f"peft:{kind}"
    method = METHODS[name]
    assert name in METHODS
    assert name not in list(METHODS)
    assert (method.name, method.title) == (name, METHODS.title(name))
    assert 0 < method.learning_rate < 1


@pytest.mark.parametrize("kind", REFUSED)
def test_one_that_does_not_run_says_why(kind: str) -> None:
    with pytest.raises(UsageError, match=f"{kind} cannot be used through the bridge") as caught:
        METHODS[f"peft:{kind}"]
    assert REFUSED[kind] in caught.value.why
    assert caught.value.fix


def test_rungs_own_method_is_named_where_there_is_one() -> None:
    with pytest.raises(UsageError, match="--method lora"):
        METHODS["peft:adalora"]


def test_an_unknown_one_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"PEFT has no method 'verra'\. Did you mean 'vera'"):
        METHODS["peft:verra"]
    assert "peft:verra" not in METHODS


def test_names_of_folders_hold_no_colon() -> None:
    for kind in RUN:
        folder = peft_names.folder_name(f"peft:{kind}")
        assert folder == f"peft-{kind}"
        assert peft_names.from_folder(folder) == f"peft:{kind}"


def test_without_peft_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peft_names, "find_spec", lambda name: None)
    assert peft_names.names.__wrapped__() == ()


def test_they_are_read_without_torch() -> None:
    code = (
        "import sys; from rung.methods import METHODS\n"
        "assert 'peft:vera' in METHODS\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
