"""The verdict in plain words: one sentence for the screen, and the reasons behind it.

Only words are made here; what is recommended was decided before, in `rung.ladder.verdict`.
"""

from __future__ import annotations

from collections.abc import Mapping

from rung import numbers
from rung.evaluation.metrics import METRICS
from rung.evaluation.tasks import KINDS
from rung.ladder import bound
from rung.ladder.by_lookup import about_lookup
from rung.ladder.case import Case, title, worth
from rung.ladder.skew import about_skew
from rung.records import Comparison, Measure, Result, Task

FORGETS = 0.1  # nats/token from which drift is said to cost general ability
MISSES = 0.1  # share of answers out of format that is worth a word


def verdict_of(case: Case) -> str:
    """The recommendation with its numbers, where two rungs or more were measured."""
    if case.recommended is None:
        return _nothing_good(case)
    result = case.results[case.recommended]
    if not case.comparisons:
        scored = f"{numbers.capital(title(result))} scored best{_level(case.task, result)}"
        left_out = f" {case.too_much}." if case.over else ""
        return f"{scored}, on test rows that no other rung answered. Use {title(result)} for now.{left_out}"
    parts = []
    if case.rival is not None and (case.conclusive or case.rival != case.best):
        parts.append(_against_rival(case, result, case.results[case.rival]))
    parts += _alternatives(case, result) if case.conclusive else [_open_question(case, result)]
    if forgot := _forgot(result):
        parts.append(forgot)
    parts += _ruled_out(case)
    tuned = any(case.results[rung].tunes for rung in case.ranked)
    head = "Do not tune: " if tuned and not result.tunes and case.conclusive else ""
    words = numbers.capital(head + "; ".join(part for part in parts if part))
    return f"{words}. {_advice(case, result)} {about_lookup(case)}".strip()


def lone(case: Case) -> str:
    """What can be said with one rung or none."""
    if case.best is None:
        gone = [one for one in case.results.values() if one.rung not in case.over]
        why = _because([f"{title(one)}: {one.reason or one.status}" for one in gone])
        if case.over:
            return f"No rung can be recommended: {case.too_much}{why}."
        return f"No rung was measured, so nothing can be recommended{why}."
    result = case.results[case.best]
    start, only = (f"{case.too_much}. ", "only other rung") if case.over else ("", "only rung")
    measured = f"{numbers.capital(title(result))} is the {only} that was measured{_level(case.task, result)}"
    floor = ", and as the floor it is not recommended" if result.kind == "floor" else ""
    return f"{start}{measured}; there is nothing to compare it with{floor}. {_below_goal(case)}".strip()


def reasons_of(case: Case) -> tuple[str, ...]:
    """The evidence, a sentence each."""
    found = []
    if case.regrets:
        metric = numbers.metric_name(case.task.primary)
        found.append(
            f"The rule: the cheapest rung at {case.volume:,} answers whose expected regret is within "
            f"{_tolerance(case)}, or else the one with the least. Regret is how far a rung "
            f"falls behind the best ({metric} on the same test rows, joint Bayesian bootstrap)."
        )
    found += [_evidence(pair, case.results) for pair in case.comparisons]
    for rung in case.uncompared:
        name = numbers.capital(title(case.results[rung]))
        found.append(f"{name} has no test rows in common with the best rung.")
    for rows in dict.fromkeys(case.fewer.values()):
        names = [title(case.results[rung]) for rung, answered in case.fewer.items() if answered == rows]
        found.append(
            f"{numbers.capital(numbers.listed(names))} answered {rows:,} of {case.rows:,} test rows, and "
            f"{'is' if len(names) == 1 else 'are'} compared with the others on those."
        )
    found += about_skew(case)
    found += [numbers.sentence(note) for note in case.notes]
    for result in case.results.values():
        found += [*_about_bound(case, result), *_remarks(result, case.task)]
    return tuple(found)


# --- parts of the sentence --------------------------------------------------------------------------


