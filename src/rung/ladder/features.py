"""Features of rows from the frozen base: hidden states pooled over each row's own text, read once and kept.

A file in the folder holds `mean` and `last`, each (layers, rows, d), of some rows shown in one way, in the
base's number format. Its header says which base, way, layers and example ids they are. Files are only ever
added, each whole or not at all, so several rungs, and several processes, can share the folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save

from rung import storage
from rung.border import foreign
from rung.data.templates import each_row
from rung.errors import ResumeError
from rung.evaluation.prompts import instruction, zero_shot
from rung.evaluation.run import Speaker, Watch
from rung.generate import states
from rung.plain import require_plain
from rung.records import Example, Message, Task

Shown = Literal["the row as it is", "with instruction"]
Pool = Literal["mean", "last"]
SHOWN: tuple[Shown, ...] = get_args(Shown)
POOLS: tuple[Pool, ...] = get_args(Pool)
_FILE_BYTES = 2**27  # of a file, about: what is held in memory while rows are read
_FEWEST = 64  # rows of a file, so that passes are full


@dataclass(frozen=True, slots=True)
class Reading:
    """How a row becomes d numbers: how it is shown, after which layer (from 1), how its tokens are pooled."""

    shown: Shown
    layer: int
    pool: Pool

    def __str__(self) -> str:
        pooled = "mean over the text" if self.pool == "mean" else "last token"
        return f"layer {self.layer}, {pooled}, {self.shown}"


class Tokens(NamedTuple):
    """A row as the base reads it, and the places of its own text: what `mean` is over."""

    ids: list[int]
    own: list[int]


def tokens_of(speaker: Speaker, task: Task, examples: Sequence[Example], shown: Shown) -> list[Tokens]:
    """The prompt of each row. Its own text is that of all turns but the system's, or else the whole prompt.

    Raises one `DataError` that names all rows that the chat template refuses.
    """

    def write(messages: Sequence[Message]) -> Tokens:
        turns = [place for place, message in enumerate(messages) if message.role != "system"]
        ids, mask = speaker.renderer.marked_ids(messages, turns)
        own = [place for place, mine in enumerate(mask) if mine]
        return Tokens(ids, own or list(range(len(ids))))

    asked = shown == "with instruction"
    return each_row(examples, [zero_shot(task, one) if asked else one.prompt for one in examples], write)


def fresh(
    speaker: Speaker, task: Task, examples: Sequence[Example], reading: Reading, watch: Watch | None = None
) -> tuple[NDArray[np.float32], list[int]]:
    """Features (examples, d), read now and not kept, and how many tokens each row has.

    Raises `DataError` for a row that is too long.
    """
    rows = tokens_of(speaker, task, examples, reading.shown)
    found = states.read(speaker.base, [r.ids for r in rows], [r.own for r in rows], [reading.layer], watch)
    features: NDArray[np.float32] = getattr(found, reading.pool)[0].float().numpy()
    return features, [len(row.ids) for row in rows]


class _File(NamedTuple):
    path: Path
    layers: list[int]
    rows: dict[str, int]  # example id -> place


class Features:
    """Features of rows for one base and task, kept in `folder`."""

    def __init__(self, speaker: Speaker, task: Task, folder: Path) -> None:
        self.speaker, self.task, self.folder = speaker, task, folder
        self._known: dict[Path, _File] = {}

    def of(
        self, examples: Sequence[Example], reading: Reading, watch: Watch | None = None
    ) -> NDArray[np.float32]:
        """Features (examples, d). Rows that are not kept yet are read; see `read`."""
        self.read(examples, reading.shown, [reading.layer], watch)
        width = self.speaker.base.model.config.get_text_config().hidden_size
        found = np.zeros((len(examples), width), dtype=np.float32)
        for file in self._files(reading.shown):
            here = [i for i, example in enumerate(examples) if example.id in file.rows]
            if here and reading.layer in file.layers:
                with safe_open(file.path, "pt") as opened:
                    layer = opened.get_slice(reading.pool)[file.layers.index(reading.layer)]  # (rows, d)
                found[here] = layer[[file.rows[examples[i].id] for i in here]].float().numpy()
        return found

    def read(
        self, examples: Sequence[Example], shown: Shown, layers: Sequence[int], watch: Watch | None = None
    ) -> None:
        """Read the rows of which not all `layers` (ascending) are kept; one pass gives all layers.

        Raises `DataError` for a row that is too long, `ResourceError` where the disk refuses.
        """
        kept = [file for file in self._files(shown) if set(layers) <= set(file.layers)]
        left = [example for example in examples if not any(example.id in file.rows for file in kept)]
        base = self.speaker.base
        width = base.model.config.get_text_config().hidden_size
        row_bytes = len(POOLS) * len(layers) * width * base.dtype.itemsize
        rows = max(_FEWEST, _FILE_BYTES // row_bytes)
        for start in range(0, len(left), rows):
            self._keep(left[start : start + rows], shown, list(layers), _shifted(watch, start, len(left)))

    def _keep(
        self, examples: Sequence[Example], shown: Shown, layers: list[int], watch: Watch | None
    ) -> None:
        rows = tokens_of(self.speaker, self.task, examples, shown)
        found = states.read(self.speaker.base, [r.ids for r in rows], [r.own for r in rows], layers, watch)
        ids = [example.id for example in examples]
        about = {"base": self.speaker.base.fingerprint, "shown": shown, "layers": layers, "ids": ids}
        name = f"{self._mark(shown)}-{storage.fingerprint(about)}.safetensors"
        header = {key: json.dumps(value) for key, value in about.items()}
        storage.write_file(self.folder / name, save({"mean": found.mean, "last": found.last}, header))

    def _files(self, shown: Shown) -> list[_File]:
        """What is kept of rows that were shown in this way."""
        paths = sorted(self.folder.glob(f"{self._mark(shown)}-*.safetensors"))
        for path in paths:
            if path not in self._known:
                with foreign(partial(_damaged, path)):
                    self._known[path] = _opened(path)
        return [self._known[path] for path in paths]

    def _mark(self, shown: Shown) -> str:
        """16 hex digits for everything that features depend on apart from the row."""
        base, renderer = self.speaker.base, self.speaker.renderer
        asked = instruction(self.task) if shown == "with instruction" else ""
        held = [base.fingerprint, str(base.dtype), *([base.bits] if base.bits else [])]
        return storage.fingerprint([*held, renderer.fingerprint, shown, asked])


def _opened(path: Path) -> _File:
    """What a file holds, by its header."""
    require_plain(path)
    with safe_open(path, "pt") as opened:
        header = {key: json.loads(value) for key, value in opened.metadata().items()}
        places = {example: place for place, example in enumerate(header["ids"])}
        for pool in POOLS:
            layers, rows, _ = opened.get_slice(pool).get_shape()
            if (layers, rows) != (len(header["layers"]), len(places)):
                raise ValueError(f"{pool!r} has {layers} layers and {rows} rows")
    return _File(path, header["layers"], places)


def _damaged(path: Path, text: str) -> ResumeError:
    what, fix = (
        f"hidden states that were kept are damaged: {text}",
        "Delete the file and run the same command again",
    )
    return ResumeError(what, where=path.name, fix=fix)


def _shifted(watch: Watch | None, start: int, total: int) -> Watch | None:
    """`watch` for a part of the rows that begins at `start`."""
    return None if watch is None else lambda done, _: watch(start + done, total)
