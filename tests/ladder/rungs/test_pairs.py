"""Preference pairs in a climb: which rungs are tried, what they measure, and DPO that is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import letters
from rung import storage
from rung.api import climb
from rung.config import make_settings
from rung.data import read_examples
from rung.evaluation.tasks import understand
from rung.ladder.climb import Climbed
from rung.ladder.predictor import load
from rung.ladder.rungs import RUNGS, asked_for
from rung.ladder.rungs.pairs import PairRung
from rung.records import Result

FAST: dict[str, Any] = letters.FAST | {
    "epochs": 3,
    "rungs": "length,zero-shot,few-shot,lora,lora-dpo",
    "shots": "2",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs whose chosen answer has one word that the rejected one has not, two of each prompt."""
    rows = [
        {"prompt": f"Where is box {i // 2}?", "chosen": f"Gladly, {i}.", "rejected": f"No idea, {i}."}
        for i in range(60)
    ]
    return letters.write_jsonl(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", rows)


@pytest.fixture(scope="module")
def climbed(data: Path, test_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Climbed:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNG_CACHE", str(test_cache))
        return climb(data, output=tmp_path_factory.mktemp("runs") / "pairs", **FAST)


def result(climbed: Climbed, name: str) -> Result:
    return next(one for one in climbed.results if one.rung == name)


def measured(climbed: Climbed, name: str) -> dict[str, float | None]:
    return {one.name: one.value for one in result(climbed, name).metrics}


def test_a_climb_on_pairs_tries_dpo_and_one_on_chosen_answers_does_not(data: Path) -> None:
    loaded = read_examples(data)
    pairs, chosen = (understand(loaded, kind)[0] for kind in (None, "generation"))
    usual = [rung.name for rung in asked_for(make_settings({}), pairs)]
    assert usual == ["length", "zero-shot", "few-shot", "lora", "full", "lora-dpo"]
    assert "lora-dpo" not in [rung.name for rung in asked_for(make_settings({}), chosen)]
    assert RUNGS["lora-dpo"].applies(chosen)  # where it is asked for


@pytest.mark.parametrize("name", ["dora-dpo", "full-dpo", "bitfit-dpo"])
def test_every_method_has_such_a_rung(name: str) -> None:
    rung = RUNGS[name]
    assert isinstance(rung, PairRung)
    assert (rung.name, rung.method, rung.on_request) == (name, name, True)
    assert name in RUNGS
    assert "head-dpo" not in RUNGS  # labels are no answers to compare


def test_every_rung_measures_whether_the_chosen_answer_is_preferred(climbed: Climbed) -> None:
    assert {one.rung: one.status for one in climbed.results} == dict.fromkeys(FAST["rungs"].split(","), "ok")
    assert measured(climbed, "length")["margin"] is None
    assert measured(climbed, "zero-shot")["chosen_change"] is None
    for name in ("zero-shot", "few-shot", "lora", "lora-dpo"):
        found = measured(climbed, name)
        assert found["reward_accuracy"] is not None
        assert found["margin"] is not None
        assert found["likelier"] is not None


def test_dpo_learns_what_is_preferred(climbed: Climbed) -> None:
    found = measured(climbed, "lora-dpo")
    assert found["reward_accuracy"] == 1.0
    assert found["margin"] is not None
    assert found["margin"] > 1
    dpo = result(climbed, "lora-dpo")
    assert dpo.curve[0].dev_loss == pytest.approx(0.693, abs=2e-3)  # log 2: nothing has moved
    assert dpo.applied["loss"] == {"name": "dpo", "beta": 0.1, "smoothing": 0.0}
    assert dpo.forgetting[0].name == "kl"


def test_what_answers_picked_is_kept(climbed: Climbed) -> None:
    rows = storage.read_jsonl(climbed.folder / "predictions" / "lora-dpo.jsonl")
    assert all(row["text"].startswith(("Gladly", "No idea")) for row in rows)
    assert all({"margin", "chosen_change", "likelier"} <= set(row["values"]) for row in rows)


@pytest.mark.parametrize("rung", ["zero-shot", "lora-dpo"])
def test_a_prompt_alone_gets_an_answer_that_is_written(climbed: Climbed, rung: str) -> None:
    (found,) = load(climbed.folder, rung).answer(["Where is box 7?"])
    assert not found.error or "cut off" in found.error


def test_another_task_can_be_tuned_with_dpo_where_it_is_asked_for(
    data: Path, own_cache: Path, tmp_path: Path
) -> None:
    asked = FAST | {"rungs": "lora-dpo", "task": "generation", "epochs": 1, "max_test": 10}
    (found,) = climb(data, output=tmp_path / "run", **asked).results
    assert found.status == "ok"
    assert found.primary is not None
    assert found.primary.name == "rouge_l"


def test_rows_without_rejected_answers_say_why(own_cache: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"Where is box {i}?", "completion": f"Here, {i}."} for i in range(40)]
    data = letters.write_jsonl(tmp_path / "x.jsonl", rows)
    (found,) = climb(data, output=tmp_path / "run", **FAST | {"rungs": "lora-dpo"}).results
    assert found.status == "skipped"
    assert "it is not for knowledge" in found.reason