def _advice(case: Case, result: Result) -> str:
    """What to do, how sure that is, and whether the goal is met."""
    use = f"Use {title(result)}{'' if case.conclusive and not case.misses(result) else ' for now'}"
    chance = next((one.chance for one in case.regrets if one.rung == result.rung), None)
    if chance is not None:
        likely = numbers.chance(chance, words=True)
        known = result.primary is not None and result.primary.value is not None
        score = f"scores {_score(result.primary)} and " if known and result.primary else ""
        use += f": it {score}is within {_tolerance(case)} of the best with {likely} chance"
        use += f" ({case.certainty})"
    return f"{use}. {_below_goal(case)}".strip()


def _below_goal(case: Case) -> str:
    """Says so where the goal is missed, and what it would take."""
    result = case.results.get(case.recommended or "")
    if result is None or result.primary is None or not case.misses(result):
        return ""
    mark = "" if result.primary.unit else "%"
    best = case.results[case.best or result.rung]
    if best.kind == "floor" or best.primary is None or not case.misses(best):
        return f"It misses the goal of {case.goal:g}{mark}."
    return (
        f"Nothing here is good enough yet: the goal is {case.goal:g}{mark}, and the best, {title(best)}, "
        f"scores {_score(best.primary)}; {_needed(case)}."
    )


def _needed(case: Case) -> str:
    """What better rungs would take: the budget that finishes one, else more to learn from."""
    cut = [one for one in case.results.values() if one.status == "unfinished" and one.needs_seconds]
    if cut:
        first = min(cut, key=lambda one: one.needs_seconds or 0.0)
        return f"a budget of {numbers.seconds(first.needs_seconds)} would finish {title(first)}"
    return "it takes more training rows, longer training or a larger base"


def _nothing_good(case: Case) -> str:
    """No rung is ahead of the floor."""
    floor = next((one for one in case.results.values() if one.kind == "floor"), None)
    behind = [one for one in case.regrets if case.results[one.rung].kind != "floor"]
    if floor is None or not behind:
        return "No rung can be recommended: there are no test rows on which to compare them."
    nearest = case.results[min(behind, key=lambda one: one.expected).rung]
    pair = case.between(nearest.rung, floor.rung)
    ahead = pair is not None and _seen_from(pair, nearest.rung)[0] > 0
    need = _needed(case)
    if ahead and pair is not None and pair.rows_needed:
        rows = numbers.roughly(pair.rows_needed)
        need = f"about {rows} test rows would tell them apart, {pair.difference.n:,} were used"
    left_out = f" {case.too_much}." if case.over else ""
    return (
        f"Nothing here is good enough yet: {title(floor)} needs no model{_level(case.task, floor)}, and no "
        f"{'other rung' if case.over else 'rung'} is reliably ahead of it; the nearest is {title(nearest)}"
        f"{_level(case.task, nearest)}; {need}.{left_out}"
    )


def _against_rival(case: Case, result: Result, rival: Result) -> str:
    pair = case.between(result.rung, rival.rung)
    if pair is None:
        return ""
    name, other, unit = title(result), title(rival), pair.difference.unit
    value, reach = _seen_from(pair, result.rung)
    if value > 0 and not pair.distinguishable:
        return f"{name} is ahead of {other} by {numbers.gap(value, unit)}{_bracketed(reach, unit)}"
    if not pair.distinguishable:
        end = _and_costs(case, rival, result)
        gap = f"{numbers.gap(-value, unit, signed=True)}{_reach(reach, unit, -1)}"
        return f"{other} is not distinguishable from {name} ({gap}){end}"
    if value < 0:
        return f"{other} beats {name} by {numbers.gap(-value, unit)}{_bracketed(reach, unit, -1)}"
    took = result.cost.seconds
    time = "" if took is None or result.prompts else f" in {numbers.seconds(took)}"
    return f"{name} beats {other} by {numbers.gap(value, unit)}{_bracketed(reach, unit)}{time}"


def _alternatives(case: Case, result: Result) -> list[str]:
    """More expensive rungs, other than the rival, that do no better."""
    parts = []
    for rung in case.ranked[case.ranked.index(result.rung) + 1 :]:
        pair = case.between(result.rung, rung)
        if pair is None or rung == case.rival or pair.distinguishable:
            continue
        other = case.results[rung]
        parts.append(f"{title(other)} is not distinguishable{_and_costs(case, other, result)}")
    return parts[:2]


