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
        from rung.ladder.ways import Way

        ways = [Way("with instruction")]
        if not context.task.labels:
            ways.append(Way("the row as it is", instruction=False))
        if context.plain:
            ways.append(Way("plain layout", plain=True))
            ways.append(Way("plain layout without instruction", instruction=False, plain=True))
        return ways

    def asks(self, context: Context) -> list[Ask]:
        from rung.ladder.prompt_forecast import Ask

        work = context.work
        # a base that has seen no answer seldom ends a text where a target would
        written = None if context.task.labels else float(work.longest_answer)
        return [Ask(work.prefix_tokens, work.tail_tokens, written=written)] * len(self.ways(context))


register(ZeroShot())
