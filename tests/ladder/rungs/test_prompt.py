"""What the prompting rungs share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contexts import SLOW, context_of
from rung.config import make_settings
from rung.ladder.prepare import Prepared
from rung.ladder.prompt_forecast import prompt_seconds
from rung.ladder.rungs import RUNGS
from rung.ladder.rungs.prompt import PromptRung


@pytest.mark.parametrize("name", ["zero-shot", "few-shot"])
def test_a_quote_is_the_time_of_its_ways_and_no_training(prepared: Prepared, name: str) -> None:
    asked = replace(prepared, settings=make_settings({"base": "tiny", "shots": "2,4"}))
    rung, context = RUNGS[name], context_of(asked)
    assert isinstance(rung, PromptRung)
    quote = rung.quote(context)
    stages = [rung.asks(context), rung.further_asks(context)]
    assert (quote.low, quote.seconds, quote.high) == prompt_seconds(context.work, SLOW, context.size, stages)
    assert (quote.train_seconds, quote.train_rows, quote.memory_bytes) == (None, 0, None)
    ways = rung.ways(context)
    assert [len(ways), len(rung.further(context, ways[-1]))] == [len(asks) for asks in stages]


def test_the_allowance_is_kept_with_the_result(prepared: Prepared) -> None:
    outcome = RUNGS["zero-shot"].run(context_of(prepared), None)
    assert outcome.applied == {"max_new_tokens": prepared.max_new_tokens}
