"""One rung for each method of `rung.methods`; a climb tries two of them unless it is asked for others.

A method of PEFT gets its rung when ``peft:NAME`` is asked for; in the names of files it is ``peft-NAME``.
"""

from functools import cache

from rung.ladder.rungs.head import HeadRung
from rung.ladder.rungs.rung import RUNGS, Rung, register
from rung.ladder.rungs.tune import TuneRung
from rung.methods import peft_names
from rung.methods.table import METHODS

USUAL = ("lora", "full")


@cache
def of_peft(name: str) -> Rung | None:
    """The rung of ``peft:NAME`` or ``peft-NAME``; None for other names.

    Raises `UsageError` where PEFT has no such method or rung does not run it.
    """
    method = peft_names.from_folder(name)
    if not method.startswith(peft_names.MARK):
        return None
    if method != name:
        return of_peft(method)
    peft_names.require(method)
    return TuneRung(peft_names.folder_name(method), METHODS.title(method), method, on_request=True)


for name in METHODS:
    kind = HeadRung if METHODS.classifies(name) else TuneRung
    register(kind(name, METHODS.title(name), method=name, on_request=name not in USUAL))
RUNGS.make = of_peft
