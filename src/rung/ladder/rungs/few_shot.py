"""Few-shot prompting: examples from train in the prompt, the same in all or those most like the row.

How many, in which layout, and which of the two is chosen on dev.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rung.errors import UsageError
from rung.ladder.context import Context
from rung.ladder.rungs.prompt import PromptRung
from rung.ladder.rungs.rung import register

if TYPE_CHECKING:
    from rung.ladder.prompt_forecast import Ask
    from rung.ladder.ways import Way

MOST_RETRIEVED = 8  # examples; every prompt has its own, so none of their tokens are shared
_TRIED = 2  # numbers of retrieved examples


class FewShot(PromptRung):
    """Examples from train in the prompt."""

    name = "few-shot"
    title = "few-shot prompting"

    def ways(self, context: Context) -> list[Way]:
        from rung.ladder.ways import Way, plain_fits
        from rung.ladder.workload import shots_that_fit

        prepared = context.prepared
        fitting = shots_that_fit(prepared)
        if not fitting:
            asked = ", ".join(map(str, prepared.settings.shots))
            rows, tokens = len(prepared.split.train), prepared.max_length
            raise UsageError(
                f"no number of shots asked for ({asked}) can be shown",
                why=f"There are {rows} train rows to show, and a prompt has at most {tokens} tokens",
                fix="Give smaller numbers with --shots",
            )
        ways = [Way(_named(k), shots=shots) for k, shots in fitting.items()]
        if plain_fits(prepared.split.train):
            ways += [Way(_named(k, plain=True), shots=shots, plain=True) for k, shots in fitting.items()]
        return ways

    def further(self, context: Context, best: Way) -> list[Way]:
        """Examples like the row, in the layout that was best."""
        from rung.ladder.ways import Way

        kept = best.plain
        numbers = _retrieved(list(context.work.shots))
        return [Way(_named(k, True, kept), retrieved=k, plain=kept) for k in numbers]

    def asks(self, context: Context) -> list[Ask]:
        from rung.ladder.prompt_forecast import Ask
        from rung.ladder.ways import plain_fits

        work = context.work
        layouts = 2 if plain_fits(context.prepared.split.train) else 1
        return [Ask(prefix, work.tail_tokens) for prefix in work.shots.values()] * layouts

    def further_asks(self, context: Context) -> list[Ask]:
        from rung.ladder.prompt_forecast import Ask

        work = context.work
        numbers = _retrieved(list(work.shots))
        return [Ask(work.prefix_tokens, work.tail_tokens + k * work.row_tokens) for k in numbers]


def _retrieved(numbers: Sequence[int]) -> list[int]:
    """The numbers of examples that are retrieved: the largest of those asked for that are not too many."""
    return [k for k in numbers if k <= MOST_RETRIEVED][-_TRIED:] or list(numbers[:1])


def _named(k: int, retrieved: bool = False, plain: bool = False) -> str:
    which = "retrieved " if retrieved else ""
    return f"{k} {which}example{'' if k == 1 else 's'}{', plain layout' if plain else ''}"


register(FewShot())
