"""From a table of words to a verdict, and what happens when something gets in the way."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import letters
import shell
from rung import cli, run_folder, storage
from rung.ladder import tuning
from rung.ladder.climb import Climbed, climb
from rung.records import Cost, Result, from_json

_KILLED = """
import os, signal, sys
import letters
from pathlib import Path
from rung.ladder.climb import climb
from rung.ladder.watch import Silent

output = Path(sys.argv[2])

class Killer(Silent):
    def step(self, done, total, *facts, **more):
        if done >= total // 2 and list(output.glob("checkpoints/lora/step-*")):
            os.kill(os.getpid(), signal.SIGKILL)

climb(sys.argv[1], output=output, watcher=Killer(), checkpoint_seconds=0.001, **letters.FOUR)
"""


@pytest.fixture(autouse=True)
def _cache(request: pytest.FixtureRequest) -> None:
    if "base" not in request.keywords:
        request.getfixturevalue("own_cache")


def measured(result: Result) -> Result:
    """A result without what differs from run to run: clocks, memory, and notes on where it continued."""
    curve = tuple(replace(point, seconds=0.0) for point in result.curve)
    of_clocks = ("seconds", "train_seconds", "answer_seconds", "race_seconds", "low", "high")
    clocks = dict.fromkeys((*of_clocks, "memory_bytes", "memory_low", "memory_high"))
    quote = replace(result.quote, **clocks) if result.quote else None
    counted = Cost(
        train_tokens=result.cost.train_tokens,
        trainable_parameters=result.cost.trainable_parameters,
        adapter_bytes=result.cost.adapter_bytes,
    )
    return replace(
        result,
        curve=curve,
        quote=quote,
        cost=counted,
        notes=(),
        asked={},
        applied={},
        started="",
        finished="",
    )


def same_outcome(first: Climbed, second: Climbed) -> bool:
    """Same results, same verdict, same weights, same answers."""
    weights = ["lora/adapter_model.safetensors", "full/model.safetensors"]
    files = [f"adapters/{name}" for name in weights] + [
        f"predictions/{result.rung}.jsonl" for result in first.results
    ]
    for name in files:
        assert letters.digest(first.folder / name) == letters.digest(second.folder / name), name
    for one, two in zip(first.results, second.results, strict=True):
        assert measured(one) == measured(two)
    # Costs are measured on a clock, and they choose between rungs that are equally good.
    both = [
        [one for one in run.verdict.comparisons if one.first == run.verdict.best] for run in (first, second)
    ]
    assert both[0] == both[1]
    return first.verdict.best == second.verdict.best


def test_a_climb_learns_what_prompting_cannot_tell(climbed: Climbed) -> None:
    named = {result.rung: result for result in climbed.results}
    assert list(named) == ["zero-shot", "few-shot", "lora", "full"]
    assert {result.status for result in climbed.results} == {"ok"}
    value = {name: result.primary.value for name, result in named.items() if result.primary}
    assert value["lora"] == value["full"] == 1.0
    assert max(value["zero-shot"] or 0, value["few-shot"] or 0) < 0.9

    verdict = climbed.verdict
    assert verdict.recommended in ("lora", "full")  # equally good; which is cheaper was measured
    name = "LoRA" if verdict.recommended == "lora" else "full fine-tuning"
    assert f"Use {name}" in verdict.sentence
    assert " beats " in verdict.sentence
    assert verdict.certainty is not None
    assert verdict.certainty in verdict.sentence
    assert "nats/token" in verdict.sentence


def test_the_run_folder_is_whole_and_names_no_place(climbed: Climbed, letters_csv: Path) -> None:
    files = {path.relative_to(climbed.folder).as_posix() for path in climbed.folder.rglob("*")}
    assert {
        "run.json",
        "plan.json",
        "claim.json",
        "verdict.json",
        "test.jsonl",
        "events.jsonl",
        "config.yaml",
        "results/zero-shot.json",
        "results/few-shot.json",
        "results/lora.json",
        "results/full.json",
        "predictions/lora.jsonl",
        "adapters/lora/adapter_config.json",
        "adapters/lora/adapter_model.safetensors",
        "adapters/lora/manifest.json",
        "adapters/full/model.safetensors",
        "adapters/full/tokenizer.json",
    } <= files
    for adapter in (climbed.folder / "adapters").iterdir():
        storage.verify_folder(adapter)
    noted = [
        name
        for name in files
        if (climbed.folder / name).is_file()
        and str(letters_csv.parent).encode() in (climbed.folder / name).read_bytes()
    ]
    assert noted == []


def test_from_the_command_line_to_a_report(
    letters_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    command = ["climb", str(letters_csv), "--output", str(run), *letters.flags(**letters.FOUR)]
    assert cli.run(command) == 0
    out, err = capsys.readouterr()
    sentence = json.loads((run / "verdict.json").read_text())["sentence"]
    assert sentence in " ".join(out.split())
    assert f"Report: {run / 'report.html'}" in out
    for line in ("letters.csv: text-label", "Task: Classification", "Base: tiny on CPU", "- lora: accuracy"):
        assert line in err
    page = (run / "report.html").read_text(encoding="utf-8")
    assert sentence.split(" by ")[0] in page
    assert "http://" not in page.replace("http://www.w3.org", "")

    assert cli.run([*command, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["verdict"]["sentence"] == sentence
    written = [json.loads((run / "results" / f"{r['rung']}.json").read_text()) for r in again["results"]]
    assert again["results"] == written
    events = storage.read_jsonl(run / "events.jsonl")
    assert [event["event"] for event in events].count("rung begins") == 4


def test_a_failed_rung_is_a_row_and_the_climb_goes_on(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = tuning.train

    def fail_on_lora(prepared: Any, plan: Any, method: str, *more: Any) -> Any:
        if method == "lora":
            raise RuntimeError("not enough for LoRA")
        return real(prepared, plan, method, *more)

    monkeypatch.setattr(tuning, "train", fail_on_lora)
    run = tmp_path / "run"
    settings = letters.FAST | {"rungs": "zero-shot,lora,full"}
    assert cli.run(["climb", str(letters_csv), "--output", str(run), *letters.flags(**settings)]) == 0
    out, err = capsys.readouterr()
    assert "- lora: failed: RuntimeError: not enough for LoRA" in err
    assert "not enough for LoRA" in " ".join(out.split())
    assert "not enough for LoRA" in (run / "report.html").read_text(encoding="utf-8")
    results = [
        from_json(Result, storage.read_json(run / "results" / f"{name}.json")) for name in ("lora", "full")
    ]
    assert [result.status for result in results] == ["failed", "ok"]
    assert json.loads((run / "verdict.json").read_text())["recommended"] == "full"


def test_ctrl_c_in_training_and_the_same_command_ends_the_same(
    letters_csv: Path, tmp_path: Path, climbed: Climbed
) -> None:
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        climb(letters_csv, output=run, watcher=letters.Stopping("lora", 31), **letters.FOUR)
    assert [folder.name for folder in (run / "checkpoints" / "lora").glob("step-*")] == ["step-000031"]
    assert not (run / run_folder.LOCK).exists()
    assert not (run / "results" / "lora.json").exists()
    with pytest.raises(KeyboardInterrupt):
        climb(letters_csv, output=run, watcher=letters.Stopping("full", 1), **letters.FOUR)
    again = climb(letters_csv, output=run, **letters.FOUR)
    assert same_outcome(again, climbed)
    lora = again.results[2]
    note, by = lora.notes
    assert by.startswith("answers by likelihood: accuracy 100.0% on 30 dev rows")
    assert note.startswith("continued from the checkpoint at step 31 of ")
    cost = lora.cost  # what was trained before the stop counts too
    assert (cost.seconds or 0) + 1e-6 >= (cost.train_seconds or 0) + (cost.eval_seconds or 0)


def test_ctrl_c_while_answering_and_the_same_command_ends_the_same(
    letters_csv: Path, tmp_path: Path, climbed: Climbed
) -> None:
    class Impatient(letters.Stopping):
        def rows(self, done: int, total: int) -> None:
            raise KeyboardInterrupt

    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        climb(letters_csv, output=run, watcher=Impatient("none", 0), **letters.FOUR)
    assert not (run / "results").exists()
    assert same_outcome(climb(letters_csv, output=run, **letters.FOUR), climbed)


def test_a_killed_process_loses_no_more_than_it_must(
    letters_csv: Path, tmp_path: Path, climbed: Climbed, own_cache: Path
) -> None:
    run = tmp_path / "run"
    killed = shell.python(_KILLED, str(letters_csv), str(run), env={"RUNG_CACHE": str(own_cache)})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (run / run_folder.LOCK).exists()
    assert not (run / "results" / "lora.json").exists()
    again = climb(letters_csv, output=run, **letters.FOUR)
    assert same_outcome(again, climbed)
    assert again.results[2].notes[0].startswith("continued from the checkpoint at step ")


def test_the_test_that_there_is_no_network_can_fail(tmp_path: Path) -> None:
    env = shell.without_network(tmp_path / "site")
    tried = shell.python("import socket; socket.create_connection(('127.0.0.1', 9))", env=env)
    assert "no network in this test" in tried.stderr
    tried = shell.python("import socket; socket.socket().connect(('127.0.0.1', 9))", env=env)
    assert "no network in this test" in tried.stderr
    assert (tmp_path / "site" / "network.log").read_text().count("\n") == 2


def test_a_whole_climb_needs_no_network(letters_csv: Path, tmp_path: Path, own_cache: Path) -> None:
    env = shell.without_network(tmp_path / "site") | {"RUNG_CACHE": str(own_cache)}
    settings = letters.flags(**letters.FAST | {"epochs": 1, "rungs": "zero-shot,lora"})
    done = shell.rung(["climb", str(letters_csv), "--output", str(tmp_path / "run"), *settings], env)
    assert done.returncode == 0, done.stderr
    assert "Report: " in done.stdout
    assert (tmp_path / "site" / "network.log").read_text() == ""


@pytest.mark.base
def test_the_default_base_needs_no_network(tmp_path: Path, default_base_folder: Path) -> None:
    assert default_base_folder.is_dir()
    table = letters.write_csv(tmp_path / "letters.csv", 80)
    settings = letters.flags(rungs="zero-shot", budget="none", max_dev=10, max_test=10, threads=1)
    env = shell.without_network(tmp_path / "site")
    done = shell.rung(["climb", str(table), "--output", str(tmp_path / "run"), "--json", *settings], env)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert (result["status"], result["base"]) == ("ok", "smollm2-135m-instruct")
    assert sum(result["counts"].values()) == 10
    assert (tmp_path / "site" / "network.log").read_text() == ""
