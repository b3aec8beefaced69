"""What the prompting rungs share."""

from __future__ import annotations

import pytest

from contexts import SLOW, context_of
from rung.ladder.forecast import prompt_seconds
from rung.ladder.prepare import Prepared
from rung.ladder.rungs import RUNGS
from rung.ladder.rungs.prompt import PromptRung


@pytest.mark.parametrize("name", ["zero-shot", "few-shot"])
def test_a_quote_is_the_time_of_its_ways_and_no_training(prepared: Prepared, name: str) -> None:
    rung, context = RUNGS[name], context_of(prepared)
    assert isinstance(rung, PromptRung)
    quote = rung.quote(context)
    assert quote.seconds == prompt_seconds(context.work, SLOW, context.size, *rung.tries(context))
    assert (quote.train_seconds, quote.train_rows, quote.memory_bytes) == (None, 0, None)
    assert len(rung.ways(context)) == rung.tries(context)[0]
