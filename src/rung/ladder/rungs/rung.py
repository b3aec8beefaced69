"""What a rung is: a forecast of its cost, and a run that ends in something that answers rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rung.config import Settings
from rung.errors import UsageError, nearest
from rung.ladder.context import Context
from rung.ladder.options import require_options
from rung.ladder.responder import Responder
from rung.records import Choice, CurvePoint, Measure, Mechanism, Quote, RungKind, Task, Tradeoff
from rung.registry import Registry


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the run of a rung returns. Test rows have not been used yet."""

    responder: Responder
    choices: tuple[Choice, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    forgetting: tuple[Measure, ...] = ()
    tradeoffs: tuple[Tradeoff, ...] = ()
    notes: tuple[str, ...] = ()
    mechanisms: tuple[Mechanism, ...] = ()
    applied: dict[str, Any] = field(default_factory=dict)  # settings as used
    train_seconds: float | None = None
    earlier_seconds: float = 0.0  # of training, and of the race before it, in a process that was stopped
    train_tokens: int | None = None
    trainable_parameters: int | None = None
    adapter_bytes: int | None = None
    before_seconds: float = 0.0  # another rung's, whose adapter it uses; part of what it costs
    done: float = 1.0  # the share of the planned steps that was taken before the limit
    close: Callable[[], None] = lambda: None  # called when the test rows have been answered


class Skipped(Exception):
    """Raised by `Rung.run` where what it needs is not there; `str` says what. It is skipped, not failed."""


class Rung(ABC):
    """One thing to try. A subclass or an instance of one is registered with `register`."""

    name: str  # in --rungs, in results/ and predictions/
    formerly: str = ""  # an earlier name, which run folders may still hold
    title: str  # for the screen
    kind: RungKind  # floor, classical, prompt, probe, tune or remote
    method: str = ""  # goes into `Result.method`; the name if empty
    needs_base: bool = True  # whether `quote` or `run` use `Context.prepared`; those that do not run first
    needs_documents: bool = False  # whether it is tried only where the settings name documents
    needs_answers: bool = False  # whether it learns from the answers of train rows, and from no text alone
    on_request: bool = False  # whether a climb tries it only where `--rungs` names it

    @property
    def trains(self) -> bool:
        """Whether its run trains a method; one that only uses another rung's adapter does not."""
        return self.kind == "tune"

    def check(self, settings: Settings) -> None:  # noqa: B027  most have nothing to check
        """Raises `UsageError` where what `settings` ask of this rung cannot be; called at first."""

    def applies(self, task: Task) -> bool:
        """Whether the rung can be tried on `task`."""
        return True

    def offered(self, task: Task | None) -> bool:
        """Whether a climb tries it unless `--rungs` says otherwise; of no task yet, whether one could."""
        return not self.on_request and (task is None or self.applies(task))

    def view(self, context: Context) -> Context:
        """The context with the rows as the rung is trained on them."""
        return context

    @abstractmethod
    def quote(self, context: Context) -> Quote:
        """The forecast for ``context.size``: arithmetic on ``context.work`` and ``context.speeds``.

        Called for many sizes while the plan is made, so what is slow must be kept in the context.
        """

    @abstractmethod
    def run(self, context: Context, limit: float | None) -> Outcome:
        """Learn from train, choose on dev. `limit` is the number of seconds after which training stops."""

    @abstractmethod
    def load(self, folder: Path) -> Responder:
        """What ``Responder.save(folder)`` wrote."""


class Rungs(Registry[Rung]):
    """The ladder, cheapest first. Some rungs are not in the list: they are made when they are asked for."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.make: Callable[[str], Rung | None] = lambda name: None

    def __getitem__(self, name: str) -> Rung:
        name = self._now(name)
        return self._items.get(name) or self.make(name) or super().__getitem__(name)

    def __contains__(self, name: str) -> bool:
        try:
            return self._now(name) in self._items or self.make(name) is not None
        except UsageError:
            return False

    def _now(self, name: str) -> str:
        """The name today of the rung that was called `name` when a run folder was written."""
        return next((new for new, rung in self._items.items() if name and rung.formerly == name), name)


ALL = "all"  # in --rungs
RUNGS = Rungs("rung")


def register(rung: Rung) -> None:
    """Put `rung` at the end of the ladder. Raises `ValueError` where its name is taken."""
    RUNGS.add(rung.name, rung)


def place(rung: Rung) -> int:
    """Where `rung` stands on the ladder, from 0; one that is not listed stands with the first of its kind."""
    names = list(RUNGS)
    if rung.name in names:
        return names.index(rung.name)
    return next((i for i, (_, one) in enumerate(RUNGS.items()) if one.kind == rung.kind), len(names))


def rung_of(method: str) -> Rung:
    """The rung that tunes with `method`. Raises `UsageError` that names the nearest known one."""
    tuned = [rung for _, rung in RUNGS.items() if rung.kind == "tune" and not rung.needs_documents]
    known = {rung.method: rung for rung in tuned}
    found = known.get(method) or RUNGS.make(method)
    if found is None:
        raise UsageError(
            f"unknown method {method!r}.{nearest(method, known)}", fix=f"Known: {', '.join(known)}"
        )
    return found


def asked_for(settings: Settings, task: Task | None = None) -> list[Rung]:
    """The rungs of a climb, each once, cheapest first; with a method, only the tuned rung that uses it.

    If the settings name none, these are the rungs that apply to `task` and are not only run on request; with
    ``all``, these too.
    Raises `UsageError` for an unknown rung or method, for one that needs documents where there are none, or
    if nothing is left.
    """
    only = rung_of(settings.method) if settings.method else None
    listed = [rung for rung in _listed(only) if settings.library or not rung.needs_documents]
    if settings.rungs is None:
        named = [rung for rung in listed if rung.offered(task) or rung is only]
    elif ALL in settings.rungs:
        named = [rung for rung in listed if task is None or rung.applies(task)]
    else:
        named = list(dict.fromkeys(RUNGS[name] for name in settings.rungs))
    rungs = [rung for rung in named if only is None or rung.kind != "tune" or rung.method == only.method]
    require_options(settings)
    for rung in rungs:
        if rung.needs_documents and not settings.library:
            raise UsageError(
                f"the rung {rung.name!r} looks answers up in documents, and none are named",
                fix="Name a file or a folder with --documents, or a catalogue of APIs with --apis",
            )
        rung.check(settings)
    if not rungs:
        raise UsageError(
            f"no rung is left with the method {settings.method!r}", fix="Leave out --rungs or --method"
        )
    return sorted(rungs, key=place)


def _listed(only: Rung | None) -> list[Rung]:
    """The ladder, and the rung `only` where it is not in the list."""
    return list(dict.fromkeys([*(rung for _, rung in RUNGS.items()), *([only] if only else [])]))
