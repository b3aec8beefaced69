"""What a verdict says where most rows have one label: accuracy alone would praise one answer to all rows."""

from __future__ import annotations

from rung import numbers
from rung.evaluation.tasks.classification import SKEWED
from rung.ladder.case import Case, title
from rung.records import Measure, Result

SAME = 0.005  # difference of two shares below which a rung is no better than one label for every row


def about_skew(case: Case) -> list[str]:
    """Sentences on macro F1 next to accuracy; none where labels are balanced or nothing answers one label."""
    floor = next((one for one in case.results.values() if one.kind == "floor" and one.status == "ok"), None)
    if case.task.kind != "classification" or floor is None:
        return []
    accuracy, macro = _shares(floor)
    if accuracy is None or macro is None or accuracy < SKEWED:
        return []
    measured = {
        title(one): found
        for one in case.results.values()
        if one.status == "ok" and one.kind != "floor" and None not in (found := _shares(one))
    }
    if not measured:
        return []
    shown = numbers.listed([f"{name} {_percent(one)}" for name, (_, one) in measured.items()])
    by_it = "" if case.task.primary == "macro_f1" else "; --metric macro_f1 compares by it"
    said = [
        f"One label for every row is right in {_percent(accuracy)} of the test rows and has a macro F1 of "
        f"{_percent(macro)}, so macro F1 says more: {shown}{by_it}."
    ]
    for name, (right, one) in measured.items():
        if right is not None and one is not None and abs(right - accuracy) < SAME and one - macro < SAME:
            said.append(f"{numbers.capital(name)} does no better than one label for every row.")
    return said


def _shares(result: Result) -> tuple[float | None, float | None]:
    """Accuracy and macro F1."""
    found: dict[str, Measure] = {one.name: one for one in result.metrics}
    accuracy, macro = found.get("accuracy"), found.get("macro_f1")
    return accuracy.value if accuracy else None, macro.value if macro else None


def _percent(share: float | None) -> str:
    return f"{numbers.tenth(100 * (share or 0.0))}%"
