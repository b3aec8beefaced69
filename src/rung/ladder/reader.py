"""A tuned model that is asked with passages: it looks them up for every row, then answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rung import storage
from rung.data.templates import Renderer
from rung.errors import ResumeError
from rung.ladder import library, tuning
from rung.ladder.library import Library
from rung.ladder.reading import PLACE, shortest
from rung.ladder.responder import Responder, Scores
from rung.ladder.showing import with_passages
from rung.ladder.watch import Watcher
from rung.records import Completion, Example, Passage, Task, from_json, to_json

FILE, MODEL = "passages.json", "model"


@dataclass(frozen=True)
class Lookup:
    """Puts `passages` passages of `library` into the prompt of a row, or as many as fit."""

    renderer: Renderer
    task: Task
    library: Library
    passages: int
    room: int  # tokens a prompt may have

    def shown(self, examples: Sequence[Example]) -> list[Example]:
        """The rows with their passages. A row that the template cannot write is left as it is: the model
        refuses it."""
        near = self.library.like(examples, self.passages)
        return [self._shown(one, passages) for one, passages in zip(examples, near, strict=True)]

    def _shown(self, example: Example, near: Sequence[Passage]) -> Example:
        def made(some: Sequence[Passage]) -> tuple[Example, int]:
            row = with_passages(self.task, example, some, PLACE)
            return row, len(self.renderer.prompt_ids(row.prompt))

        return shortest(made, near, self.room)


@dataclass(frozen=True)
class Reader(Responder):
    """`model` answers rows with passages in their prompts."""

    model: Responder
    lookup: Lookup

    def answer(self, examples: Sequence[Example], watcher: Watcher | None = None) -> list[Completion]:
        return self.model.answer(self.lookup.shown(examples), watcher)

    def score(self, examples: Sequence[Example], choices: Sequence[str]) -> Scores | None:
        return self.model.score(self.lookup.shown(examples), choices)

    def tokens(self, choices: Sequence[str]) -> list[int] | None:
        return self.model.tokens(choices)

    def answer_and_score(
        self, examples: Sequence[Example], choices: Sequence[str]
    ) -> tuple[list[Completion], Scores | None]:
        return self.model.answer_and_score(self.lookup.shown(examples), choices)

    def save(self, folder: Path) -> None:
        lookup = self.lookup
        value = {
            "task": to_json(lookup.task),
            "library": lookup.library.reference(folder),
            "passages": lookup.passages,
            "room": lookup.room,
        }
        storage.write_folder(folder, {FILE: storage.as_json(value)})
        self.model.save(folder / MODEL)


def load(folder: Path) -> Reader:
    """What `Reader.save` wrote. Raises `ResumeError`, `AdapterError` or `BaseModelError`."""
    lookup = _lookup(folder)
    model = tuning.load(folder / MODEL)
    if not isinstance(model, tuning.TunedResponder):
        raise ResumeError("holds another kind of model", where=folder.name, fix="Climb again")
    return Reader(model, lookup(model.speaker.renderer))


def of_adapter(adapter: Path, renderer: Renderer) -> Lookup | None:
    """How the rung whose adapter is in the folder `adapter` of a run looks passages up.

    None where it does not, or where the adapter is no longer in its run folder.
    Raises `ResumeError` where the passages are gone or are others.
    """
    adapter = adapter.resolve()
    folder = adapter.parent.parent / "answer" / adapter.name
    return _lookup(folder)(renderer) if (folder / FILE).is_file() else None


def _lookup(folder: Path) -> Callable[[Renderer], Lookup]:
    """What `Reader.save` wrote of its lookup to `folder`, for a renderer."""
    storage.verify_folder(folder)
    value = storage.read_object(folder / FILE, task=dict, library=dict, passages=int, room=int)
    known, task = library.of_reference(folder, value["library"]), from_json(Task, value["task"], FILE)
    return lambda renderer: Lookup(renderer, task, known, value["passages"], value["room"])
