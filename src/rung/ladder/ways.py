"""Ways to ask: which examples and passages are shown, in which layout; and the prompts that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rung.data.plain_layout import PlainLayout, fits
from rung.data.rejected import REJECTED, is_pair
from rung.evaluation.prompts import content_free, few_shot
from rung.evaluation.run import Prompt, Speaker
from rung.evaluation.tasks import KINDS
from rung.ladder.library import Library
from rung.ladder.retrieval import Pool
from rung.ladder.showing import Place, with_passages
from rung.records import Example, Passage, Task

Similarity = Literal["words", "states"]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to ask."""

    name: str
    instruction: bool = True  # whether the task's instruction is added to the row
    shots: tuple[Example, ...] = ()  # examples that every prompt shows
    retrieved: int = 0  # examples that are like the row, the most similar one last, in their place
    plain: bool = False  # plain text instead of the base's chat template
    similarity: Similarity = "words"  # by which retrieved examples are found
    passages: int = 0  # that are like the row
    whole: bool = False  # all passages, the same in every prompt
    place: Place = "before"  # of the passages

    def prompt(
        self,
        task: Task,
        example: Example,
        shots: Sequence[Example] | None = None,
        passages: Sequence[Passage] = (),
    ) -> Prompt:
        """The turns that are shown to the base; `shots` and `passages` are those that were retrieved."""
        shown = self.shots if shots is None else shots
        example = with_passages(task, example, passages, self.place)
        if not shown and not self.instruction:
            return example.prompt
        return few_shot(task, shown, example, self.instruction)


@dataclass(frozen=True)
class Asker:
    """Writes the prompts of one way as token ids."""

    speaker: Speaker  # with the layout's renderer
    task: Task
    way: Way
    room: int  # tokens a prompt may have
    pool: Pool | None = None  # where the way retrieves examples
    library: Library | None = None  # where it retrieves passages

    def ids(self, examples: Sequence[Example]) -> list[list[int]]:
        """One prompt for each example. Where one is too long, the least similar of what was retrieved is
        left out: examples first, then passages.

        Raises `DataError` for rows that the chat template cannot write.
        """
        shots = self.pool.like(examples, self.way.retrieved) if self.pool is not None else None
        passages = self._passages(examples)
        prompts = [
            self.way.prompt(self.task, example, shots[i] if shots is not None else None, passages[i])
            for i, example in enumerate(examples)
        ]
        ids = self.speaker.renderer.prompts(examples, prompts)
        for i, example in enumerate(examples):
            near = passages[i] if self.way.passages else ()
            left = shots[i] if shots is not None else None
            while len(ids[i]) > self.room and (left or near):
                left, near = (left[1:], near) if left else (left, near[:-1])
                prompt = self.way.prompt(self.task, example, left, near)
                ids[i] = self.speaker.renderer.prompt_ids(prompt)
        return ids

    def _passages(self, examples: Sequence[Example]) -> list[tuple[Passage, ...]]:
        """Those shown to each example, the most similar one first."""
        if self.library is None:
            return [() for _ in examples]
        if self.way.whole:
            return [self.library.passages for _ in examples]
        return self.library.like(examples, self.way.passages)

    def empty_ids(self, example: Example) -> list[list[int]]:
        """The example's prompt without a text, a few times; none where what is shown depends on the text."""
        if self.pool is not None or self.way.passages:
            return []
        (passages,) = self._passages([example])
        prompt = self.way.prompt(self.task, example, None, passages)
        return [self.speaker.renderer.prompt_ids(one) for one in content_free(prompt)]


def plain_speaker(speaker: Speaker, task: Task) -> Speaker:
    """The same base with the plain layout. Raises `BaseModelError`, see `PlainLayout`."""
    return Speaker(speaker.base, PlainLayout(speaker.base.tokenizer, *KINDS[task.kind].headings(task)))


def plain_fits(train: Sequence[Example]) -> bool:
    """Whether every target, and every answer next to it, can be written in the plain layout."""
    others = (str(example.facts[REJECTED]) for example in train if is_pair(example))
    return all(fits(example.target) for example in train) and all(map(fits, others))
