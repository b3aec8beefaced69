"""Few-shot prompting: the same examples in every prompt, their number chosen on dev."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rung.errors import UsageError
from rung.ladder.context import Context
from rung.ladder.rungs.prompt import PromptRung
from rung.ladder.rungs.rung import register

if TYPE_CHECKING:
    from rung.ladder.prompting import Way


class FewShot(PromptRung):
    """Examples from train in the prompt."""

    name = "few-shot"
    title = "few-shot prompting"
    choice = "k"

    def ways(self, context: Context) -> list[Way]:
        from rung.ladder.prompting import Way
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
        return [Way(str(k), shots=shots) for k, shots in fitting.items()]

    def tries(self, context: Context) -> tuple[int, int]:
        shots = context.work.shots
        return len(shots), max(shots.values(), default=0)


register(FewShot())
