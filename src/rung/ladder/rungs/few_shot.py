"""Few-shot prompting: examples from train in the prompt, the same in all or those most like the row.

How many, in which layout, and which of the two is chosen on dev.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rung.data.split import sample
from rung.errors import UsageError
from rung.ladder.context import Context
from rung.ladder.rungs.prompt import PromptRung
from rung.ladder.rungs.rung import register

if TYPE_CHECKING:
    from rung.ladder.prompt_forecast import Ask
    from rung.ladder.retrieval import Pool
    from rung.ladder.ways import Way

MOST_RETRIEVED = 8  # examples; every prompt has its own, so none of their tokens are shared
_TRIED = 2  # numbers of retrieved examples
FEW_DEV = 60  # with fewer dev rows, half as many ways are tried, and half as many examples are retrieved
MOST_POOL = 2_000  # train rows that the base reads to find similar ones by hidden states
FEWEST_POOL = 100  # of these, where there are so many; otherwise the words alone say what is similar
POOL_SHARE = 0.03  # of the budget may be spent on reading them


class FewShot(PromptRung):
    """Examples from train in the prompt."""

    name = "few-shot"
    title = "few-shot prompting"
    needs_answers = True

    def ways(self, context: Context) -> list[Way]:
        from rung.ladder.ways import Way
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
        numbers = _fixed(context, list(fitting))
        ways = [Way(_named(k), shots=fitting[k]) for k in numbers]
        if context.plain:
            ways += [Way(_named(k, plain=True), shots=fitting[k], plain=True) for k in numbers]
        return ways

    def further(self, context: Context, best: Way) -> list[Way]:
        """Examples like the row, by words and by hidden states, in the layout that was best."""
        from rung.ladder.ways import Way

        kept = best.plain
        numbers = _retrieved(context)
        ways = [Way(_named(k, True, kept), retrieved=k, plain=kept) for k in numbers]
        if _pool_rows(context):
            name = _named(numbers[-1], True, kept, by=" by hidden states")
            ways.append(Way(name, retrieved=numbers[-1], plain=kept, similarity="states"))
        return ways

    def pool(self, context: Context, way: Way) -> Pool:
        if way.similarity == "words":
            return super().pool(context, way)
        from rung.ladder.retrieval import Pool

        rows = sample(context.prepared.split.train, _pool_rows(context), context.settings.seed)
        context.watcher.begin(self.name, "reading train rows to find similar ones")
        return Pool.by_states(rows, context.features, context.watcher.rows)

    def asks(self, context: Context) -> list[Ask]:
        from rung.ladder.prompt_forecast import Ask

        work = context.work
        layouts = 2 if context.plain else 1
        numbers = _fixed(context, list(work.shots))
        return [Ask(work.shots[k], work.tail_tokens) for k in numbers] * layouts

    def further_asks(self, context: Context) -> list[Ask]:
        from rung.ladder.prompt_forecast import Ask

        work = context.work
        numbers = _retrieved(context)
        asks = [Ask(work.prefix_tokens, work.tail_tokens + k * work.row_tokens) for k in numbers]
        if rows := _pool_rows(context):
            own = work.tail_tokens + (numbers[-1] + 1) * work.row_tokens  # the row itself is read twice
            asks.append(Ask(work.prefix_tokens, own, before=rows * work.row_tokens))
        return asks


def _fixed(context: Context, numbers: Sequence[int]) -> list[int]:
    """The numbers of fixed examples that are tried, ascending."""
    return sorted(numbers)[::-2][::-1] if context.size.dev < FEW_DEV else list(numbers)


def _retrieved(context: Context) -> list[int]:
    """The numbers of examples that are retrieved: the largest of those asked for that are not too many."""
    few, numbers = context.size.dev < FEW_DEV, list(context.work.shots)
    most = MOST_RETRIEVED // 2 if few else MOST_RETRIEVED
    return [k for k in numbers if k <= most][-(1 if few else _TRIED) :] or numbers[:1]


def _pool_rows(context: Context) -> int:
    """How many train rows are read to find similar ones by hidden states; 0: that is not tried."""
    if context.size.dev < FEW_DEV:
        return 0
    train, budget = len(context.split.train), context.settings.budget
    rows = min(train, MOST_POOL)
    if budget is not None:
        rows = min(rows, int(POOL_SHARE * budget * context.speeds.prefill / context.work.row_tokens))
    return rows if rows >= min(train, FEWEST_POOL) else 0


def _named(k: int, retrieved: bool = False, plain: bool = False, by: str = "") -> str:
    which = "retrieved " if retrieved else ""
    return f"{k} {which}example{'' if k == 1 else 's'}{by}{', plain layout' if plain else ''}"


register(FewShot())
