"""Zero-shot prompting: the row with the task's instruction, or, where there are no labels, without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rung.ladder.context import Context
from rung.ladder.rungs.prompt import PromptRung
from rung.ladder.rungs.rung import register

if TYPE_CHECKING:
    from rung.ladder.prompting import Way


class ZeroShot(PromptRung):
    """No examples in the prompt."""

    name = "zero-shot"
    title = "zero-shot prompting"
    choice = "prompt"

    def ways(self, context: Context) -> list[Way]:
        from rung.ladder.prompting import Way

        ways = [Way("with instruction")]
        if not context.task.labels:
            ways.append(Way("the row as it is", instruction=False))
        return ways

    def tries(self, context: Context) -> tuple[int, int]:
        return 1 if context.work.label_tokens else 2, context.work.prefix_tokens


register(ZeroShot())
