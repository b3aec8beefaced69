"""Zero-shot prompting: the row with the task's instruction or without, as a chat or as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rung.ladder.context import Context
from rung.ladder.rungs.prompt import PromptRung
from rung.ladder.rungs.rung import register

if TYPE_CHECKING:
    from rung.ladder.prompt_forecast import Ask
    from rung.ladder.ways import Way


class ZeroShot(PromptRung):
    """No examples in the prompt."""

    name = "zero-shot"
    title = "zero-shot prompting"

    def ways(self, context: Context) -> list[Way]:
        from rung.ladder.ways import Way, plain_fits

        ways = [Way("with instruction")]
        if not context.task.labels:
            ways.append(Way("the row as it is", instruction=False))
        if plain_fits(context.prepared.split.train):
            ways.append(Way("plain layout", plain=True))
            ways.append(Way("plain layout without instruction", instruction=False, plain=True))
        return ways

    def asks(self, context: Context) -> list[Ask]:
        from rung.ladder.prompt_forecast import Ask

        return [Ask(context.work.prefix_tokens, context.work.tail_tokens)] * len(self.ways(context))


register(ZeroShot())
