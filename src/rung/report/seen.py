"""What a score on rows with names, such as APIs, is read next to: the best constant answer, and how many test
rows ask for what train rows show."""

from __future__ import annotations

from rung import numbers
from rung.records import Measure, Result
from rung.report.view import View


def sentences(view: View) -> tuple[str, ...]:
    """How many test rows have their API in train, what a constant answer scores, and the scores on both parts
    of the rows; empty for tasks that name nothing."""
    seen = view.info.data.get("seen")
    if not isinstance(seen, dict):
        return ()
    what, rows, of = numbers.one_line(str(seen["what"])), int(seen["rows"]), int(seen["of"])
    first = f"{what} seen in train: {numbers.count(rows)} of {numbers.count(of)} test rows"
    floor = next((r.result for r in view.rungs if r.result.kind == "floor" and r.result.primary), None)
    if floor is not None and floor.primary is not None:
        first += f"; the best constant answer: {numbers.named(floor.primary)}"
    apart = [f"{rung.name} {one}" for rung in view.rungs if rung.ok and (one := _apart(rung.result, what))]
    if not apart:
        return (f"{first}.",)
    return (f"{first}.", f"Score where the {what} is in train / is not: {'; '.join(apart)}.")


def _apart(result: Result, what: str) -> str:
    """``45.2 / 10.0``; empty where the rung has not both."""
    found = {measure.name.rpartition(f", {what} ")[2]: measure for measure in result.metrics}
    if "in train" not in found or "not in train" not in found:
        return ""
    return f"{_short(found['in train'])} / {_short(found['not in train'])}"


def _short(measure: Measure) -> str:
    return numbers.ABSENT if measure.value is None else numbers.tenth(measure.value * numbers.factor(measure))