def _open_question(case: Case, result: Result) -> str:
    """The rung that may be ahead after all: the best, or the one after it."""
    rest = [one for one in case.regrets if one.rung != result.rung]
    rung = case.best if case.best != result.rung else min(rest, key=lambda one: one.expected).rung
    assert rung is not None
    other = case.results[rung]
    pair = case.between(result.rung, rung)
    assert pair is not None
    value, reach = _seen_from(pair, rung)
    unit = pair.difference.unit
    enough = f"about {numbers.roughly(pair.rows_needed)} would do, " if pair.rows_needed else ""
    return (
        f"there are not enough test rows to tell {title(other)} and {title(result)} apart "
        f"({enough}used here: {pair.difference.n:,}): {title(other)} scores "
        f"{numbers.gap(value, unit, signed=True)}{_reach(reach, unit)}{_and_costs(case, other, result)}"
    )


def _ruled_out(case: Case) -> list[str]:
    """The best rung above the bound on forgetting, where it scores more than all that keep the bound."""
    first = max((case.results[rung] for rung in case.over), key=worth, default=None)
    if first is None or case.max_forgetting is None or case.best is None:
        return []
    if first.primary is None or worth(first) <= worth(case.results[case.best]):
        return []
    why = bound.too_much(case.over[first.rung], case.max_forgetting)
    return [f"{title(first)} scores {_score(first.primary)}, but {why}"]


def _forgot(result: Result) -> str:
    kl = bound.forgot(result)
    if kl is None or result.prompts:
        return ""
    amount = f"{kl:.2f}" if kl >= 0.005 else "less than 0.01"
    cost = ", which costs general ability" if kl > FORGETS else ""
    return f"the tuned model forgot {amount} nats/token{cost}"


def _and_costs(case: Case, other: Result, result: Result) -> str:
    """How many times as expensive `other` is: at the volume, else by money or time as measured."""
    one, two = other.cost, result.cost
    first, second = one.at(case.volume), two.at(case.volume)
    if first and second:
        ratio = first / second
    elif one.money and two.money and one.currency == two.currency:
        ratio = one.money / two.money
    elif one.seconds and two.seconds:
        ratio = one.seconds / two.seconds
    else:
        return ""
    return f" and costs {ratio:,.0f}x" if ratio >= 9.95 else f" and costs {ratio:.1f}x"


# --- reasons ----------------------------------------------------------------------------------------


def _evidence(pair: Comparison, results: Mapping[str, Result]) -> str:
    value, reach = _seen_from(pair, pair.first)
    unit = pair.difference.unit
    p_value = numbers.p_value(pair.p_value)
    p_text = f"p {p_value.replace('<', '< ')}" if p_value.startswith("<") else f"p = {p_value}"
    adjusted = ", Holm-adjusted" if pair.difference.note else ""
    apart = "distinguishable" if pair.distinguishable else "not distinguishable"
    names = f"{numbers.capital(title(results[pair.first]))} against {title(results[pair.second])}"
    return (
        f"{names}: {numbers.gap(value, unit, signed=True)}"
        f"{_reach(reach, unit)} on {pair.difference.n:,} rows, {apart} ({pair.test}, {p_text}{adjusted})."
    )


def _about_bound(case: Case, result: Result) -> list[str]:
    """That a rung is above the bound on forgetting, or that nobody knows."""
    most, name = case.max_forgetting, title(result)
    if most is None or result.status != "ok" or not result.tunes:
        return []
    if result.rung in case.over:
        why = bound.too_much(case.over[result.rung], most)
        return [f"{numbers.capital(name)}{_level(case.task, result)} is not recommended: {why}."]
    if result.kind == "tune" and bound.forgot(result) is None:
        return [
            f"What {name} forgot was not measured, so the bound of {most:g} nats a token was not checked."
        ]
    return []


