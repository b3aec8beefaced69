"""Whether answers can be kept to the form of a task: it has a grammar, and the base's tokens can write it."""

from __future__ import annotations

from collections.abc import Callable

from rung.errors import BaseModelError, UsageError
from rung.evaluation.tasks import grammars
from rung.ladder.prepare import Prepared


def can_keep(prepared: Prepared, say: Callable[[str], None] | None = None) -> bool:
    """Whether they can. Where the task has a form that this base cannot keep to, `say` hears why."""
    found = (one for example in prepared.split.train for one in grammars(prepared.task, [example]) if one)
    grammar = next(found, "")
    if not grammar:
        return False
    from rung.generate.grammars import Grammars

    try:
        Grammars.of(prepared.base).hold(grammar)
    except (BaseModelError, UsageError) as error:
        if say is not None:
            say(f"answers are written freely: {error.what}: {error.why}")
        return False
    return True
