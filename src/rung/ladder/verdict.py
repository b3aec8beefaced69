"""The verdict: which rung to use, drawn from results and answers alone. Pure: no model, no files, no clock.

The rule: use the cheapest rung that is not significantly worse than the best one. The floor (a constant
answer) is recommended only where nothing else stands.

- Best is the rung with the highest primary metric on the test rows that every rung answered, the lowest where
  lower is better.
- Each other rung is compared with it on the rows both answered; rows the grader could not judge are left
  out of that pair.  Where every row is right or wrong: exact McNemar; else the paired bootstrap.
- The p-values of these comparisons are adjusted together (Holm 1979); worse means adjusted p < 0.05.
- The rung recommended is also compared with its rival, the best of the other sort (prompting or tuned), for
  the sentence; that p-value stands alone.

Not worse is not equal: where the best may still be ahead by more than `MARGIN` points, the test has too few
rows to settle it, and the verdict is not conclusive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rung.evaluation import stats
from rung.evaluation.metrics import METRICS, Metric, primary_rows
from rung.ladder import sentence
from rung.ladder.sentence import Case, is_prompting
from rung.records import Answer, Comparison, Example, Measure, Result, Task, Verdict

MARGIN = 5.0  # points: a difference worth more test rows

Answers = Mapping[str, Sequence[Answer]]


@dataclass(frozen=True, slots=True)
class _Bench:
    """What every comparison needs."""

    task: Task
    examples: Sequence[Example]
    answers: Answers
    seed: int
    _seen: dict[tuple[str, tuple[str, ...]], stats.Floats] = field(default_factory=dict)

    @property
    def metric(self) -> Metric:
        return METRICS[self.task.primary]

    @property
    def sign(self) -> int:
        """What turns a difference in the metric into how far the first rung is ahead."""
        return 1 if self.metric.higher_is_better else -1

    @property
    def margin(self) -> float:
        """`MARGIN` on the metric's own scale."""
        return MARGIN if self.metric.unit else MARGIN / 100

    def rows(self, rungs: Sequence[str]) -> list[stats.Floats]:
        """Statistics (n, k) of each rung, over the test rows that all of `rungs` answered."""
        judged = [{a.example_id: a for a in self.answers[rung] if a.status != "error"} for rung in rungs]
        shared = [example for example in self.examples if all(example.id in one for one in judged)]
        ids = tuple(example.id for example in shared)
        for rung, one in zip(rungs, judged, strict=True):
            if (rung, ids) not in self._seen:
                some = [one[name] for name in ids]
                self._seen[rung, ids] = primary_rows(self.task, shared, some, [a.text for a in some])
        return [self._seen[rung, ids] for rung in rungs]

    def compare(self, first: str, second: str) -> stats.Difference | None:
        """First minus second, or None without rows in common."""
        one, two = self.rows([first, second])
        if len(one) == 0:
            return None
        if self.metric.share:
            return stats.paired_shares(one[:, 0], two[:, 0])
        return stats.paired_difference(one, two, self.metric.value, self.seed)


def verdict(
    results: Sequence[Result],
    answers: Answers,
    examples: Sequence[Example],
    task: Task,
    seed: int = 0,
) -> Verdict:
    """The recommendation for `task`, from what each rung measured on the test `examples`.

    `answers` maps a rung's name to its answers, in any order.  Rungs that failed, were skipped or have no
    answers are named in the reasons.  Raises `UsageError` where the task's primary metric is unknown.
    """
    results = sorted(results, key=lambda result: result.order)
    named = {result.rung: result for result in results}
    bench = _Bench(task, examples, answers, seed)
    known = {example.id for example in examples}
    able = [
        result.rung
        for result in results
        if result.status == "ok"
        and any(a.status != "error" and a.example_id in known for a in answers.get(result.rung, ()))
    ]
    if len(able) < 2:
        return _without_comparison(able, named, task)
    values = _values(bench, able, named)
    best = max(able, key=lambda rung: (values[rung], -named[rung].order))
    comparisons = _against_best(bench, best, [rung for rung in able if rung != best])
    worse = {pair.second for pair in comparisons if pair.distinguishable and bench.sign * _value(pair) > 0}
    alone = {rung for rung in able if rung != best} - {pair.second for pair in comparisons}
    standing = [rung for rung in able if rung not in worse and rung not in alone]
    recommended = next((rung for rung in standing if named[rung].kind != "floor"), standing[0])
    rival = _rival(recommended, [rung for rung in able if rung not in alone], values, named)
    if rival is not None and best not in (recommended, rival):
        comparisons += [
            _decided(pair, pair.p_value or 0.0) for pair in _compared(bench, [(recommended, rival)])
        ]
    prompting = [rung for rung in able if is_prompting(named[rung])]
    case = Case(
        task=task,
        results=named,
        recommended=recommended,
        best=best,
        rival=rival,
        comparisons=tuple(comparisons),
        conclusive=_conclusive(bench, recommended, best, comparisons),
        uncompared=tuple(rung for rung in able if rung in alone),
    )
    return Verdict(
        recommended=recommended,
        sentence=sentence.verdict_of(case),
        reasons=sentence.reasons_of(case),
        comparisons=case.comparisons,
        best=best,
        best_prompting=max(prompting, key=values.__getitem__, default=None),
        conclusive=case.conclusive,
    )