def _remarks(result: Result, task: Task) -> list[str]:
    name = numbers.capital(title(result))
    if result.status == "unfinished":
        done = f" after {100 * result.done:.0f}% of what was planned" if result.done is not None else ""
        budget = result.needs_seconds
        need = f"; a budget of {numbers.seconds(budget)} would finish it" if budget else ""
        return [f"{name} is not finished: it was cut short{done} and is not compared with others{need}."]
    if result.status != "ok":
        why = result.reason.strip().rstrip(".")
        return [
            f"{name} {'was skipped' if result.status == 'skipped' else 'failed'}{': ' + why if why else ''}."
        ]
    found = []
    rows = sum(result.counts.values())
    faults = result.counts.get("error", 0)
    missed, cut = result.counts.get("unparsed", 0), result.counts.get("truncated", 0)
    if missed + cut > MISSES * rows:
        found.append(f"{name}: {_missed(result, task, missed, cut, rows)}")
    if faults:
        found.append(f"{name}: {faults:,} of {rows:,} rows could not be graded and are left out.")
    return found


def _missed(result: Result, task: Task, missed: int, cut: int, rows: int) -> str:
    """How many answers had no answer in them, and how many were cut; free text has no format to miss."""
    free = KINDS[task.kind].any_text
    parts = []
    if missed:
        parts.append(f"{missed:,} of {rows:,} answers {'had no text' if free else 'missed the format'}")
    if cut:
        allowed = result.applied.get("max_new_tokens")
        limit = f"the {allowed:,} tokens allowed" if isinstance(allowed, int) else "allowed"
        which = f"{cut:,}" if parts else f"{cut:,} of {rows:,} answers"
        parts.append(f"{which} were longer than {limit} and were cut")
    return f"{' and '.join(parts)}. {'' if free else 'What could not be read counts as wrong.'}".strip()


# --- numbers as words -------------------------------------------------------------------------------


def _seen_from(pair: Comparison, rung: str) -> tuple[float, tuple[float, float] | None]:
    """Difference and interval in points, positive where `rung` is ahead."""
    measure = pair.difference
    ahead = (pair.first == rung) == measure.higher_is_better
    factor = numbers.factor(measure) * (1 if ahead else -1)
    value = (measure.value or 0.0) * factor
    if measure.low is None or measure.high is None:
        return value, None
    low, high = sorted((measure.low * factor, measure.high * factor))
    return value, (low, high)


def _reach(reach: tuple[float, float] | None, unit: str, sign: int = 1) -> str:
    if reach is None:
        return ""
    low, high = sorted((sign * reach[0], sign * reach[1]))
    return f", {numbers.interval(low, high, unit)}"


def _bracketed(reach: tuple[float, float] | None, unit: str, sign: int = 1) -> str:
    text = _reach(reach, unit, sign).removeprefix(", ")
    return f" ({text})" if text else ""


def _tolerance(case: Case) -> str:
    """``1 point``; of an error on a scale, as many hundredths of its width."""
    metric = METRICS[case.task.primary]
    if metric.unit in ("", "points"):
        return numbers.points(case.tolerance)
    return numbers.gap(case.tolerance / 100 * (metric.reach(case.task) or 1.0), metric.unit)


def _score(measure: Measure) -> str:
    """``85.0%``, or ``48.2`` where the metric has points of its own."""
    if measure.unit not in ("", "points"):
        return numbers.gap(measure.value or 0.0, measure.unit)
    return f"{numbers.tenth((measure.value or 0.0) * numbers.factor(measure))}{'' if measure.unit else '%'}"


def _level(task: Task, result: Result) -> str:
    measure = result.primary
    if measure is None or measure.value is None:
        return ""
    _, low, high = numbers.scaled(measure)
    parts = [
        f"{numbers.metric_name(task.primary)} {_score(measure)}",
        numbers.interval(low, high, measure.unit),
    ]
    return f" ({', '.join(part for part in parts if part)})"


def _because(reasons: list[str]) -> str:
    return f" ({'; '.join(reason.strip().rstrip('.') for reason in reasons)})" if reasons else ""
