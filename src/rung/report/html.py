"""report.html: one self-contained file that opens from disk and never executes text that a model wrote.

All text from outside goes through Jinja's autoescape or, for the rows, through JSON into ``textContent``; the
content security policy allows the page's own script by its hash and no request at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from rung import numbers
from rung.report import charts, drawing, forgetting, mistakes, seen, tables
from rung.report.costs import break_evens, sentences
from rung.report.view import Rung, View, drift_of, load_view
from rung.storage import write_file

NAME = "report.html"
_JSON_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def write_report(run_folder: Path) -> Path:
    """Write ``report.html`` into a run folder and return its path.

    Raises `DataError` where the folder cannot be read and `ResourceError` where it cannot be written to.
    """
    path = run_folder / NAME
    write_file(path, render(load_view(run_folder)).encode("utf-8", "replace"))
    return path


def render(view: View) -> str:
    """The page as text; the same view gives the same bytes."""
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    quality, of = _quality_charts(view)
    template = environment.from_string(_asset("page.html.j2"))
    return template.render(
        view=view,
        info=view.info,
        verdict=view.verdict,
        numbers=numbers,
        tables=tables,
        colours={rung.result.rung: drawing.colour_of(i) for i, rung in enumerate(view.rungs)},
        style=Markup(_asset("page.css")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        quality_charts=quality,
        quality_of=of,
        shapes=_shapes(view),
        cost_charts=_cost_charts(view),
        seen=seen.sentences(view),
        break_evens=sentences(break_evens(view.costs.lines)),
        curve_charts=_curve_charts(view),
        forgetting_charts=_forgetting_charts(view),
        strength_charts=_strength_charts(view),
        confusions=_confusions(view),
        field_tables=_field_tables(view),
        call_tables=_call_tables(view),
        label_tables=_label_tables(view),
        rows_json=_rows_json(view),
        opening=mistakes.shared_opening(view.examples),
        unshown=max(0, len(view.examples) - mistakes.ROW_CAP),
    )


def safe_json(value: Any) -> str:
    """JSON that can stand inside a script element: ``<``, ``>``, ``&`` and line separators are escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_JSON_ESCAPES)


def _asset(name: str) -> str:
    return files("rung.report").joinpath(name).read_text(encoding="utf-8")


def _quality_charts(view: View) -> tuple[tuple[Markup, Markup] | None, str]:
    """Wide and narrow, and what the time is of: all answers where that is known of every rung."""
    shown = [(place, rung) for place, rung in enumerate(view.rungs) if rung.ok and rung.result.primary]
    all_known = all(rung.result.cost.at(view.volume) is not None for _, rung in shown)
    of = (
        f"time to make it and {numbers.count(view.volume)} answers" if all_known else "time of the whole rung"
    )
    dots = []
    for place, rung in shown:
        cost = rung.result.cost
        dots += _dot(rung, cost.at(view.volume) if all_known else cost.seconds, place)
    return _pair(lambda narrow: charts.quality_against_time(dots, _axis(view), narrow, of)), of


def _axis(view: View) -> str:
    return f"{view.metric}, {view.metric_unit}"


def _dot(rung: Rung, x: float | None, place: int) -> list[drawing.Dot]:
    """The quality of the rung at `place` at `x`; empty where one of them is not known."""
    value, low, high = numbers.scaled(rung.result.primary) if rung.result.primary else (None, None, None)
    if value is None or x is None:
        return []
    colour, marker = drawing.colour_of(place), charts.MARKERS[rung.group]
    return [drawing.Dot(rung.name, x, value, low, high, colour, marker, rung.recommended)]


def _forgetting_charts(view: View) -> tuple[Markup, Markup] | None:
    """The quality of the tuned rungs against what they forgot, next to the best prompt."""
    dots, level = [], None
    best = view.best_prompting
    for place, rung in enumerate(view.rungs):
        drift = drift_of(rung.result)
        if rung is best:
            level = next(iter(_dot(rung, 0.0, place)), None)
        elif rung.ok and drift is not None and drift.value is not None:
            dots += _dot(rung, max(0.0, drift.value), place)
    return _pair(
        lambda narrow: forgetting.quality_against_forgetting(
            dots, _axis(view), level, view.max_forgetting, narrow
        )
    )


def _strength_charts(view: View) -> tuple[Markup, Markup] | None:
    rungs = [
        forgetting.Strengths(rung.name, rung.result.tradeoffs, drawing.colour_of(place))
        for place, rung in enumerate(view.rungs)
    ]
    return _pair(lambda narrow: forgetting.loss_by_strength(rungs, narrow))


