"""Messages to token ids: training, prompting and evaluation all render here.

The base's own chat template writes every conversation, so the ids are those of
``tokenizer.apply_chat_template``, also where the template depends on the text. The texts of messages keep
their origin on the way (`rung.data.traced`): only what the template itself wrote can become a special token,
so a text that contains ``<|im_end|>`` cannot end a turn, and words that a template loses are noticed.

An answer is tokenised apart from its prompt. So the prompt's ids are always a prefix of the trained ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from rung.border import foreign
from rung.data.sandbox import Template
from rung.data.tokens import Run, Tokens
from rung.data.traced import Traced, joined, plain, spans, traced
from rung.data.turns import Stretch, locate, refusal
from rung.errors import BaseModelError, TurnsError
from rung.records import Example, Message, Rendered

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == 'system' %}{{ message.content + '\n\n' }}
    {%- elif message.role == 'assistant' %}{{ 'Assistant: ' + message.content + eos_token + '\n\n' }}
    {%- else %}{{ message.role.capitalize() + ': ' + message.content + '\n\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"""

_SYSTEM = Message("system", "Be kind.")
_USER = Message("user", "Good day to you.")
_ANSWER = Message("assistant", "And to you.")
_Turn = dict[str, str]
T = TypeVar("T")


class Renderer:
    """Messages to token ids, by the base's own chat template.

    `template` None takes the tokenizer's; if it has none, a plain one that ends answers with eos.
    Raises `BaseModelError` where the template is hostile or broken, loses or changes the text of plain
    messages, or where neither it nor the tokenizer has a token that ends a turn.

    Attributes: `invented`, true where the base has no template and a plain one is used; `stop_ids`, the ids
    that end an answer; `fingerprint`, sha256 (hex) of the template and the special tokens; `system_folded`,
    true where the template has no place for a system message and its text goes before the first user turn;
    `template`, the source in use.
    """

    _ours = False  # whether the template is rung's own: then the tokenizer says how a text begins

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str | None = None) -> None:
        self.tokenizer: Any = tokenizer
        with foreign(_unusable):
            self._learn(template)

    def _learn(self, template: str | None) -> None:
        """Find out what the template and the tokenizer do."""
        tokenizer = self.tokenizer
        own = template if template is not None else _own_template(tokenizer)
        self.invented = not own
        self.template = own or PLAIN
        self._template = Template(self.template)
        self._tokens = Tokens(tokenizer)
        self._variables = dict(self.tokenizer.special_tokens_map)
        self._variables.setdefault("eos_token", "")
        if self._ours or self.template == PLAIN:
            self._variables["bos_token"] = _leading_bos(self.tokenizer)
        self.system_folded = False
        self._opening = ""
        self._set_turn()
        self._set_strips()
        self.system_folded = not self._holds_system()
        self.fingerprint = self._fingerprint()

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Ids of `messages` and the opening of the assistant's answer.

        Raises `TurnsError` where the template refuses the messages, or drops or changes their text.
        """
        text = self._write(messages)
        locate(text, messages)
        return self._tokens.read(text, self._tokens.cut(text))[0]

    def marked_ids(self, messages: Sequence[Message], own: Collection[int]) -> tuple[list[int], list[bool]]:
        """`prompt_ids`, and true for each id that begins in the text of a message numbered in `own`."""
        text = self._write(messages)
        places = locate(text, messages)
        stretches = [place for number, place in enumerate(places) if place is not None and number in own]
        return self._tokens.read(text, self._tokens.cut(text), stretches)

    def prompts(self, examples: Sequence[Example], prompts: Sequence[Sequence[Message]]) -> list[list[int]]:
        """`prompt_ids` of one prompt for each example. Raises one `DataError` that names all rows that cannot
        be written."""
        return each_row(examples, prompts, self.prompt_ids)

    def completion_ids(self, text: str) -> list[int]:
        """Ids of an answer, its end of turn included."""
        whole = self._lead + text.lstrip(self._strips[0]).rstrip(self._strips[1]) + self._tail
        return [*self._tokens.encode(whole, anchored=self._anchored), self._end_id]

    def text_ids(self, text: str) -> list[int]:
        """Ids of a text that is no turn of a conversation; it begins as the tokenizer begins a text."""
        bos = self.tokenizer.bos_token_id if _leading_bos(self.tokenizer) else None
        return [*([] if bos is None else [bos]), *self._tokens.encode(text)]

    def render(self, example: Example) -> Rendered:
        """An example as ids. The mask is true on the last answer and on each earlier one that may be learned.

        The end of a turn is learned with it. An earlier answer that the template shows without its thoughts
        is not learned. Raises `TurnsError` with the example's row; see `prompt_ids`.
        """
        try:
            text = self._write(example.prompt)
            places = locate(text, example.prompt)
        except TurnsError as error:
            raise _of_row(error, example) from error
        answers = [
            place
            for message, place in zip(example.prompt, places, strict=True)
            if message.role == "assistant" and message.learn and message.content.strip()
        ]
        runs = self._tokens.cut(text)
        prompt, mask = self._tokens.read(text, runs, self._whole_turns(text, runs, answers))
        completion = self.completion_ids(example.target)
        mask += [True] * len(completion)
        return Rendered(example.id, (*prompt, *completion), tuple(mask), answers.count(None))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer, special tokens left out; `ids` may hold the stop token."""
        kept = [i for i in ids if i not in self.stop_ids]
        text = str(self.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        return text.removeprefix(self._lead)

    def control_tokens(self, text: str) -> list[str]:
        """The special tokens that `text` spells out, in order; rendered, they are plain characters."""
        return self._tokens.spelled(text)

    @property
    def written_template(self) -> str:
        """The template for other programs: it writes a bos exactly where rung does."""
        bos = self._variables.get("bos_token") or self.template != PLAIN
        return self.template if bos else self.template.removeprefix("{{- bos_token }}\n")

    def _write(self, messages: Sequence[Message]) -> str:
        """What the template writes, and the opening of the answer; texts keep the number of their message."""
        try:
            text = self._draw(messages)
            if any(self._tokens.first(message.content) for message in messages):
                self._require_own_tokens(text, messages)
        except BaseModelError as error:
            raise TurnsError(error.what, fix=error.fix) from error
        return joined((text, self._opening)) if self._opening else text

    def _draw(self, messages: Sequence[Message], opened: bool = True) -> str:
        turns: list[_Turn] = [
            {"role": m.role, "content": traced(m.content, i)} for i, m in enumerate(messages)
        ]
        if self.system_folded:
            turns = _fold(turns)
        return self._template.render(turns, **{**self._variables, "add_generation_prompt": opened})

    def _require_own_tokens(self, text: str, messages: Sequence[Message]) -> None:
        """Raises `TurnsError` where a copy of a text that lost its origin would give a special token."""
        harmless = [replace(m, content=self._tokens.without_special(m.content)) for m in messages]
        tokens, wanted = ([run.token for run in self._tokens.cut(t)] for t in (text, self._draw(harmless)))
        if tokens != wanted:
            raise TurnsError(
                "the chat template turns special tokens that a text spells out into real ones",
                fix="Take them out of the text, or use another base",
            )

    def _whole_turns(
        self, text: str, runs: Sequence[Run], answers: Sequence[Stretch | None]
    ) -> list[Stretch]:
        """Answers with the space before them and their end of turn, where they are written like the last."""
        words = plain(text)
        ends = {run.at: run.token for run in runs if run.token} if answers else {}
        whole = []
        for start, end in filter(None, answers):
            if words.endswith(self._lead, 0, start):
                start -= len(self._lead)
            stop = end + len(self._tail)
            token = ends.get(stop, "") if words.startswith(self._tail, end) else ""
            closed = token and self._tokens.special[token] in self.stop_ids
            whole.append((start, stop + len(token) if closed else end))
        return whole

    # What the template does with an answer, found out by letting it write one.

    def _probe(self, *messages: Message, opened: bool = True) -> tuple[str, list[Stretch | None]]:
        text = self._draw(messages, opened)
        try:
            return text, locate(text, messages)
        except TurnsError as error:
            raise BaseModelError(error.reason, fix="Use another base or template") from error

    def _set_turn(self) -> None:
        """Learn how an answer opens and ends."""
        whole, places = self._probe(_USER, _ANSWER, opened=False)
        opened, bare = self._probe(_USER)[0], self._probe(_USER, opened=False)[0]
        if places[1] is None or sum(span[2:] == (1, 0, len(_ANSWER.content)) for span in spans(whole)) != 1:
            raise BaseModelError(
                "the chat template does not write the text of each assistant message exactly once",
                fix="Use another base or template",
            )
        start, stop = places[1]
        before, after = plain(whole)[:start], plain(whole)[stop:]
        extra = before[len(opened) :] if before.startswith(opened) else ""
        self._lead = extra if extra.isspace() else ""
        self._opening = extra if opened == bare and not self._lead else ""
        end = self._tokens.first(after)
        if end is None and (ordinary := [text for text in self._tokens.added if text in after]):
            self._tokens.make_special(min(ordinary, key=after.index))
            end = self._tokens.first(after)
        eos = self.tokenizer.eos_token_id
        if end is None and eos is None:
            raise BaseModelError(
                "neither the chat template nor the tokenizer has a token that ends a turn",
                fix="Set eos_token in the base's tokenizer_config.json",
            )
        self._tail = after[: end.start()] if end else ""
        self._end_id = self._tokens.special[end[0]] if end else int(eos)
        self.stop_ids = frozenset({self._end_id} | ({int(eos)} if eos is not None else set()))
        spaced = self._tokens.set_anchor(self.tokenizer.convert_ids_to_tokens(self._end_id))
        last = self._tokens.cut(joined((opened, self._opening)))[-1]
        follows = last.start == last.stop > 0  # the answer comes right after a special token
        self._anchored = self._tokens.anchored if follows and not self._lead else spaced

    def _set_strips(self) -> None:
        """Learn which spaces the template takes off the ends of an answer."""

        def taken(text: str, end: int) -> str | None:
            """The characters that are gone at one end, 0 or -1; None for all kinds of space."""
            gone = ""
            for space in (" ", "\n"):
                padded = space + text if end == 0 else text + space
                whole = self._draw([_USER, replace(_ANSWER, content=padded)], opened=False)
                span = max(
                    (one for one in spans(whole) if one.source == 1), key=lambda one: one.end - one.start
                )
                if (span.first, span.last)[end] != (0, len(padded))[end]:
                    gone += space
            return gone if len(gone) < 2 else None

        self._strips = taken(_ANSWER.content, 0), taken(_ANSWER.content, -1)

    def _holds_system(self) -> bool:
        try:
            self._probe(_SYSTEM, _USER)
        except BaseModelError:
            return False
        return True

    def _fingerprint(self) -> str:
        added = self._tokens.added
        tokens = {text: int(self.tokenizer.convert_tokens_to_ids(text)) for text in sorted(added)}
        named = {name: str(text) for name, text in self._variables.items()}
        said = json.dumps([self.template, tokens, named, len(self.tokenizer)], sort_keys=True)
        return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()


def _unusable(text: str) -> BaseModelError:
    return BaseModelError(
        f"the base's tokenizer and chat template cannot be used: {text}",
        fix="Copy the tokenizer files from the original again, or use another base",
    )


def each_row(
    examples: Sequence[Example],
    prompts: Sequence[Sequence[Message]],
    write: Callable[[Sequence[Message]], T],
) -> list[T]:
    """What `write` makes of the prompt of each example. Raises one `DataError` with all rows it refuses."""
    found, errors = list[T](), list[TurnsError]()
    for example, messages in zip(examples, prompts, strict=True):
        try:
            found.append(write(messages))
        except TurnsError as error:
            errors.append(_of_row(error, example))
    if errors:
        raise refusal(errors)
    return found


def _own_template(tokenizer: Any) -> str | None:
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default")
    return str(template) if template else None


def _leading_bos(tokenizer: Any) -> str:
    """The bos that the tokenizer puts before a text by itself, or nothing."""
    ids = tokenizer("a")["input_ids"]
    bos = tokenizer.bos_token_id
    return str(tokenizer.bos_token) if bos is not None and ids and ids[0] == bos else ""


def _fold(turns: Sequence[_Turn]) -> list[_Turn]:
    """`turns` with the system text moved before the first user turn."""
    system = [turn["content"] for turn in turns if turn["role"] == "system" and turn["content"].strip()]
    rest = [turn for turn in turns if turn["role"] != "system"]
    if not system:
        return rest
    asked = [rest.pop(0)["content"]] if rest and rest[0]["role"] == "user" else []
    return [{"role": "user", "content": Traced("\n\n").join([*system, *asked])}, *rest]


def _of_row(error: TurnsError, example: Example) -> TurnsError:
    return TurnsError(error.reason, row=example.row, where=example.source, fix=error.fix)
