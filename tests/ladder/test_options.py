"""What the user asks of a method reaches it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rung.config import load_settings, make_settings
from rung.errors import UsageError
from rung.ladder.options import attach, settings_of
from rung.ladder.prepare import Prepared
from rung.ladder.rungs import asked_for


def test_short_flags_reach_every_method_that_knows_them() -> None:
    asked = make_settings({"rank": 3, "alpha": 5, "rslora": True, "targets": "q_proj"})
    s = settings_of(asked, "lora")
    assert (s.rank, s.alpha, s.rslora, s.targets) == (3, 5.0, True, ("q_proj",))
    assert settings_of(asked, "full").model_dump() == {}
    assert settings_of(make_settings({}), "lora").rank == 16


def test_a_section_of_the_file_and_a_flag(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("rank: 2\nlora:\n  rank: 4\n  lora-plus: 2\n  rslora: true\n")
    settings, asked = load_settings(path, {"options": ["lora.rank=8"]})
    s = settings_of(settings, "lora")
    assert (s.rank, s.lora_plus, s.rslora) == (8, 2.0, True)
    assert asked == {"rank": 2, "options": {"lora": {"rank": "8", "lora_plus": 2, "rslora": True}}}
    assert settings_of(make_settings(asked), "lora") == s


@pytest.mark.parametrize("text", ["lora", "lora.rank", "rank=8", ".rank=8", "lora.=8"])
def test_an_option_that_is_not_written_as_one_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write a method, its option and a value"):
        make_settings({"options": [text]})


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"lora has no option 'rnak'\. Did you mean 'rank'"):
        settings_of(make_settings({"options": "lora.rnak=8"}), "lora")


def test_an_unknown_method_and_a_flag_that_no_method_takes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown method or setting 'lorra'\. Did you mean 'lora'"):
        asked_for(make_settings({"lorra": {"rank": 8}}))
    with pytest.raises(
        UsageError, match=r"unknown method or setting 'label_nmes'\. Did you mean 'label_names'"
    ):
        asked_for(make_settings({"label_nmes": {"0": "bad"}}))
    with pytest.raises(UsageError, match=r"rank is no option of full\. Leave out --rank"):
        asked_for(make_settings({"rank": 8, "rungs": "full"}))
    with pytest.raises(UsageError, match=r"lora has no option 'rnk'"):
        asked_for(make_settings({"options": "lora.rnk=8"}))
    assert asked_for(make_settings({"rank": 8, "rungs": "full,lora"}))


def test_a_head_gets_the_labels_of_the_task_and_no_others(prepared: Prepared) -> None:
    attached = attach(prepared, "head")
    assert attached.settings.labels == prepared.task.labels
    attached.detach()
    other = replace(prepared, settings=make_settings({"base": "tiny", "options": "head.labels=yes,no"}))
    with pytest.raises(UsageError, match=r"head\.labels are not those of the task"):
        attach(other, "head")
