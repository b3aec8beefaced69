"""Prompting with documents: the passages most like the row, or all of them where they fit.

Offered where the settings name documents. How many passages, where they stand, and whether examples from
train are shown too is chosen on dev.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rung.ladder.context import Context
from rung.ladder.rungs.few_shot import FEW_DEV, MOST_RETRIEVED
from rung.ladder.rungs.prompt import PromptRung
from rung.ladder.rungs.rung import Outcome, register
from rung.records import Quote

if TYPE_CHECKING:
    from rung.ladder.prompt_forecast import Ask
    from rung.ladder.ways import Way

SHARE = 0.1  # of the budget may be spent on reading what is retrieved for `ROWS` test rows
ROWS = 100
_TRIED = 2  # numbers of examples that are shown next to the passages


class Retrieval(PromptRung):
    """Passages that are like the row, in its prompt."""

    name = "retrieval"
    title = "prompting with retrieval"
    needs_documents = True

    def ways(self, context: Context) -> list[Way]:
        from rung.ladder.ways import Way

        return [Way(_named(k), passages=k) for k in numbers(context)]

    def further(self, context: Context, best: Way) -> list[Way]:
        """The best number of passages in other places and layouts, and next to examples."""
        k = best.passages
        ways = [replace(best, name=f"{_named(k)} after the question", place="after")]
        if context.plain:
            name = f"{_named(k)}, plain layout"
            ways.append(replace(best, name=name, place="system", plain=True))
        for shots in _shots(context):
            name = f"{_named(k)} and {shots} retrieved examples"
            ways.append(replace(best, name=name, retrieved=shots))
        return ways

    def asks(self, context: Context) -> list[Ask]:
        from rung.ladder.prompt_forecast import Ask
        from rung.ladder.reading import tokens_of

        work, each = context.work, tokens_of(context)
        written = None if context.task.labels else float(work.longest_answer)
        return [Ask(work.prefix_tokens, work.tail_tokens + k * each, written) for k in numbers(context)]

    def further_asks(self, context: Context) -> list[Ask]:
        from rung.ladder.prompt_forecast import Ask
        from rung.ladder.reading import tokens_of

        work, tried = context.work, numbers(context)
        own = work.tail_tokens + sum(tried) / len(tried) * tokens_of(context)
        layouts = [Ask(work.prefix_tokens, own)] * (1 + context.plain)
        return layouts + [Ask(work.prefix_tokens, own + k * work.row_tokens) for k in _shots(context)]

    def run(self, context: Context, limit: float | None) -> Outcome:
        from rung.ladder.reading import with_recall

        return with_recall(super().run(context, limit), context)


class WholeDocument(PromptRung):
    """All passages in every prompt; they are read once."""

    name = "document"
    title = "prompting with the whole document"
    needs_documents = True

    def ways(self, context: Context) -> list[Way]:
        from rung.ladder.ways import Way

        ways = [Way("the whole document", whole=True, place="system")]
        if context.plain:
            ways.append(Way("the whole document, plain layout", whole=True, place="system", plain=True))
        return ways

    def asks(self, context: Context) -> list[Ask]:
        from rung.ladder.prompt_forecast import Ask
        from rung.ladder.reading import all_tokens

        work = context.work
        written = None if context.task.labels else float(work.longest_answer)
        ask = Ask(work.prefix_tokens + all_tokens(context), work.tail_tokens, written)
        return [ask] * (1 + context.plain)

    def quote(self, context: Context) -> Quote:
        from rung.ladder.reading import all_tokens, longest_prompt

        prepared = context.prepared
        tokens = all_tokens(context)
        room = prepared.max_length - prepared.max_new_tokens - longest_prompt(context)
        if tokens > room:
            why = f"the documents have {tokens:,} tokens, and a prompt has room for {max(0, room):,}"
            return Quote(self.name, fits=False, why=f"{why} next to the longest row")
        return super().quote(context)


def numbers(context: Context) -> list[int]:
    """The numbers of passages that are tried, ascending: those that fit, and that the budget allows."""
    from rung.ladder.reading import longest_prompt, tokens_of

    prepared, each = context.prepared, tokens_of(context)
    asked = sorted(set(context.settings.passages))
    room = prepared.max_length - prepared.max_new_tokens - longest_prompt(context)
    most = min(float(room), _affordable(context))
    found = [k for k in asked if k * each <= most] or asked[:1]
    return found[::-2][::-1] if context.size.dev < FEW_DEV else found


def _shots(context: Context) -> list[int]:
    """The numbers of examples that are shown next to the passages."""
    from rung.ladder.reading import tokens_of

    few, work = context.size.dev < FEW_DEV, context.work
    room = _affordable(context) - numbers(context)[0] * tokens_of(context)
    fitting = [k for k in work.shots if k <= MOST_RETRIEVED and k * work.row_tokens <= room]
    return fitting[-(1 if few else _TRIED) :]


def _affordable(context: Context) -> float:
    """Tokens that may be added to a prompt, so that test rows are read within `SHARE` of the budget."""
    budget, rows = context.settings.budget, min(ROWS, max(1, len(context.whole.test)))
    return float("inf") if budget is None else SHARE * budget * context.speeds.prefill / rows


def _named(k: int) -> str:
    return f"with {k} passage{'' if k == 1 else 's'}"


register(Retrieval())
register(WholeDocument())
