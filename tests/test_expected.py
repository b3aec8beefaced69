"""What is expected of a rung: the same record from both modules, and on disk."""

from __future__ import annotations

from rung import records
from rung.expected import Forecast, Point, Quote
from rung.records import Result, from_json, to_json


def test_they_are_records_like_the_others() -> None:
    assert (records.Quote, records.Forecast, records.Point) == (Quote, Forecast, Point)


def test_a_forecast_survives_the_way_to_disk_in_its_result() -> None:
    found = Forecast(0.5, 0.4, 0.6, 0.02, (0.1, 0.2), (Point(10, 0.3, 0.1),), "probe", 0.7, (0.55, 0.4, 0.7))
    result = Result("lora", "lora", "skipped", 7, "tiny", "ab", forecast=found, quote=Quote("lora", False))
    assert from_json(Result, to_json(result)) == result


def test_results_from_before_there_were_forecasts_can_be_read() -> None:
    old = to_json(Result("lora", "lora", "ok", 7, "tiny", "ab"))
    del old["forecast"], old["dev"]
    found = from_json(Result, old)
    assert (found.forecast, found.dev) == (None, None)


def test_a_quote_that_a_later_plan_cannot_change() -> None:
    assert not Quote("lora", True).settled
    assert Quote("lora", False, failed=True).settled
    assert Quote("lora", False, screened=True).settled
