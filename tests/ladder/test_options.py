"""What the user asks of a method reaches it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rung.config import load_settings, make_settings
from rung.errors import DataError, UsageError
from rung.ladder.options import attach, settings_of, with_layers
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
    with pytest.raises(UsageError, match=r"lora has no option 'rnk'"):
        asked_for(make_settings({"options": "lora.rnk=8"}))
    assert asked_for(make_settings({"rank": 8, "rungs": "full,lora"}))


def test_a_text_reaches_a_method_as_token_ids(prepared: Prepared) -> None:
    asked = replace(prepared, settings=make_settings({"options": "prompt.text=a b c"}))
    attached = attach(asked, "prompt")
    assert prepared.base.tokenizer.decode(attached.settings.start_ids) == "a b c"
    attached.detach()


def test_a_method_that_leaves_no_room_for_the_longest_row_is_refused(prepared: Prepared) -> None:
    model, room = prepared.base.model, prepared.base.context
    words = model.get_input_embeddings()
    longest = max(len(row.ids) for row in prepared.rendered.values())
    length = room - longest + 1
    asked = replace(prepared, settings=make_settings({"options": f"prompt.length={length}"}))
    with pytest.raises(DataError, match=f"prompt takes {length} of the base's {room} tokens"):
        attach(asked, "prompt")
    assert model.get_input_embeddings() is words
    fits = replace(prepared, settings=make_settings({"options": f"prompt.length={length - 1}"}))
    attach(fits, "prompt").detach()


def test_what_does_not_fit_the_base_is_refused_and_taken_off_again(prepared: Prepared) -> None:
    model = prepared.base.model
    modules = [type(module) for module in model.modules()]

    def asked(**given: object) -> Prepared:
        return replace(prepared, settings=make_settings(given))

    with pytest.raises(UsageError, match=r"rank 64 is above the width of model.*k_proj, which is 16"):
        attach(asked(rank=64), "lora")
    assert [type(module) for module in model.modules()] == modules
    attached = attach(asked(options=["lora.ranks=q_proj=32,k_proj=4", "lora.targets=attention"]), "lora")
    assert attached.settings.ranks == {"q_proj": 32, "k_proj": 4}
    assert attached.settings.targets == ("attention",)
    attached.detach()
    attach(asked(rank=64), "full").detach()


def test_a_head_gets_the_labels_of_the_task_and_no_others(prepared: Prepared) -> None:
    attached = attach(prepared, "head")
    assert attached.settings.labels == prepared.task.labels
    attached.detach()
    other = replace(prepared, settings=make_settings({"base": "tiny", "options": "head.labels=yes,no"}))
    with pytest.raises(UsageError, match=r"head\.labels are not those of the task"):
        attach(other, "head")


def test_layers_that_were_chosen_are_asked_for(prepared: Prepared) -> None:
    assert with_layers(prepared, None) is prepared
    chosen = with_layers(prepared, 1)
    assert settings_of(chosen.settings, "lora").top_layers == 1
    assert prepared.settings.top_layers is None
