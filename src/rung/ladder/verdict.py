"""The verdict: which rung to use, drawn from results and answers alone. Pure: no model, no files, no clock.

The rule: use the cheapest rung whose expected regret is within the tolerance; if there is none, the rung with
the least expected regret.  docs/verdict.md measures how far its choices are from the truly best rung.

- Regret is how far a rung falls behind the best one, over joint bootstrap draws of the test rows that the
  compared rungs answered (`rung.ladder.regret`). A rung that answered clearly fewer of them is compared on
  the rows it has; the others are still compared on all of theirs (`rung.ladder.bench`).
- The cheapest rung is the one that takes the fewest seconds to make and to answer `volume` rows with. Where
  costs are about equal, or the cost of a rung is not known, the order of the ladder counts.
- The floor (a constant answer) is never recommended, nor is a rung that is not ahead of it in 80 % of the
  draws.
- A tuned rung that forgot more than the bound is never recommended, and nothing is compared with it.
- If rungs reach the goal, one of them is taken.
- The verdict is clear, likely or open by the chance that the recommended rung is within the tolerance of the
  best one.

The evidence is a comparison of the rung with the best score with each other rung, on the rows both answered:
exact McNemar where every row is right or wrong (a Wald test where splits were repeated), else the paired
bootstrap.  The p-values are adjusted together (Holm 1979).  For the sentence, the recommended rung is also
compared with its rival, the best rung of the other sort (tuned or not tuned); that p-value is not adjusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rung.evaluation import stats
from rung.ladder import bound, regret, sentence
from rung.ladder.bench import Answers, Bench, Board
from rung.ladder.case import Case
from rung.ladder.helps import helps
from rung.records import Answer, Certainty, Comparison, Example, Measure, Regret, Result, Task, Verdict

CLEAR, LIKELY = 0.95, 0.8  # chances from which a verdict is called so
SAME_COST = 1.25  # measured times differ by as much from one run to the next


def verdict(
    results: Sequence[Result],
    answers: Answers,
    examples: Sequence[Example],
    task: Task,
    seed: int = 0,
    *,
    tolerance: float = 1.0,
    goal: float | None = None,
    volume: int = 10_000,
    notes: Sequence[str] = (),
    row_of: Mapping[str, str] | None = None,
    inflation: float = 1.0,
    max_forgetting: float | None = None,
) -> Verdict:
    """The recommendation for `task`, from what each rung measured on the test `examples`.

    `answers` maps a rung's name to its answers, in any order.  Rungs that failed, were skipped, were cut
    short or have no answers are named in the reasons.  `tolerance` and `goal` are in points of the screen,
    `volume` is the number of answers that cost is ordered by; `notes` say what the plan left out.
    `row_of` names the row of each example, and `inflation` is that of the variance, where `examples` are rows
    of several splits (`rung.ladder.repeat`).  `max_forgetting` is the most that a tuned rung may have
    forgotten, in nats a token.  Raises `UsageError` where the primary metric is unknown.
    """
    results = sorted(results, key=lambda result: result.order)
    named = {result.rung: result for result in results}
    bench = Bench(task, examples, answers, seed, row_of or {}, inflation)
    known = {example.id for example in examples}
    able = [one.rung for one in results if one.status == "ok" and _answered(answers.get(one.rung, ()), known)]
    over = bound.above((named[rung] for rung in able), max_forgetting)
    able = [rung for rung in able if rung not in over]
    case = Case(
        task,
        named,
        None,
        None,
        None,
        (),
        tolerance=tolerance,
        goal=goal,
        volume=volume,
        max_forgetting=max_forgetting,
        over=over,
        notes=tuple(notes),
    )
    if len(able) < 2:
        return _without_comparison(bench, replace(case, ranked=tuple(able)))
    return _compared_with_others(bench, case, able)


def _compared_with_others(bench: Bench, case: Case, able: Sequence[str]) -> Verdict:
    """The recommendation among two rungs or more, in the order of the ladder, that keep the bound."""
    named = case.results
    values = _values(bench, able, named)
    best = max(able, key=lambda rung: (values[rung], -named[rung].order))
    comparisons = _against_best(bench, best, [rung for rung in able if rung != best])
    alone = {rung for rung in able if rung != best} - {pair.second for pair in comparisons}
    compared = [rung for rung in able if rung not in alone]
    ranked = _by_cost(compared, named, case.volume)
    chosen = _choose(bench, ranked, best, named, case.tolerance, case.goal)
    recommended = chosen.recommended
    rival = _rival(recommended, compared, values, named) if recommended else None
    if recommended and rival and best not in (recommended, rival):
        comparisons += [_decided(one, one.p_value or 0.0) for one in _compared(bench, [(recommended, rival)])]
    case = replace(
        case,
        recommended=recommended,
        best=best,
        rival=rival,
        comparisons=tuple(comparisons),
        certainty=chosen.certainty,
        regrets=tuple(sorted(chosen.regrets, key=lambda one: named[one.rung].order)),
        ranked=tuple(ranked),
        uncompared=tuple(rung for rung in able if rung in alone),
        rows=chosen.board.rows,
        fewer=chosen.board.fewer,
    )
    return _said(bench, case, values)


def _said(bench: Bench, case: Case, values: Mapping[str, float]) -> Verdict:
    """What was decided, in a record and in words."""
    prompting = [rung for rung in values if case.results[rung].prompts]
    return Verdict(
        recommended=case.recommended,
        sentence=sentence.verdict_of(case),
        reasons=sentence.reasons_of(case),
        comparisons=case.comparisons,
        best=case.best,
        best_prompting=max(prompting, key=values.__getitem__, default=None),
        conclusive=case.conclusive,
        regrets=case.regrets,
        certainty=case.certainty,
        tolerance=bench.width(case.tolerance),
        volume=case.volume,
        helps=helps(case, bench.answers, bench.examples),
    )


@dataclass(frozen=True, slots=True)
class _Chosen:
    recommended: str | None
    certainty: Certainty | None
    regrets: tuple[Regret, ...]
    board: Board


def _choose(
    bench: Bench,
    ranked: Sequence[str],
    best: str,
    named: Mapping[str, Result],
    points: float,
    goal: float | None,
) -> _Chosen:
    """The rule. `ranked` are the compared rungs, the cheapest first."""
    board = bench.board(sorted(ranked, key=lambda rung: named[rung].order))  # costs do not change the draws
    rows = board.rows
    if len(board.names) < 2:
        return _Chosen(best if named[best].kind != "floor" else None, None, (), board)
    drawn = bench.sign * regret.draws(
        board.given, bench.metric.value, bench.metric.share, bench.seed, inflation=bench.inflation
    )
    names = [rung for rung in ranked if rung in board.names]
    places = [board.names.index(rung) for rung in names]
    floors = [i for i, rung in enumerate(names) if named[rung].kind == "floor"]
    enough: list[int] = []
    if goal is not None:
        reached = regret.scores(board.given, bench.metric.value)
        enough = [i for i, at in enumerate(places) if bench.sign * (reached[at] - bench.scaled(goal)) >= 0]
    taken, regrets = regret.choose(names, drawn[places], floors, bench.width(points), enough)
    if taken is None:
        return _Chosen(None, "open", regrets, board)
    certainty: Certainty = "open"
    if min(board.fewer.get(taken.rung, rows), rows) > 1 and taken.chance >= LIKELY:
        certainty = "clear" if taken.chance >= CLEAR else "likely"
    return _Chosen(taken.rung, certainty, regrets, board)


def _by_cost(rungs: Sequence[str], named: Mapping[str, Result], volume: int) -> list[str]:
    """The cheapest first at `volume` answers; in the order of the ladder where a cost is not known.

    Costs of less than `SAME_COST` times the lowest left are equal: among these the ladder's order decides.
    """
    costs = {rung: named[rung].cost.at(volume) for rung in rungs}
    known = {rung: seconds for rung, seconds in costs.items() if seconds is not None}
    if len(known) < len(rungs):
        return list(rungs)
    found: list[str] = []
    while len(found) < len(rungs):
        left = [rung for rung in rungs if rung not in found]
        lowest = min(known[rung] for rung in left)
        found += [rung for rung in left if known[rung] <= SAME_COST * lowest]
    return found


def _answered(answers: Sequence[Answer], known: set[str]) -> bool:
    return any(answer.status != "error" and answer.example_id in known for answer in answers)


def compare(
    first: str, second: str, answers: Answers, examples: Sequence[Example], task: Task, seed: int = 0
) -> Comparison | None:
    """One pair on the rows both answered, judged alone; None where there are no such rows."""
    pairs = _compared(Bench(task, examples, answers, seed), [(first, second)])
    return _decided(pairs[0], pairs[0].p_value or 0.0) if pairs else None


def _without_comparison(bench: Bench, case: Case) -> Verdict:
    """Fewer than two rungs to look at."""
    rung = next(iter(case.ranked), None)
    result = case.results[rung] if rung else None
    case = replace(case, best=rung, recommended=rung if result and result.kind != "floor" else None)
    return Verdict(
        recommended=case.recommended,
        sentence=sentence.lone(case),
        reasons=sentence.reasons_of(case),
        best=rung,
        best_prompting=rung if result and result.prompts else None,
        conclusive=False,
        helps=helps(case, bench.answers, bench.examples),
    )


def _values(bench: Bench, able: Sequence[str], named: Mapping[str, Result]) -> dict[str, float]:
    """How good each rung is on the rows they are compared on; as reported where there are none.

    The primary metric, with its sign changed where lower is better.
    """
    board = bench.board(able)
    found = {rung: float("-inf") for rung in able}
    for rung in able:
        measure = named[rung].primary
        if measure is not None and measure.value is not None:
            found[rung] = bench.sign * measure.value
    if board.names:
        on_board = regret.scores(board.given, bench.metric.value)
        found |= {rung: bench.sign * float(one) for rung, one in zip(board.names, on_board, strict=True)}
    return found


def _against_best(bench: Bench, best: str, others: Sequence[str]) -> list[Comparison]:
    pairs = _compared(bench, [(best, other) for other in others])
    adjusted = stats.holm([pair.p_value or 0.0 for pair in pairs])
    note = f"p-value adjusted for {len(pairs)} comparisons (Holm)" if len(pairs) > 1 else ""
    return [_decided(pair, p_value, note) for pair, p_value in zip(pairs, adjusted, strict=True)]


def _decided(pair: Comparison, p_value: float, note: str = "") -> Comparison:
    """The comparison with the p-value that counts."""
    apart = p_value < stats.ALPHA
    return replace(
        pair,
        p_value=p_value,
        distinguishable=apart,
        rows_needed=None if apart else pair.rows_needed,
        difference=replace(pair.difference, note=note),
    )


def _compared(bench: Bench, pairs: Sequence[tuple[str, str]]) -> list[Comparison]:
    """The comparisons that can be made, each with its own p-value and nothing decided."""
    found = []
    for first, second in pairs:
        difference = bench.compare(first, second)
        if difference is not None:
            found.append(_comparison(bench, first, second, difference))
    return found


def _comparison(bench: Bench, first: str, second: str, difference: stats.Difference) -> Comparison:
    return Comparison(
        first=first,
        second=second,
        difference=Measure(
            name=bench.task.primary,
            value=difference.value,
            low=difference.low,
            high=difference.high,
            n=difference.n,
            higher_is_better=bench.metric.higher_is_better,
            unit=bench.metric.unit,
        ),
        p_value=difference.p_value,
        test=_test_of(bench),
        rows_needed=_rows_needed(bench, difference),
    )


def _test_of(bench: Bench) -> str:
    if not bench.metric.share:
        return "paired bootstrap"
    return "paired Wald test" if bench.row_of else "exact McNemar"


def _rows_needed(bench: Bench, difference: stats.Difference) -> int | None:
    """Rows that would either tell the two apart or show the first to be ahead by less than the margin,
    whichever takes fewer; None where the interval already shows the latter."""
    ahead = _at_most_ahead(bench, difference.low, difference.high)
    if ahead is None or ahead <= bench.margin:
        return None
    seen = abs(difference.value)
    needed = stats.rows_needed(max(seen, bench.margin - seen), difference.spread)
    return None if needed is None else max(needed, difference.n + 1)


def _at_most_ahead(bench: Bench, low: float | None, high: float | None) -> float | None:
    """How far the first of two rungs may be ahead, from the interval of their difference."""
    return high if bench.sign > 0 else None if low is None else -low


def _rival(
    recommended: str, able: Sequence[str], values: Mapping[str, float], named: Mapping[str, Result]
) -> str | None:
    """The best of the other sort (tuned or not), or else the best of the rest; a floor only if alone."""
    rest = [rung for rung in able if rung != recommended]
    rest = [rung for rung in rest if named[rung].kind != "floor"] or rest
    other = [rung for rung in rest if named[rung].tunes != named[recommended].tunes]
    return max(other or rest, key=values.__getitem__, default=None)
