"""What a rung is given: settings, task, rows, the plan, and the base, which is loaded on first use.

This module imports no torch, and neither does a rung that does not ask for `Context.prepared`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rung import cost, machine
from rung.config import Settings
from rung.data.split import Split, sample
from rung.ladder.forecast import Size, Speeds, Workload, step_tokens
from rung.ladder.library import Library
from rung.ladder.watch import Watcher
from rung.records import Example, Task
from rung.run_folder import RunFolder

if TYPE_CHECKING:
    from rung.evaluation.forgetting import Text
    from rung.ladder.features import Features
    from rung.ladder.plan import Plan
    from rung.ladder.prepare import Prepared
    from rung.train.keep import General

PACK_TOKENS = 1024
TIMING = 0.1  # of the budget is spent on timing at most


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of memory: what this process holds, and what it may still take (None: not known)."""

    held: int
    free: int | None

    @classmethod
    def now(cls) -> Room:
        """What is only kept for reuse counts as free."""
        cost.trim()
        return cls(cost.resident() or 0, machine.free_memory())


@dataclass
class Context:
    """Everything a rung needs to forecast its cost and to run.

    While the plan is made, `size` holds the numbers that are being considered; once there is a plan
    (`settle`), dev and test of `split` hold the rows that rungs are measured on, and `whole` all rows. Train
    holds all rows in both: a rung that cannot afford them takes a sample.
    """

    settings: Settings
    task: Task
    split: Split
    folder: RunFolder
    watcher: Watcher
    load: Callable[[], Prepared]  # loads the base and renders the rows; called once, if at all
    size: Size
    forgetting: bool = False  # whether any rung of the ladder is measured on what it forgot
    pack_tokens: int = PACK_TOKENS
    base_name: str = ""  # for the records; empty where no rung needs a base
    library: Library | None = None  # the passages of the user's documents
    fingerprint: str = ""  # of everything that decides the results
    asked: Mapping[str, Any] = field(default_factory=dict)  # settings as the user gave them
    planned: Plan | None = None
    room: Room | None = None  # when the plan began to be made; None before
    general: dict[int, General] = field(default_factory=dict)  # by the number of texts, once they are read
    reading: dict[str, object] = field(default_factory=dict)  # of `rung.ladder.reading`: rows with passages
    whole: Split = field(init=False)

    def __post_init__(self) -> None:
        self.whole = self.split

    @property
    def plan(self) -> Plan:
        """The plan that was settled on."""
        assert self.planned is not None
        return self.planned

    @cached_property
    def prepared(self) -> Prepared:
        """The base and all rows as its tokens. Raises `DataError` or `BaseModelError`."""
        return self.load()

    @cached_property
    def texts(self) -> tuple[Text, ...]:
        """What the plain base writes after general prompts; forgetting is measured against it."""
        if not self.forgetting:
            return ()
        from rung.bases.catalog import cache_dir
        from rung.evaluation import forgetting

        speaker = self.prepared.speaker
        return tuple(forgetting.reference(speaker.engine, speaker.renderer, cache_dir() / "general"))

    @cached_property
    def work(self) -> Workload:
        """How many tokens the rows have."""
        from rung.ladder.workload import measure_workload

        general = sum(len(text.prompt) + len(text.written) for text in self.texts)
        return measure_workload(self.prepared, general)

    @cached_property
    def plain(self) -> bool:
        """Whether every target that is learned from can be written in the plain layout."""
        from rung.ladder.ways import plain_fits

        return plain_fits(self.prepared.split.asking)

    @cached_property
    def speeds(self) -> Speeds:
        """Speeds of this machine, from the plan; others are measured on first use."""
        from rung.ladder.quote import Allowance, Timing

        budget, size = self.settings.budget, self.size
        return Timing(
            self.prepared,
            self.work,
            self.texts,
            pack_tokens=self.pack_tokens,
            step_tokens=step_tokens(self.settings, self.work, size.train, size.epochs),
            allowance=Allowance(None if budget is None else TIMING * budget),
            watcher=self.watcher,
            known=self.planned.rates if self.planned else None,
        )

    @cached_property
    def features(self) -> Features:
        """Hidden states of rows, pooled: each row is read once for all rungs."""
        from rung.ladder.features import Features

        return Features(self.prepared.speaker, self.task, self.folder.file("features"))

    def settle(self, plan: Plan) -> None:
        """Take over the sizes of `plan`."""
        self.planned = plan
        self.pack_tokens = plan.pack_tokens
        self.size = plan.size
        whole = self.whole
        dev = sample(whole.dev, plan.dev_rows, self.settings.seed)
        self.split = replace(whole, dev=dev, test=self.sampled(whole.test, plan.test_rows))

    def learn_from(self, split: Split) -> None:
        """Take over `split`, whose train rows are other ones; `load` must give these from now on.

        Speeds and texts stay; what was read of the rows is read again.
        """
        self.split = self.whole = split
        self.reading.clear()
        for name in ("prepared", "work", "plain"):
            self.__dict__.pop(name, None)
        if self.planned is not None:
            self.settle(self.planned)

    def sampled(self, test: tuple[Example, ...], rows: int) -> tuple[Example, ...]:
        """`rows` of the test rows, each label with its share of them; fewer are a subset of more."""
        stratum = (lambda example: example.target.strip()) if self.task.labels else None
        return sample(test, rows, self.settings.seed, stratum)
