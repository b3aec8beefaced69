"""How likely the answer that a row holds is to a tuned model, against its own base: nats a token, and wins.

A tuned model wins a row where the row's answer is more likely to it than to the base; a tie is half a win.
Unlike a score of what is written, this says something about every row, also where no written answer is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rung.evaluation import stats
from rung.records import Answer, Measure

TUNED, BASE, WINS = "answer_nats", "base_answer_nats", "likelihood_wins"
Pair = tuple[float, float]  # nats a token of a row's answer: tuned, base


def with_likelihoods(answers: Sequence[Answer], pairs: Mapping[str, Pair]) -> tuple[Answer, ...]:
    """The answers, with the numbers of `pairs` (by example id) among the values of each."""
    return tuple(
        replace(one, values={**one.values, TUNED: pairs[one.example_id][0], BASE: pairs[one.example_id][1]})
        if one.example_id in pairs
        else one
        for one in answers
    )


def likelihood_measures(
    answers: Sequence[Answer], row_of: Mapping[str, str] | None = None, inflation: float = 1.0, seed: int = 0
) -> tuple[Measure, ...]:
    """Mean nats a token of both models, lower is better, and the share of rows that the tuned one wins.

    Empty where no answer has these numbers. `row_of` and `inflation`: see `rung.evaluation.metrics.measures`.
    """
    known = [one for one in answers if {TUNED, BASE} <= set(one.values)]
    if not known:
        return ()
    tuned, base = (np.array([one.values[name] for one in known]) for name in (TUNED, BASE))
    wins = np.where(tuned < base, 1.0, np.where(tuned == base, 0.5, 0.0))
    names = [row_of[one.example_id] for one in known] if row_of else None
    found = []
    for name, values in ((TUNED, tuned), (BASE, base), (WINS, wins)):
        if names is not None:
            values = stats.by_row(stats.mean_rows(values), names)[:, 0]
        value, low, high = stats.mean_interval(values, seed, inflation)
        share = name == WINS
        found.append(Measure(name, value, low, high, len(values), share, "" if share else "nats/token"))
    return tuple(found)
