"""One climb: what it writes, what it does again and what it does not."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import letters
from contexts import SLOW
from faults import no_space
from rung import cli, run_folder, storage
from rung import device as devices
from rung.errors import ResourceError, ResumeError
from rung.ladder import climb as climbing
from rung.ladder import prompting, tuning
from rung.ladder import quote as quoting
from rung.ladder.climb import Climbed, climb
from rung.ladder.plan import Plan
from rung.ladder.prepare import Prepared
from rung.ladder.watch import Silent
from rung.records import Answer, Quote, Result, RunInfo, Verdict, from_json

QUICK = letters.FAST | {"epochs": 1, "rungs": "zero-shot,lora"}


@pytest.fixture(autouse=True)
def _no_fault() -> Iterator[None]:
    yield
    storage.fault = None


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_without_an_output_it_goes_to_runs(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    climbed = climb(letters_csv, **letters.FAST | {"rungs": "zero-shot"})
    assert climbed.folder.parent == Path("runs")
    assert (tmp_path / climbed.folder / "verdict.json").is_file()


def test_rows_in_memory_have_a_folder_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"text": text, "label": label} for text, label in letters.rows(60)]
    more = [{"text": text, "label": label} for text, label in letters.rows(30, seed=1)]
    settings = letters.FAST | {"rungs": "zero-shot"}
    climbed = climb(rows, test=more, **settings)
    assert climbed.folder.name.startswith("data-")
    assert (climbed.info.data["file"], climbed.info.data["test_file"]) == ("data", "test")
    assert repr(climbed) == f"<climb in {climbed.folder}: {climbed.verdict.sentence}>"
    assert climb(rows, test=more, **settings).results == climbed.results
    assert climb(rows, test=more[:20], **settings).folder != climbed.folder
    assert climb(rows[:50], test=more, **settings).folder != climbed.folder


def test_a_file_that_is_gone_after_it_was_read_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = letters.write_csv(tmp_path / "gone.csv", 60)

    class Deleting(Silent):
        def prepared(self, prepared: Prepared) -> None:
            file.unlink()

    climbed = climb(file, watcher=Deleting(), **letters.FAST | {"rungs": "zero-shot"})
    assert climbed.folder.name.startswith("gone-")


def test_the_run_folder_can_be_read_back(climbed: Climbed) -> None:
    folder = climbed.folder
    assert from_json(RunInfo, storage.read_json(folder / "run.json")) == climbed.info
    assert from_json(Verdict, storage.read_json(folder / "verdict.json")) == climbed.verdict
    test = storage.read_jsonl(folder / "test.jsonl")
    for result in climbed.results:
        assert from_json(Result, storage.read_json(folder / "results" / f"{result.rung}.json")) == result
        rows = storage.read_jsonl(folder / "predictions" / f"{result.rung}.jsonl")
        answers = [from_json(Answer, row) for row in rows]
        assert [answer.example_id for answer in answers] == [row["id"] for row in test]
        assert sum(result.counts.values()) == len(test)
    events = storage.read_jsonl(folder / "events.jsonl")
    assert [event["event"] for event in events] == ["rung begins", "rung ends"] * 4
    assert not list(folder.rglob("*.tmp"))
    assert not list(folder.glob("checkpoints/*"))  # of no use once a rung is done
    assert not (folder / run_folder.LOCK).exists()


def test_what_was_asked_and_what_was_applied_are_both_kept(climbed: Climbed) -> None:
    written = yaml.safe_load((climbed.folder / "config.yaml").read_text())
    assert written["asked"].keys() == letters.FOUR.keys() | {"output"}
    assert (written["asked"]["budget"], written["applied"]["budget"]) == (None, None)
    assert (written["applied"]["seed"], written["applied"]["rank"]) == (0, 8)
    info = climbed.info
    assert info.applied["precision"] == "fp32"
    assert (info.applied["path"], info.applied["path_why"]) == ("fused", "fused, rung's own layers")
    assert info.applied["step_tokens"] == 200
    assert info.data["test_rows_used"] == len(storage.read_jsonl(climbed.folder / "test.jsonl"))
    assert info.machine["threads"] == 1
    assert {"rung", "python", "torch", "transformers"} <= info.versions.keys()
    assert info.finished >= info.started


def test_costs_add_up(climbed: Climbed) -> None:
    named = {result.rung: result for result in climbed.results}
    for result in climbed.results:
        cost = result.cost
        assert cost.seconds is not None
        assert cost.eval_seconds is not None
        assert cost.seconds + 1e-6 >= cost.eval_seconds + (cost.train_seconds or 0)
        assert cost.peak_memory_bytes
        assert (cost.money, cost.currency) == (None, "")
    assert named["zero-shot"].cost.train_seconds is None
    lora, full = named["lora"].cost, named["full"].cost
    assert lora.train_tokens == full.train_tokens == named["lora"].quote.train_tokens  # type: ignore[union-attr]
    assert lora.trainable_parameters < full.trainable_parameters  # type: ignore[operator]
    weights = climbed.folder / "adapters" / "lora" / "adapter_model.safetensors"
    assert lora.adapter_bytes == weights.stat().st_size
    assert climbed.info.seconds is not None
    assert climbed.info.seconds > sum(result.cost.seconds or 0 for result in climbed.results)


def test_money_is_measured_seconds_times_the_price(letters_csv: Path, tmp_path: Path) -> None:
    settings = letters.FAST | {"rungs": "zero-shot", "price_per_hour": 3600, "currency": "EUR"}
    (result,) = climb(letters_csv, output=tmp_path / "run", **settings).results
    assert result.cost.money == result.cost.seconds
    assert result.cost.currency == "EUR"


def test_prompting_forgets_nothing_and_tuning_is_measured(climbed: Climbed) -> None:
    for result in climbed.results:
        if result.method == "prompt":
            assert (result.forgetting, result.curve) == ((), ())
            continue
        kl, agreement = result.forgetting
        assert (kl.name, agreement.name) == ("kl", "top1_agreement")
        assert kl.value is not None
        assert kl.value > 0
        looks = [point.step for point in result.curve]
        assert looks[0] == 0
        assert looks == sorted(set(looks))
        assert result.choices[0].chosen == f"step {looks[-1]} of {looks[-1]}, by accuracy on 30 dev rows"


def test_after_a_climb_the_base_is_the_plain_base_for_the_next_rung(
    letters_csv: Path, tmp_path: Path, climbed: Climbed
) -> None:
    """Full fine-tuning after LoRA ends where full fine-tuning alone ends."""
    alone = climb(letters_csv, output=tmp_path / "run", **letters.FAST | {"rungs": "full"})
    here, there = (c.folder / "adapters" / "full" / "model.safetensors" for c in (alone, climbed))
    assert letters.digest(here) == letters.digest(there)


def test_the_same_command_again_runs_nothing_and_changes_nothing(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = climb(letters_csv, output=tmp_path / "run", **QUICK)
    before = tree(first.folder)

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("this was done before")

    for name in ("run_rung", "make_plan"):
        monkeypatch.setattr(climbing, name, forbidden)
    again = climb(letters_csv, output=tmp_path / "run", **QUICK)
    assert (again.results, again.verdict, again.info) == (first.results, first.verdict, first.info)
    assert tree(first.folder) == before


def test_settings_that_decide_nothing_may_change(letters_csv: Path, tmp_path: Path) -> None:
    settings = letters.FAST | {"rungs": "zero-shot"}
    first = climb(letters_csv, output=tmp_path / "run", **settings)
    again = climb(letters_csv, output=tmp_path / "run", **settings | {"checkpoint_seconds": 5})
    assert again.results == first.results
    with pytest.raises(ResumeError, match="other values of: seed"):
        climb(letters_csv, output=tmp_path / "run", **settings | {"seed": 1})
    other = letters.write_csv(tmp_path / "letters.csv", 100)
    with pytest.raises(ResumeError, match="other values of: data"):
        climb(other, output=tmp_path / "run", **settings)


def test_another_tolerance_draws_the_verdict_again_from_the_same_results(
    letters_csv: Path, tmp_path: Path
) -> None:
    settings = {"rungs": "constant,words", "output": str(tmp_path / "run")}
    first = climb(letters_csv, **settings)
    again = climb(letters_csv, tolerance=3.0, goal=101, volume=7, **settings)
    assert again.results == first.results
    assert (first.verdict.tolerance, again.verdict.tolerance) == (0.01, 0.03)
    assert again.verdict.volume == 7
    stored = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert stored["volume"] == 7


def test_a_run_says_when_it_began_and_when_it_ended(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = (f"2026-01-01T00:00:{second:02}Z" for second in range(60))
    monkeypatch.setattr(storage, "now", lambda: next(times))
    settings = QUICK | {"rungs": "constant", "output": tmp_path / "run"}
    first = climb(letters_csv, **settings).info
    assert first.started == "2026-01-01T00:00:00Z" < first.finished
    again = climb(letters_csv, **settings | {"rungs": "nearest"}).info
    assert again.started == first.started
    assert again.finished > first.finished


def test_a_failed_rung_is_a_row_with_its_reason_and_is_tried_again(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(*_: Any) -> Any:
        return 1 / 0

    with monkeypatch.context() as patch:
        patch.setattr(tuning.TunedResponder, "answer", answer)
        broken = climb(letters_csv, output=tmp_path / "run", **QUICK)
    zero, lora = broken.results
    assert (zero.status, lora.status) == ("ok", "failed")
    assert lora.reason == "ZeroDivisionError: division by zero"
    assert lora.primary is None
    assert lora.cost.seconds is None
    assert broken.verdict.recommended == "zero-shot"
    assert storage.read_jsonl(broken.folder / "predictions" / "lora.jsonl") == []
    failed = [e for e in storage.read_jsonl(broken.folder / "events.jsonl") if e["event"] == "rung failed"]
    assert "in answer" in failed[0]["trace"]

    mended = climb(letters_csv, output=tmp_path / "run", **QUICK)
    assert [result.status for result in mended.results] == ["ok", "ok"]
    assert mended.results[0] == zero
    assert mended.info.started == broken.info.started
    assert (mended.info.seconds or 0) > (broken.info.seconds or 0)


def test_memory_that_runs_out_in_a_rung_is_a_row_that_says_what_to_do(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(tuning.TunedResponder, "answer", fail)
        broken = climb(letters_csv, output=tmp_path / "run", **QUICK)
    zero, lora = broken.results
    assert (zero.status, lora.status) == ("ok", "failed")
    assert lora.reason.startswith("memory ran out. Close other programs and run the same command again")
    assert any(f"failed: {lora.reason}" in reason for reason in broken.verdict.reasons)
    mended = climb(letters_csv, output=tmp_path / "run", **QUICK)
    assert [result.status for result in mended.results] == ["ok", "ok"]


def test_a_users_error_is_the_reason_in_its_own_words(letters_csv: Path, tmp_path: Path) -> None:
    settings = letters.FAST | {"rungs": "zero-shot,few-shot", "shots": "500"}
    zero, few = climb(letters_csv, output=tmp_path / "run", **settings).results
    assert (zero.status, few.status) == ("ok", "failed")
    assert few.reason.startswith("no number of shots asked for (500) can be shown.")


def test_a_skipped_rung_says_why_and_costs_nothing(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = climbing.make_plan

    def without_lora(*given: Any) -> Any:
        plan = real(*given)
        return replace(plan, quotes=(plan.quotes[0], Quote("lora", fits=False, why="no time")))

    monkeypatch.setattr(climbing, "make_plan", without_lora)
    zero, lora = climb(letters_csv, output=tmp_path / "run", **QUICK).results
    assert (zero.status, lora.status, lora.reason) == ("ok", "skipped", "no time")
    assert lora.cost.seconds is None
    assert not (tmp_path / "run" / "adapters").exists()


def test_a_full_disk_stops_the_climb_and_the_same_command_goes_on(letters_csv: Path, tmp_path: Path) -> None:
    def fault(name: str, path: Path) -> None:
        if path.name == "adapter_model.safetensors" or path.parent.name == "adapters":
            raise no_space()

    storage.fault = fault
    with pytest.raises(ResourceError, match="No space left"):
        climb(letters_csv, output=tmp_path / "run", **QUICK)
    assert (tmp_path / "run" / "results" / "zero-shot.json").is_file()
    assert not (tmp_path / "run" / "results" / "lora.json").exists()
    assert not (tmp_path / "run" / run_folder.LOCK).exists()
    storage.fault = None
    climbed = climb(letters_csv, output=tmp_path / "run", **QUICK)
    assert [result.status for result in climbed.results] == ["ok", "ok"]


def test_a_second_climb_is_refused_and_the_first_ends(
    letters_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"rungs": "constant,words", "output": tmp_path / "run"}
    codes = []

    class Second(Silent):
        def begin(self, rung: str, phase: str) -> None:
            codes.append(cli.run(["climb", str(letters_csv), *letters.flags(**settings)]))

    first = climb(letters_csv, watcher=Second(), **settings)
    assert set(codes) == {7}
    said = capsys.readouterr().err.splitlines()[-1]
    assert "another process is using the run folder" in said
    assert f"Process {os.getpid()} on {socket.gethostname()} has held it since 2" in said
    assert said.endswith("Wait for it, or stop it.")
    assert [result.status for result in first.results] == ["ok", "ok"]


def test_a_disk_too_small_is_told_before_anything_runs(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "free_bytes", lambda _: 1000)
    with pytest.raises(ResourceError, match=r"GB of disk"):
        climb(letters_csv, output=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


def test_a_budget_too_small_leaves_no_folder_so_that_a_larger_one_can_be_given(
    letters_csv: Path, tmp_path: Path
) -> None:
    settings = letters.FAST | {"rungs": "zero-shot"}
    with pytest.raises(ResourceError, match="too small for any rung"):
        climb(letters_csv, output=tmp_path / "run", **settings | {"budget": "0.001s"})
    assert not (tmp_path / "run").exists()
    assert climb(letters_csv, output=tmp_path / "run", **settings | {"budget": "1h"}).results


def test_a_run_goes_on_in_the_number_format_it_began_with(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = letters.FAST | {"rungs": "zero-shot", "precision": "auto"}
    rates = {torch.bfloat16: 1.0, torch.float32: 9.0}
    monkeypatch.setattr(devices, "_rate", rates.__getitem__)
    first = climb(letters_csv, output=tmp_path / "run", **settings)
    assert first.info.applied["precision"] == "fp32"
    (tmp_path / "run" / "results" / "zero-shot.json").unlink()
    rates[torch.bfloat16] = 99.0
    asked: list[torch.dtype] = []
    real = prompting.choose

    def choose(prepared: Prepared, *more: Any) -> Any:
        asked.append(prepared.base.dtype)
        return real(prepared, *more)

    monkeypatch.setattr(prompting, "choose", choose)
    again = climb(letters_csv, output=tmp_path / "run", **settings)
    assert asked == [torch.float32]
    assert again.info.applied["precision"] == "fp32"
    assert again.results[0].metrics == first.results[0].metrics


def test_an_exact_run_goes_on_with_the_threads_it_began_with(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = letters.FAST | {"rungs": "zero-shot", "threads": None}
    before = torch.get_num_threads()
    used: list[int] = []
    real = prompting.choose

    def choose(*all_: Any) -> Any:
        used.append(torch.get_num_threads())
        return real(*all_)

    monkeypatch.setattr(prompting, "choose", choose)
    try:
        torch.set_num_threads(1)
        climb(letters_csv, output=tmp_path / "run", **settings)
        torch.set_num_threads(2)
        (tmp_path / "run" / "results" / "zero-shot.json").unlink()
        climb(letters_csv, output=tmp_path / "run", **settings)
        assert used == [1, 1]
    finally:
        torch.set_num_threads(before)


def test_a_config_file_and_keyword_settings_meet(letters_csv: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("base: tiny\nbudget: none\nrungs: [zero-shot]\nthreads: 1\nseed: 5\nmax-test: 10\n")
    climbed = climb(letters_csv, config, output=tmp_path / "run", seed=6)
    assert climbed.info.asked["seed"] == 6
    assert climbed.info.data["test_rows_used"] == 10
    assert os.fspath(tmp_path) not in json.dumps(climbed.info.applied)


def test_a_rung_that_cannot_be_timed_is_a_row_and_is_timed_again(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def fail(*_: Any) -> Any:
        raise RuntimeError("no step")

    with monkeypatch.context() as patch:
        patch.setattr(quoting.Trainer, "steps", fail)
        broken = climb(letters_csv, output=tmp_path / "run", **QUICK)
    zero, lora = broken.results
    assert (zero.status, lora.status) == ("ok", "failed")
    assert lora.reason == "it could not be timed: RuntimeError: no step"
    assert broken.verdict.recommended == "zero-shot"

    mended = climb(letters_csv, output=tmp_path / "run", **QUICK)
    assert [result.status for result in mended.results] == ["ok", "ok"]
    assert mended.results[0] == zero
    quote = mended.results[1].quote
    assert quote is not None
    assert (quote.fits, quote.test_rows) == (True, zero.quote.test_rows if zero.quote else None)


def test_a_climb_without_a_base_imports_no_torch(letters_csv: Path, tmp_path: Path) -> None:
    settings = {"rungs": "constant,words", "output": str(tmp_path / "run")}
    code = (
        f"import sys, rung\nrung.climb({str(letters_csv)!r}, **{settings!r})\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(climbing.__file__).parents[2])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    facts = json.loads((tmp_path / "run" / "run.json").read_text())["machine"]
    assert "threads" not in facts
    assert facts["cores"] == os.cpu_count()


# --- with a budget: speeds are made up, so that no test depends on a clock ------------------------------


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Speeds that are made up; what is in the run folder when they are asked for."""
    seen: list[Path] = []

    def timing(prepared: Prepared, *_: Any, watcher: Any, **__: Any) -> Any:
        if isinstance(watcher, Looking):
            seen.extend(sorted(watcher.folder.glob("results/*.json")))
        return SLOW

    monkeypatch.setattr(quoting, "Timing", timing)
    return seen


