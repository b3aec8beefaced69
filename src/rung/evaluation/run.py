"""Ask a model: one path for every rung that has a base and for `rung evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rung.bases.base import Base
from rung.data.templates import Renderer
from rung.generate.batch import Read
from rung.generate.cache import Ids
from rung.generate.engine import Engine, Generated
from rung.records import Completion, Example, Message

Watch = Callable[[int, int], None]  # rows done, rows in all
Prompt = tuple[Message, ...]


@dataclass
class Speaker:
    """A base that can be asked: model, renderer and decoding engine."""

    base: Base
    renderer: Renderer
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = Engine(self.base)


def complete(
    speaker: Speaker,
    examples: Sequence[Example],
    prompts: Sequence[Prompt],
    max_new_tokens: int,
    watch: Watch | None = None,
) -> list[Completion]:
    """Greedy answers to `prompts`, one for each example."""
    return write(speaker, examples, speaker.renderer.prompts(examples, prompts), max_new_tokens, watch)


def write(
    speaker: Speaker,
    examples: Sequence[Example],
    ids: Sequence[Ids],
    max_new_tokens: int,
    watch: Watch | None = None,
    on_read: Read | None = None,
    grammars: Sequence[str] | None = None,
) -> list[Completion]:
    """As `complete`, for prompts that are token ids; `on_read` and `grammars` as in `Engine.generate`."""
    generated = speaker.engine.generate(
        ids,
        max_new_tokens=max_new_tokens,
        stop_ids=speaker.renderer.stop_ids,
        on_progress=watch,
        on_read=on_read,
        grammars=grammars,
    )
    return [
        _completion(speaker, example, one, len(prompt))
        for example, one, prompt in zip(examples, generated, ids, strict=True)
    ]


def _completion(speaker: Speaker, example: Example, one: Generated, read: int) -> Completion:
    ids = one.ids if one.stop is None else (*one.ids, one.stop)
    text = speaker.renderer.decode(ids)
    return Completion(example.id, text, len(ids), one.truncated, read, altered=one.altered)
