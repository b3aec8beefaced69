"""The page's tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from rung.report import tables
from rung.report.view import load_view


def test_ladder_leaves_out_columns_without_a_number(tickets: Path) -> None:
    full = tables.ladder(load_view(tickets))
    assert "forgot, nats/token" in full.head
    assert full.marked == 2
    assert all(len(row) == len(full.head) for row in full.rows)
    for path in (tickets / "results").iterdir():
        path.write_text(json.dumps(json.loads(path.read_text()) | {"forgetting": []}))
    assert "forgot, nats/token" not in tables.ladder(load_view(tickets)).head


def test_ladder_shows_both_costs_and_the_total(tickets: Path) -> None:
    table = tables.ladder(load_view(tickets))
    place = table.head.index("cost to make")
    assert table.head[place : place + 3] == ("cost to make", "1,000 answers", "made, and 10,000 answers")
    lora = table.rows[2]
    assert lora[place : place + 3] == (
        "5 min 26 s\n0.04 USD",
        "10 min 3 s\n0.07 USD",
        "1 h 46 min\n0.71 USD",
    )
    run = tickets / "run.json"
    value = json.loads(run.read_text())
    value["applied"]["volume"] = 500
    run.write_text(json.dumps(value))
    assert "made, and 500 answers" in tables.ladder(load_view(tickets)).head


def test_a_run_from_before_the_two_costs_shows_times_and_money(tickets: Path) -> None:
    for path in (tickets / "results").iterdir():
        value = json.loads(path.read_text())
        value["cost"] |= {"answer_seconds": None, "answer_money": None, "answers": 0}
        path.write_text(json.dumps(value))
    head = tables.ladder(load_view(tickets)).head
    assert {"train", "total", "money"} <= set(head)
    assert "cost to make" not in head


def test_rungs_are_grouped_by_what_answers(tickets: Path) -> None:
    groups = tables.ladder(load_view(tickets)).groups
    assert groups == ("the base as it is", "the base as it is", "the base, tuned", "the base, tuned")
    for path in (tickets / "results").iterdir():
        path.write_text(json.dumps(json.loads(path.read_text()) | {"kind": "classical"}))
    assert tables.ladder(load_view(tickets)).groups == ()


def test_details_of_each_rung(tickets: Path) -> None:
    table = tables.details(load_view(tickets))
    assert table.head == (
        "rung",
        "test rows",
        "tokens an answer",
        "peak memory",
        "trained parameters",
        "adapter",
        "format misses",
    )
    assert table.rows[1][1:3] == ("60", "1,460 (2 written)")


def test_regret_and_chance_stand_in_the_ladder_where_there_are_some(
    tickets: Path, add_regrets: Callable[[Path], None]
) -> None:
    assert "regret, points" not in tables.ladder(load_view(tickets)).head
    add_regrets(tickets)
    table = tables.ladder(load_view(tickets))
    place = table.head.index("regret, points")
    assert table.head[place + 1] == "chance within 1 point"
    cells = {row[0]: row[place : place + 2] for row in table.rows}
    assert cells["few-shot"] == ("23.3", "<1%")
    assert cells["lora"] == ("0.4", "96%")
    assert cells["zero-shot"] == ("-", "-")


def test_highlights_are_of_the_recommended_rung(tickets: Path) -> None:
    found = {label: figure for label, figure, _ in tables.highlights(load_view(tickets))}
    assert found["over few-shot"] == "+23.3 points"
    assert (found["to make"], found["1,000 answers"]) == ("5 min 26 s", "10 min 3 s")
    assert found["forgot"] == "0.012"
    (tickets / "verdict.json").unlink()
    assert tables.highlights(load_view(tickets)) == ()


def test_comparisons_quotes_choices_and_drift(tickets: Path) -> None:
    view = load_view(tickets)
    assert tables.comparisons(view).rows[0] == (
        "lora minus few-shot",
        "+23.3 (11.7 to 35.0)",
        "exact McNemar",
        "<0.001",
        "yes",
        "-",
    )
    quotes = tables.quotes(view)
    assert quotes.rows[2][:3] == ("lora", "5 min 26 s", "6 min 2 s")
    assert all(len(row) == len(quotes.head) for row in quotes.rows)
    assert tables.choices(view).rows[0] == ("few-shot", "k", "8", "2: 0.552; 4: 0.583; 8: 0.642; 16: -")
    drift = tables.forgetting(view)
    assert drift.head == ("rung", "drift (KL), nats/token", "same next token, %")
    assert [row[0] for row in drift.rows] == ["lora", "full"]


def test_quotes_have_ranges(tickets: Path, add_forgetting: Callable[[Path], None]) -> None:
    assert tables.quotes(load_view(tickets)).rows[2][1] == "5 min 26 s"
    add_forgetting(tickets)
    lora = tables.quotes(load_view(tickets)).rows[2]
    assert lora[1] == "5 min 26 s (4 min 4 s to 6 min 47 s)"
    assert lora[3] == "1.3 GB (1.2 GB to 1.7 GB)"


def test_forecasts_stand_next_to_what_was_measured(
    tickets: Path, add_forgetting: Callable[[Path], None]
) -> None:
    assert not tables.forecasts(load_view(tickets))
    add_forgetting(tickets)
    path = tickets / "results" / "full.json"
    skipped = json.loads(path.read_text()) | {"status": "skipped", "primary": None, "dev": None}
    path.write_text(json.dumps(skipped))
    table = tables.forecasts(load_view(tickets))
    assert table.head[1] == "forecast on dev, % (80% interval)"
    lora, full = table.rows
    assert lora[:4] == ("lora", "85.0 (80.0 to 90.0)", "-", "87.5 (81.0 to 93.0)")
    assert lora[5:] == ("93%", "few-shot, 62.0")
    assert full[1:5] == ("85.0 (80.0 to 90.0)", "-", "-", "skipped")  # on the scale of the other rungs


def test_how_the_base_was_kept_and_every_strength(
    tickets: Path, add_forgetting: Callable[[Path], None]
) -> None:
    view = load_view(tickets)
    assert not tables.keeping(view)
    assert not tables.strengths(view)
    add_forgetting(tickets)
    view = load_view(tickets)
    assert tables.keeping(view).rows == (
        ("lora", "0.43", "1", "0", "64", "0.1"),
        ("full", "1.00", "1", "0", "64", "0.1"),
    )
    assert tables.strengths(view).rows == (
        ("lora", "0.43", "0.512", "0.012", "yes"),
        ("lora", "1.00", "0.508", "0.200", "no"),
    )


def test_how_training_was_made_fast_and_why_a_way_was_off(tickets: Path) -> None:
    rows = tables.mechanisms(load_view(tickets)).rows
    assert rows[:2] == (
        ("lora", "shared prefixes", "on", "18% of the tokens were already computed for another row"),
        ("lora", "cached trunk", "off", "the first layer is trained too"),
    )
    assert {row[0] for row in rows} == {"lora", "full"}


def test_settings_as_asked_and_as_applied() -> None:
    table = tables.settings({"epochs": None, "rank": 8}, {"epochs": 3.0, "rank": 8, "seed": 0})
    assert table.rows == (("epochs", "-", "3"), ("rank", "8", "8"), ("seed", "-", "0"))


def test_one_metric_needs_no_table(tickets: Path) -> None:
    assert tables.metrics(load_view(tickets)).head == ("rung", "accuracy, %", "macro F1, %")
    for path in (tickets / "results").iterdir():
        path.write_text(path.read_text().replace('"macro_f1"', '"accuracy"'))
    assert not tables.metrics(load_view(tickets))


def test_rows_left_out_are_counted_by_reason(tickets: Path) -> None:
    table = tables.left_out(load_view(tickets))
    assert table.rows[0] == ("2", "its target is empty", "tickets.jsonl", "7, 9")
    count, why, file, which = table.rows[1]
    assert (count, why, file) == ("1,000", "longer than 512 tokens", "test.jsonl")
    assert which.endswith("59, 60 and 940 more")


def test_a_run_without_such_facts_has_an_empty_table(tickets: Path) -> None:
    run = tickets / "run.json"
    value = json.loads(run.read_text())
    for name in ("parts", "left_out", "warnings"):
        value["data"].pop(name)
    run.write_text(json.dumps(value))
    view = load_view(tickets)
    assert not tables.left_out(view)
    assert (view.parts, view.warnings) == ("", ())


def test_facts_that_are_shown_apart_are_not_shown_twice(tickets: Path) -> None:
    names = {name for name, _ in tables.data_facts(load_view(tickets))}
    assert "file" in names
    assert not names & {"parts", "left out", "warnings"}
