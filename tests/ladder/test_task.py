"""One rung, run from what the climb has left on disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import letters
from rung import storage
from rung.errors import UsageError
from rung.ladder.climb import Climbed, climb
from rung.ladder.task import from_disk, run_task
from rung.ladder.watch import Silent
from rung.records import Result, from_json


@pytest.fixture
def copied(climbed: Climbed, tmp_path: Path) -> Path:
    """The climb as it stood before its rungs ran."""
    folder = tmp_path / "copied"
    shutil.copytree(climbed.folder, folder)
    for name in ("results", "predictions", "adapters", "answer"):
        shutil.rmtree(folder / name)
    return folder


def test_the_context_on_disk_is_that_of_the_climb(climbed: Climbed) -> None:
    context = from_disk(climbed.folder, Silent())
    assert [one.id for one in context.split.test] == [
        row["id"] for row in storage.read_jsonl(climbed.folder / "test.jsonl")
    ]
    assert (context.task, context.asked) == (climbed.info.task, climbed.info.asked)
    assert context.prepared.max_new_tokens == climbed.info.applied["max_new_tokens"]
    facts = climbed.info.data
    assert (len(context.prepared.split.train), len(context.prepared.split.dev)) == (
        facts["train_rows"],
        facts["dev_rows"],
    )


@pytest.mark.parametrize("name", ["few-shot", "lora", "full"])
def test_a_task_measures_what_the_climb_measured(climbed: Climbed, copied: Path, name: str) -> None:
    done = next(result for result in climbed.results if result.rung == name)
    result = run_task(copied, name)
    assert result == from_json(Result, storage.read_json(copied / "results" / f"{name}.json"))
    same = {"started": "", "finished": "", "cost": done.cost, "curve": ()}
    assert replace(result, **same) == replace(done, **same)
    assert [(p.train_loss, p.dev_loss) for p in result.curve] == [
        (p.train_loss, p.dev_loss) for p in done.curve
    ]
    for file in sorted((copied / "predictions").iterdir()):
        assert file.read_bytes() == (climbed.folder / "predictions" / file.name).read_bytes()
    for file in sorted((copied / "adapters").rglob("*.safetensors")):
        assert letters.digest(file) == letters.digest(climbed.folder / file.relative_to(copied))


def test_a_task_writes_none_of_the_climbs_own_files(copied: Path) -> None:
    own = ("run.json", "plan.json", "claim.json", "config.yaml", "test.jsonl", "data.jsonl", "verdict.json")
    before = {name: (copied / name).read_bytes() for name in own}
    run_task(copied, "zero-shot")
    assert {name: (copied / name).read_bytes() for name in own} == before


def test_another_process_runs_a_task_and_the_climb_takes_its_result(
    letters_csv: Path, tmp_path: Path
) -> None:
    settings = letters.FAST | {"epochs": 1, "rungs": "zero-shot,lora", "output": tmp_path / "run"}
    first = climb(letters_csv, **settings)
    (first.folder / "results" / "lora.json").unlink()
    code = (
        "from pathlib import Path\n"
        "from rung.ladder.task import run_task\n"
        f"run_task(Path({str(first.folder)!r}), 'lora')"
    )
    source = Path(__file__).parents[2] / "src"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(source)}, check=True)
    result = from_json(Result, storage.read_json(first.folder / "results" / "lora.json"))
    again = climb(letters_csv, **settings)
    assert again.results == (first.results[0], result)
    assert result.metrics == first.results[1].metrics


def test_a_folder_without_a_climb_or_a_rung_that_is_not_in_it_is_refused(
    climbed: Climbed, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="not the folder of a climb that has begun"):
        run_task(tmp_path, "lora")
    with pytest.raises(UsageError, match=r"no rung 'lorra'.*Its rungs: zero-shot, few-shot, lora, full"):
        run_task(climbed.folder, "lorra")