def _shapes(view: View) -> str:
    """What the shapes of the quality chart mean, where there are several."""
    found = dict.fromkeys(rung.group for rung in view.rungs if rung.ok)
    return "".join(f"; {charts.SHAPES[group]}" for group in found) if len(found) > 1 else ""


def _cost_charts(view: View) -> tuple[Markup, Markup] | None:
    colours = {rung.name: drawing.colour_of(place) for place, rung in enumerate(view.rungs)}
    points = break_evens(view.costs.lines)
    return _pair(lambda narrow: charts.cost_against_volume(view.costs, points, view.volume, colours, narrow))


def _curve_charts(view: View) -> tuple[Markup, Markup] | None:
    curves = [
        charts.Curve(rung.name, rung.result.curve, drawing.colour_of(place))
        for place, rung in enumerate(view.rungs)
        if rung.result.curve
    ]
    return _pair(lambda narrow: charts.learning_curves(curves, narrow))


def _pair(draw: Callable[[bool], str]) -> tuple[Markup, Markup] | None:
    """A chart wide and narrow, by a function of whether it is narrow; None where it draws nothing."""
    wide, narrow = draw(False), draw(True)
    return (Markup(wide), Markup(narrow)) if wide else None


def _shown_rungs(view: View) -> list[str]:
    """Rungs with predictions: the two that are compared first, the floor last."""
    first = [rung for rung in (view.before, view.after) if rung is not None and rung in view.answers]
    rest = [rung.result for rung in view.rungs if rung.result.rung in view.answers]
    rest.sort(key=lambda result: result.kind == "floor")
    return [*first, *(result.rung for result in rest if result.rung not in first)]


def _confusions(view: View) -> list[mistakes.Confusion]:
    found = (mistakes.confusion(rung, view.answers[rung]) for rung in _shown_rungs(view))
    return [matrix for matrix in found if matrix is not None]


def _field_tables(view: View) -> list[tuple[str, tables.Table, int]]:
    """(rung, fields by errors, rows without JSON) where answers have fields."""
    found = []
    for rung in _shown_rungs(view):
        errors, unread = mistakes.field_errors(view.answers[rung])
        if not errors and not unread:
            continue
        head = ("field", "in targets", "right", "wrong", "missing", "extra", "precision", "recall", "F1")
        rows = tuple(
            (
                f.name,
                *(numbers.count(n) for n in (f.expected, f.right, f.wrong, f.missing, f.extra)),
                *(numbers.ABSENT if n is None else f"{n:.2f}" for n in (f.precision, f.recall, f.f1)),
            )
            for f in errors[: mistakes.MOST_ERRORS]
        )
        found.append((rung, tables.Table(head, rows, frozenset(range(1, len(head)))), unread))
    return found


def _label_tables(view: View) -> list[tuple[str, tables.Table, int]]:
    """(rung, labels by errors, answers without a label) where rows have several labels."""
    found = []
    for rung in _shown_rungs(view):
        errors, unread = mistakes.label_errors(view.answers[rung])
        if not errors:
            continue
        head = ("label", "in targets", "right", "missing", "extra")
        rows = tuple(
            (f.name, *(numbers.count(n) for n in (f.expected, f.right, f.missing, f.extra)))
            for f in errors[: mistakes.MOST_ERRORS]
        )
        found.append((rung, tables.Table(head, rows, frozenset(range(1, 5))), unread))
    return found


def _call_tables(view: View) -> list[tuple[str, tables.Table, tables.Table, tables.Table]]:
    """(rung, wrong functions, arguments that differ, what does not exist), each commonest first, of calls."""
    found = []
    for rung in _shown_rungs(view):
        if not any("arguments" in answer.evidence for answer in view.answers[rung]):
            continue
        errors = mistakes.call_errors(view.answers[rung])
        functions = tuple((wanted, called, numbers.count(n)) for wanted, called, n in errors.functions)
        arguments = tuple((name, numbers.count(n)) for name, n in errors.arguments)
        made_up = tuple((name, numbers.count(n)) for name, n in errors.made_up)
        found.append(
            (
                rung,
                tables.Table(("expected", "called", "rows"), functions, frozenset({2})),
                tables.Table(("argument that differs", "rows"), arguments, frozenset({1})),
                tables.Table(("does not exist", "rows"), made_up, frozenset({1})),
            )
        )
    return found


def _rows_json(view: View) -> Markup:
    rows = mistakes.side_by_side(view.examples, view.answers, view.judge, view.before, view.after)
    value = {
        "rungs": [numbers.one_line(rung) for rung in view.answers],
        "binary": view.judge.binary if view.judge else False,
        "rows": rows,
    }
    return Markup(safe_json(value))
