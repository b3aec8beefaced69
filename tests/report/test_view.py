"""The view of a run folder: read once, checked, in ladder order."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from rung.errors import DataError, ResumeError
from rung.records import Result
from rung.report.view import load_view


def test_rows_are_in_ladder_order_with_text_for_every_number(tickets: Path) -> None:
    view = load_view(tickets)
    assert [rung.name for rung in view.rungs] == ["zero-shot", "few-shot", "lora", "full"]
    lora = view.rungs[2]
    assert lora.recommended
    assert (lora.train, lora.total, lora.forgot) == ("4 min 50 s", "6 min 2 s", "0.012")
    assert (lora.memory, lora.parameters, lora.adapter, lora.money) == (
        "2.3 GB",
        "4.9 M",
        "19.6 MB",
        "0.04 USD",
    )
    assert lora.quality.count(" to ") == 1
    assert view.rungs[0].train == view.rungs[0].forgot == view.rungs[0].adapter == "-"
    assert view.rungs[0].missed.endswith(" unparsed")
    assert lora.missed == "0"
    assert (view.metric, view.metric_unit) == ("accuracy", "%")
    assert (view.before, view.after) == ("few-shot", "lora")
    assert len(view.examples) == 60
    assert all(len(rows) == 60 for rows in view.answers.values())


def test_failed_rung_is_a_row_with_its_reason(receipts: Path) -> None:
    full = load_view(receipts).rungs[-1]
    assert (full.name, full.ok, full.quality, full.total) == ("full", False, "failed", "-")
    assert full.notes == ("full fine-tuning needs 3.2 GB and 1.9 GB are free",)
    assert "full" not in load_view(receipts).answers


def test_run_without_a_verdict(tickets: Path) -> None:
    (tickets / "verdict.json").unlink()
    (tickets / "results" / "full.json").unlink()
    view = load_view(tickets)
    assert not view.finished
    assert view.recommended is None
    assert "3 rungs have a result" in view.sentence
    assert view.after == "lora"


def test_run_that_has_only_begun(tickets: Path) -> None:
    for path in [*(tickets / "results").iterdir(), *(tickets / "predictions").iterdir()]:
        path.unlink()
    (tickets / "verdict.json").unlink()
    (tickets / "test.jsonl").unlink()
    view = load_view(tickets)
    assert view.rungs == ()
    assert view.sentence == "No rung has finished yet."
    assert view.judge is None


def test_not_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a run folder"):
        load_view(tmp_path)


def test_bad_records_name_the_file_and_line(tickets: Path) -> None:
    path = tickets / "predictions" / "lora.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], json.dumps({"example_id": 3})]))
    with pytest.raises(ResumeError, match=r"lora\.jsonl, line 3"):
        load_view(tickets)
    path.write_text("{")
    with pytest.raises(ResumeError, match=r"lora\.jsonl: line 1 is not JSON"):
        load_view(tickets)
    (tickets / "results" / "lora.json").write_text("[]")
    with pytest.raises(ResumeError, match=r"lora\.json: Result"):
        load_view(tickets)


def test_predictions_are_found_by_the_name_of_the_file(fake: ModuleType, tickets: Path) -> None:
    """A rung name with a path in it reads nothing outside the folder."""
    fake.write(
        tickets / "results" / "evil.json",
        Result("../../secret", "lora", "failed", 9, "base", "0", reason="no"),
    )
    (tickets.parent / "secret.jsonl").write_text("{}")
    assert "../../secret" not in load_view(tickets).answers


def test_lower_is_better_picks_the_lowest(fake: ModuleType, tickets: Path) -> None:
    (tickets / "verdict.json").unlink()
    for path in (tickets / "results").iterdir():
        value = json.loads(path.read_text())
        value["primary"]["higher_is_better"] = False
        path.write_text(json.dumps(value))
    view = load_view(tickets)
    assert view.before == "zero-shot"
    assert not view.higher_is_better


def test_a_rung_that_was_cut_short_shows_its_numbers_and_how_far_it_came(tickets: Path) -> None:
    path = tickets / "results" / "full.json"
    whole = load_view(tickets).rungs[-1]
    value = json.loads(path.read_text()) | {"status": "unfinished", "done": 0.12}
    path.write_text(json.dumps(value))
    full = load_view(tickets).rungs[-1]
    assert full.quality == f"{whole.quality}, not finished (12%)"
    assert not full.ok
    path.write_text(
        json.dumps(value | {"needs_seconds": 5400.0, "reason": "12% of a fair training was done"})
    )
    assert load_view(tickets).rungs[-1].notes[:2] == (
        "12% of a fair training was done",
        "a budget of 1 h 30 min would finish it",
    )


def test_a_rung_that_was_stopped_before_it_could_answer_shows_what_it_spent(tickets: Path) -> None:
    path = tickets / "results" / "full.json"
    value = json.loads(path.read_text()) | {
        "status": "unfinished",
        "primary": None,
        "cost": {"seconds": 65.0},
    }
    path.write_text(json.dumps(value))
    full = load_view(tickets).rungs[-1]
    assert (full.quality, full.making, full.thousand) == ("not finished", "1 min 5 s", "-")


def _kinds(folder: Path, **kinds: str) -> None:
    for rung, kind in kinds.items():
        path = folder / "results" / f"{rung.replace('_', '-')}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"kind": kind}))


def test_a_recommended_rung_that_is_not_tuned_is_held_against_the_best_other(tickets: Path) -> None:
    _kinds(tickets, zero_shot="floor", few_shot="probe", lora="tune", full="tune")
    path = tickets / "verdict.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"recommended": "few-shot"}))
    view = load_view(tickets)
    assert (view.before, view.after) == ("full", "few-shot")


def test_the_floor_is_held_against_nothing(tickets: Path) -> None:
    _kinds(tickets, zero_shot="classical", few_shot="classical", lora="floor", full="classical")
    (tickets / "verdict.json").unlink()
    view = load_view(tickets)
    assert (view.before, view.after) == ("few-shot", "full")


def test_the_bound_and_the_best_prompt(tickets: Path, add_forgetting: Callable[[Path], None]) -> None:
    view = load_view(tickets)
    assert view.max_forgetting is None
    assert view.best_prompting is view.find("few-shot")
    add_forgetting(tickets)
    assert load_view(tickets).max_forgetting == 0.1
    (tickets / "verdict.json").unlink()
    assert load_view(tickets).best_prompting.name == "few-shot"  # type: ignore[union-attr]
    for rung in ("zero-shot", "few-shot"):
        (tickets / "results" / f"{rung}.json").unlink()
    assert load_view(tickets).best_prompting is None