class Looking(Silent):
    """Knows the run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


class StoppingAt(Looking):
    """Presses Ctrl-C in the second step of LoRA."""

    def step(self, done: int, total: int, loss: float, tokens_per_second: float, seconds_left: float) -> None:
        if done == 2:
            raise KeyboardInterrupt


BUDGET = letters.FAST | {"budget": "1h", "epochs": None}


def plan_of(folder: Path) -> Plan:
    return from_json(Plan, storage.read_json(folder / "plan.json"))


def test_rungs_without_a_base_have_run_before_anything_is_timed(
    letters_csv: Path, tmp_path: Path, timed: list[Path]
) -> None:
    settings = BUDGET | {"rungs": "constant,words,zero-shot"}
    run = tmp_path / "run"
    climbed = climb(letters_csv, output=run, watcher=Looking(run), **settings)
    assert [path.stem for path in timed] == ["constant", "words"]
    assert [result.rung for result in climbed.results] == ["constant", "words", "zero-shot"]
    assert {sum(result.counts.values()) for result in climbed.results} == {40}


def test_a_stop_while_timing_keeps_the_rungs_that_have_run(
    letters_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = BUDGET | {"rungs": "constant,zero-shot"}
    with monkeypatch.context() as patch:
        patch.setattr(quoting, "Timing", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            climb(letters_csv, output=tmp_path / "run", **settings)
    first = from_json(Result, storage.read_json(tmp_path / "run" / "results" / "constant.json"))
    assert [quote.rung for quote in plan_of(tmp_path / "run").quotes] == ["constant"]
    monkeypatch.setattr(quoting, "Timing", lambda *_, **__: SLOW)
    again = climb(letters_csv, output=tmp_path / "run", **settings)
    assert again.results[0] == first
    assert again.results[1].status == "ok"


def test_a_rung_that_has_begun_keeps_its_plan_after_a_stop(
    letters_csv: Path, tmp_path: Path, timed: list[Path]
) -> None:
    settings = BUDGET | {"rungs": "zero-shot,lora", "checkpoint_seconds": 1e-3}
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        climb(letters_csv, output=run, watcher=StoppingAt(run), **settings)
    stopped = plan_of(run)
    assert stopped.begun == ("zero-shot", "lora")
    assert list((run / "checkpoints" / "lora").glob("step-*"))
    lora = climb(letters_csv, output=run, watcher=Looking(run), **settings).results[1]
    assert (lora.status, lora.reason, lora.quote) == ("ok", "", stopped.quote("lora"))
    assert any(note.startswith("continued from the checkpoint at step 2") for note in lora.notes)


def test_the_plan_is_made_again_before_a_rung_and_a_second_look_may_skip_it(
    letters_csv: Path, tmp_path: Path, timed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        """Jumps to the end of the budget when LoRA has trained."""

        def __init__(self, before: float = 0.0) -> None: ...

        @property
        def seconds(self) -> float:
            return 3599.0 if (tmp_path / "run" / "results" / "lora.json").exists() else 1.0

    watcher = Looking(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr("rung.ladder.climb.cost.Stopwatch", Clock)
        climbed = climb(
            letters_csv, output=tmp_path / "run", watcher=watcher, **BUDGET | {"rungs": "lora,full"}
        )
    lora, full = climbed.results
    assert (lora.status, full.status) == ("ok", "skipped")
    assert re.match(r"it does not fit into the budget; about 1 h 0[0-3] min would do", full.reason)
    assert watcher.lines[-1].startswith("full is left out after checking the time again")
    assert plan_of(climbed.folder).quote("full").fits is False


def test_the_rates_that_a_rung_showed_are_in_the_plan_of_the_next(
    letters_csv: Path, tmp_path: Path, timed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(climbing, "pace_of", lambda quote, result: climbing.Pace(2.0, 4.0))
    climbed = climb(
        letters_csv,
        output=tmp_path / "run",
        watcher=Looking(tmp_path / "run"),
        **BUDGET | {"rungs": "zero-shot,lora"},
    )
    rates = plan_of(climbed.folder).rates
    assert rates is not None
    assert rates.prefill == SLOW.prefill / 4
    assert rates.train["lora"].tokens_per_second == SLOW.train["lora"].tokens_per_second / 2


def test_test_rows_with_rules_need_no_answer(tmp_path: Path) -> None:
    train = [{"prompt": f"say {word}", "completion": f"{word} {word}"} for word, _ in letters.rows(60, 7)]
    test = [
        {"prompt": f"Write {n} words", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
        for n in range(25)
    ]
    test[3] |= {"instruction_id_list": ["no:rule"]}
    test[4] |= {"kwargs": [{"num_words": 3}]}
    held_out = letters.write_jsonl(tmp_path / "rules.jsonl", test)
    climbed = climb(
        letters.write_jsonl(tmp_path / "train.jsonl", train),
        test=held_out,
        output=tmp_path / "run",
        **QUICK | {"rungs": "constant,zero-shot,lora"},
    )
    assert climbed.info.task.kind == "instructions"
    assert {one.rung: one.status for one in climbed.results} == dict.fromkeys(
        ("constant", "zero-shot", "lora"), "ok"
    )
    assert all(one.primary is not None and one.primary.n == 23 for one in climbed.results)
    assert climbed.results[0].primary is not None
    assert climbed.results[0].primary.value == 1  # a constant answer has no comma either
    bad = {group["why"]: group["rows"] for group in climbed.info.data["left_out"]}
    assert bad == {
        "its rules cannot be checked: there is no rule 'no:rule'": [4],
        "its rules cannot be checked: punctuation:no_comma takes no 'num_words'": [5],
    }


def test_a_mixture_is_learned_and_answers_are_compared_with_the_base(tmp_path: Path) -> None:
    words = letters.rows(80, 7)
    rows = [
        {"prompt": f"say {word}", "completion": f"{word} {word}", "source": "big" if n % 8 else "small"}
        for n, (word, _) in enumerate(words)
    ]
    data = letters.write_jsonl(tmp_path / "x.jsonl", rows)
    climbed = climb(data, output=tmp_path / "run", mix="temperature", **QUICK | {"rungs": "zero-shot,lora"})
    assert any("come again" in line for line in climbed.info.data["warnings"])
    prompted, tuned = climbed.results
    assert {"answer_nats", "base_answer_nats", "likelihood_wins"} <= {one.name for one in tuned.metrics}
    assert "likelihood_wins" not in {one.name for one in prompted.metrics}
    learned = [json.loads(line) for line in (tmp_path / "run" / "data.jsonl").read_text().splitlines()]
    ids = [row["example"]["id"] for row in learned if row["part"] == "train"]
    assert len(ids) == len(set(ids))
    assert any("-2" in one for one in ids)