def compare(
    first: str, second: str, answers: Answers, examples: Sequence[Example], task: Task, seed: int = 0
) -> Comparison | None:
    """One pair on the rows both answered, judged alone; None where there are no such rows."""
    pairs = _compared(_Bench(task, examples, answers, seed), [(first, second)])
    return _decided(pairs[0], pairs[0].p_value or 0.0) if pairs else None


def _without_comparison(able: Sequence[str], named: Mapping[str, Result], task: Task) -> Verdict:
    """Fewer than two rungs to look at."""
    rung = able[0] if able else None
    case = Case(task, named, rung, rung, None, (), conclusive=False)
    return Verdict(
        recommended=rung,
        sentence=sentence.lone(case),
        reasons=sentence.reasons_of(case),
        best=rung,
        best_prompting=rung if rung and is_prompting(named[rung]) else None,
        conclusive=False,
    )


def _values(bench: _Bench, able: Sequence[str], named: Mapping[str, Result]) -> dict[str, float]:
    """How good each rung is on the rows all of them answered; as reported where there are none.

    The primary metric, with its sign changed where lower is better.
    """
    rows = bench.rows(able)
    if len(rows[0]):
        return {
            rung: bench.sign * float(bench.metric.value(one.sum(axis=0)))
            for rung, one in zip(able, rows, strict=True)
        }
    reported = {rung: named[rung].primary for rung in able}
    return {
        rung: float("-inf") if measure is None or measure.value is None else bench.sign * measure.value
        for rung, measure in reported.items()
    }


def _against_best(bench: _Bench, best: str, others: Sequence[str]) -> list[Comparison]:
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


def _compared(bench: _Bench, pairs: Sequence[tuple[str, str]]) -> list[Comparison]:
    """The comparisons that can be made, each with its own p-value and nothing decided."""
    found = []
    for first, second in pairs:
        difference = bench.compare(first, second)
        if difference is not None:
            found.append(_comparison(bench, first, second, difference))
    return found


def _comparison(bench: _Bench, first: str, second: str, difference: stats.Difference) -> Comparison:
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
        test="exact McNemar" if bench.metric.share else "paired bootstrap",
        rows_needed=_rows_needed(bench, difference),
    )


def _rows_needed(bench: _Bench, difference: stats.Difference) -> int | None:
    """Rows that would either tell the two apart or show the first to be ahead by less than the margin,
    whichever takes fewer; None where the interval already shows the latter."""
    ahead = _at_most_ahead(bench, difference.low, difference.high)
    if ahead is None or ahead <= bench.margin:
        return None
    seen = abs(difference.value)
    needed = stats.rows_needed(max(seen, bench.margin - seen), difference.spread)
    return None if needed is None else max(needed, difference.n + 1)


def _at_most_ahead(bench: _Bench, low: float | None, high: float | None) -> float | None:
    """How far the first of two rungs may be ahead, from the interval of their difference."""
    return high if bench.sign > 0 else None if low is None else -low


def _conclusive(bench: _Bench, recommended: str, best: str, pairs: Sequence[Comparison]) -> bool:
    if recommended == best:
        return bool(pairs)
    pair = next(pair for pair in pairs if (pair.first, pair.second) == (best, recommended))
    ahead = _at_most_ahead(bench, pair.difference.low, pair.difference.high)
    return ahead is not None and ahead <= bench.margin


def _rival(
    recommended: str, able: Sequence[str], values: Mapping[str, float], named: Mapping[str, Result]
) -> str | None:
    """The best of the other sort (tuned for prompting and the reverse), or else the best of the rest."""
    rest = [rung for rung in able if rung != recommended]
    sort = is_prompting(named[recommended])
    other = [rung for rung in rest if is_prompting(named[rung]) != sort]
    return max(other or rest, key=values.__getitem__, default=None)


def _value(pair: Comparison) -> float:
    return pair.difference.value or 0.0
