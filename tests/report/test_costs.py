"""Total cost at a volume, and from where on another rung is the cheaper one."""

from __future__ import annotations

import pytest

from rung.records import Cost, Measure, Result
from rung.report.costs import Line, break_evens, costs, efficient, sentences

WORDS = Line("words", 1.0, 0.001, 0.6)
FEW = Line("few-shot", 60.0, 1.4, 0.7)
LORA = Line("lora", 300.0, 0.3, 0.8)


def _result(rung: str, making: float, each: float, value: float | None = 0.5, **more: object) -> Result:
    cost = Cost(seconds=making + 50 * each, answer_seconds=50 * each, answers=50)
    measure = None if value is None else Measure("accuracy", value)
    return Result(rung, rung, "ok", 0, "tiny", "0", primary=measure, cost=cost, **more)  # type: ignore[arg-type]


def test_two_lines_cross_where_both_cost_the_same() -> None:
    (point,) = break_evens([WORDS, FEW, LORA])
    assert (point.first, point.second) == (FEW, LORA)
    assert point.volume == pytest.approx(240 / 1.1)
    assert point.cost == pytest.approx(LORA.at(point.volume))
    assert FEW.at(point.volume - 1) < LORA.at(point.volume - 1)
    assert FEW.at(point.volume + 1) > LORA.at(point.volume + 1)
    assert sentences([point]) == ("few-shot is cheaper than lora up to 220 answers",)


def test_a_rung_that_is_beaten_in_everything_takes_no_part() -> None:
    slow_and_bad = Line("zero-shot", 70.0, 1.5, 0.4)
    assert efficient([WORDS, FEW, LORA, slow_and_bad]) == [WORDS, FEW, LORA]
    assert len(break_evens([WORDS, FEW, LORA, slow_and_bad])) == 1


def test_equal_rungs_both_stay_and_an_unknown_quality_beats_nothing() -> None:
    twin = Line("twin", FEW.making, FEW.each, FEW.quality)
    assert efficient([FEW, twin]) == [FEW, twin]
    unknown = Line("unknown", 0.0, 0.0, None)
    assert efficient([FEW, unknown]) == [FEW, unknown]


def test_the_floor_beats_others_but_is_not_listed() -> None:
    floor = Line("constant", 0.0, 0.0, 0.65, floor=True)
    assert efficient([floor, WORDS, FEW]) == [FEW]


def test_lines_that_cross_before_the_first_answer_or_never_are_not_named() -> None:
    near = Line("near", 60.5, 0.1, 0.9)
    assert break_evens([FEW, near]) == []
    expensive = Line("expensive", 400.0, 0.3, 0.9)
    assert break_evens([LORA, expensive]) == []


def test_costs_are_in_seconds_unless_every_rung_has_a_price() -> None:
    one, two = _result("a", 10.0, 0.5), _result("b", 20.0, 0.1, 0.7)
    found = costs([one, two])
    assert found.currency is None
    assert [(line.rung, line.making, line.each) for line in found.lines] == [
        ("a", pytest.approx(10.0), pytest.approx(0.5)),
        ("b", pytest.approx(20.0), pytest.approx(0.1)),
    ]
    assert found.text(found.lines[0].at(100)) == "1 min"


def test_money_is_counted_where_it_is_known() -> None:
    cost = Cost(seconds=100.0, answer_seconds=50.0, answers=50, money=2.0, answer_money=0.5, currency="EUR")
    found = costs([Result("a", "a", "ok", 0, "tiny", "0", cost=cost)])
    assert (found.currency, found.unit) == ("EUR", "EUR")
    assert found.lines[0].at(1000) == pytest.approx(1.5 + 10.0)
    assert found.text(11.5) == "11.50 EUR"


def test_unfinished_and_unmeasured_rungs_have_no_line() -> None:
    cut = _result("cut", 1.0, 1.0)
    cut = Result("cut", "cut", "unfinished", 0, "tiny", "0", primary=cut.primary, cost=cut.cost)
    old = Result("old", "old", "ok", 0, "tiny", "0", cost=Cost(seconds=5.0))
    assert costs([cut, old]).lines == ()


def test_lower_is_better_turns_quality_round() -> None:
    unknown = _result("a", 1.0, 1.0, None)
    measure = Measure("loss", 0.1, higher_is_better=False)
    known = Result("b", "b", "ok", 0, "tiny", "0", primary=measure, cost=unknown.cost)
    assert [line.quality for line in costs([unknown, known]).lines] == [None, -0.1]
