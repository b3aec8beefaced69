"""One rung for each method of `rung.methods`; a climb tries two of them unless it is asked for others.

A method of PEFT gets its rung when ``peft:NAME`` is asked for; in the names of files it is ``peft-NAME``.
"""

from functools import cache

from rung.ladder.rungs.head import HeadRung
from rung.ladder.rungs.pairs import PairRung
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


@cache
def made(name: str) -> Rung | None:
    """The rung of a name that is not listed: of a method of PEFT, or ``NAME-dpo``; None for other names."""
    method = peft_names.from_folder(name)
    if not METHODS.prefers(method):
        return of_peft(name)
    plain = METHODS.plain(method)
    if plain.startswith(peft_names.MARK):
        peft_names.require(plain)
    return made(method) if method != name else _preferring(method, on_request=True)


def _preferring(method: str, on_request: bool = False) -> Rung:
    folder = peft_names.folder_name(method) if method.startswith(peft_names.MARK) else method
    return PairRung(folder, METHODS.title(method), method, on_request)


for name in METHODS:
    kind = HeadRung if METHODS.classifies(name) else TuneRung
    register(kind(name, METHODS.title(name), method=name, on_request=name not in USUAL))
register(_preferring("lora-dpo"))
RUNGS.make = made
