"""The one writer of tokens: training, prompting, evaluation and serving all render here.

The template never sees a message's text.  It is rendered once for each sequence of roles with
placeholders; what it wrote around them is tokenised with special tokens, the texts without.  So a text
that contains ``<|im_end|>`` cannot end a turn, the prompt's ids are always a prefix of the trained ids,
and on ordinary texts the ids equal those of ``tokenizer.apply_chat_template``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rung.data.sandbox import Template
from rung.errors import BaseModelError
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


@dataclass(frozen=True, slots=True)
class _Slot:
    """The place of a message's text; which ends of it the template strips."""

    index: int
    lstrip: bool
    rstrip: bool

    def cut(self, text: str) -> str:
        text = text.lstrip() if self.lstrip else text
        return text.rstrip() if self.rstrip else text


@dataclass(frozen=True, slots=True)
class _Run:
    """Text between two special tokens that holds at least one slot; tokenised as one string."""

    pieces: tuple[str | _Slot, ...]
    inside: bool  # not at the start of the text


_Plan = tuple[tuple[int, ...] | _Run, ...]


class Renderer:
    """Messages to token ids, by the base's own chat template.

    `template` None takes the tokenizer's; if it has none, a plain one that ends answers with eos.
    Raises `BaseModelError` where the template is hostile, broken or loses a message, or where neither
    it nor the tokenizer has a token that ends a turn.

    Attributes: `stop_ids`, the ids that end an answer; `fingerprint`, sha256 (hex) of the template and
    the special tokens; `system_folded`, true where the template has no place for a system message and
    its text goes before the first user turn; `template`, the source in use.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str | None = None) -> None:
        self.tokenizer: Any = tokenizer
        self.template = template if template is not None else _own_template(tokenizer) or PLAIN
        self._template = Template(self.template)
        self._mark = f"Q{secrets.token_hex(12)}x"
        self._slot = re.compile(self._mark + r"(\d+)y")
        self._plans: dict[tuple[str, ...], _Plan] = {}
        self._variables = dict(self.tokenizer.special_tokens_map)
        self._variables.setdefault("eos_token", "")
        if self.template == PLAIN:
            self._variables["bos_token"] = _leading_bos(self.tokenizer)
        self._added = _added_tokens(self.tokenizer)
        self._set_control([text for text, token in self._added.items() if token.special])
        self._set_turn()
        self._set_anchor()
        self.system_folded = not self._holds_system()
        self.fingerprint = self._fingerprint()

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Ids of `messages` and the opening of the assistant's answer."""
        if self.system_folded:
            messages = _fold(messages)
        roles = tuple(message.role for message in messages)
        if roles not in self._plans:
            self._plans[roles] = self._plan(roles)
        ids: list[int] = []
        for part in self._plans[roles]:
            if isinstance(part, tuple):
                ids += part
                continue
            text = "".join(
                piece if isinstance(piece, str) else piece.cut(messages[piece.index].content)
                for piece in part.pieces
            )
            ids += self._encode(text, anchored=part.inside and self._anchored)
        return ids

    def completion_ids(self, text: str) -> list[int]:
        """Ids of an answer, its end of turn included."""
        whole = self._lead + self._answer.cut(text) + self._tail
        return [*self._encode(whole, anchored=self._anchored_answer), self._end_id]

    def render(self, example: Example) -> Rendered:
        """An example as ids; the mask is true on the target and its end of turn."""
        prompt, completion = self.prompt_ids(example.prompt), self.completion_ids(example.target)
        mask = (False,) * len(prompt) + (True,) * len(completion)
        return Rendered(example.id, (*prompt, *completion), mask)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer, special tokens left out."""
        kept = [i for i in ids if i not in self.stop_ids]
        text = str(self.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        return text.removeprefix(self._lead)

    def control_tokens(self, text: str) -> list[str]:
        """The special tokens that `text` spells out, in order; rendered, they are plain characters."""
        return self._control.findall(text) if self._control else []

    # What the template does, found out by rendering placeholders.

    def _set_control(self, tokens: Sequence[str]) -> None:
        longest_first = sorted(tokens, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first))) if tokens else None

    def _set_turn(self) -> None:
        """Learn how an answer opens and ends."""
        whole = self._draw(("user", "assistant"), opened=False)
        opened, bare = self._draw(("user",)), self._draw(("user",), opened=False)
        spot = next((m for m in self._slot.finditer(whole) if m[1] == "1"), None)
        if spot is None:
            raise _lost("assistant")
        before, after = whole[: spot.start()], whole[spot.end() :]
        extra = before[len(opened) :] if before.startswith(opened) else ""
        self._lead = extra if extra.isspace() else ""
        self._opening = extra if opened == bare and not self._lead else ""
        end = self._control.search(after) if self._control else None
        if end is None and (plain := [text for text in self._added if text in after]):
            first = min(plain, key=after.index)
            special = [text for text, token in self._added.items() if token.special]
            self._set_control([*special, first])
            end = re.search(re.escape(first), after)
        eos = self.tokenizer.eos_token_id
        if end is None and eos is None:
            raise BaseModelError(
                "neither the chat template nor the tokenizer has a token that ends a turn",
                fix="Set eos_token in the base's tokenizer_config.json",
            )
        self._tail = after[: end.start()] if end else ""
        self._end_id = int(self.tokenizer.convert_tokens_to_ids(end[0])) if end else int(eos)
        self.stop_ids = frozenset({self._end_id} | ({int(eos)} if eos is not None else set()))

    def _set_anchor(self) -> None:
        """Learn whether the tokenizer writes a space before a text on its own, and when.

        Such tokenizers (SentencePiece's dummy prefix) must not do so in the middle of a conversation;
        there, a line break is put before the text and its ids are taken off again.
        """
        self._anchor = self._raw("\n")
        alone, within = self._raw("a b"), self._encode("a b", anchored=True)
        end = self.tokenizer.convert_ids_to_tokens(self._end_id)
        joined = self._structure(f"{end}a b")[1:]
        self._anchored = joined != alone and joined == within
        self._answer = self._slots(("user", "assistant"), opened=False)[1]
        opened = self._draw(("user",)) + self._opening
        follows = self._control and re.search(rf"(?:{self._control.pattern})\Z", opened)
        self._anchored_answer = self._anchored if follows and not self._lead else alone != within

    def _holds_system(self) -> bool:
        try:
            return len(self._slots(("system", "user"))) == 2
        except BaseModelError:
            self._slots(("user",))
            return False

    def _draw(self, roles: Sequence[str], pads: tuple[str, str] = ("", ""), opened: bool = True) -> str:
        left, right = pads
        messages = [
            {"role": role, "content": f"{left}{self._mark}{i}y{right}"} for i, role in enumerate(roles)
        ]
        return self._template.render(messages, **{**self._variables, "add_generation_prompt": opened})

    def _pieces(self, roles: Sequence[str], opened: bool = True) -> list[str | _Slot]:
        """What the template writes, cut at the texts: literal, slot, literal, ..., literal."""
        plain = self._slot.split(self._draw(roles, opened=opened))
        padded = self._slot.split(self._draw(roles, (" ", "\n"), opened))
        for i, role in enumerate(roles):
            if plain[1::2].count(str(i)) != 1:
                raise _lost(role)
        kept = {}  # gap between texts -> (text before it keeps its right pad, text after keeps its left)
        for gap, literal in enumerate(plain[::2]):
            options = {f"{right}{literal}{left}": (right, left) for right in ("\n", "") for left in (" ", "")}
            if plain[1::2] != padded[1::2] or padded[2 * gap] not in options:
                raise BaseModelError(
                    "the chat template changes the text of messages", fix="Use another base or template"
                )
            kept[gap] = options[padded[2 * gap]]
        pieces: list[str | _Slot] = [plain[0]]
        for gap, index in enumerate(map(int, plain[1::2])):
            pieces.append(_Slot(index, lstrip=not kept[gap][1], rstrip=not kept[gap + 1][0]))
            pieces.append(plain[2 * gap + 2])
        return pieces

    def _slots(self, roles: Sequence[str], opened: bool = True) -> dict[int, _Slot]:
        return {piece.index: piece for piece in self._pieces(roles, opened) if isinstance(piece, _Slot)}

    def _plan(self, roles: tuple[str, ...]) -> _Plan:
        """The prompt of these roles: ids of what never changes, and runs of text to tokenise."""
        plan: list[tuple[int, ...] | _Run] = []
        run: list[str | _Slot] = []

        def close() -> None:
            if any(isinstance(piece, _Slot) for piece in run):
                plan.append(_Run(tuple(run), inside=bool(plan)))
            elif text := "".join(map(str, run)):
                plan.append(tuple(self._encode(text, anchored=bool(plan) and self._anchored)))
            run.clear()

        for piece in [*self._pieces(roles), self._opening]:
            if isinstance(piece, _Slot):
                run.append(piece)
                continue
            for text, token in self._cut(piece):
                if text:
                    run.append(text)
                if token:
                    close()
                    plan.append((int(self.tokenizer.convert_tokens_to_ids(token)),))
        close()
        return tuple(plan)

    def _cut(self, literal: str) -> list[tuple[str, str]]:
        """(text, the special token after it) pairs; the last has none. Tokens that swallow spaces do."""
        spots = list(self._control.finditer(literal)) if self._control else []
        ends = [0, *(spot.end() for spot in spots)]
        pairs = []
        for i, start in enumerate(ends):
            token = spots[i][0] if i < len(spots) else ""
            text = literal[start : spots[i].start() if token else None]
            if i and self._added[spots[i - 1][0]].rstrip:
                text = text.lstrip()
            if token and self._added[token].lstrip:
                text = text.rstrip()
            pairs.append((text, token))
        return pairs

    # Tokenising.

    def _structure(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _raw(self, text: str) -> list[int]:
        encoded = self.tokenizer(
            text,
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return list(encoded["input_ids"])

    def _encode(self, text: str, anchored: bool) -> list[int]:
        """Ids of a text in which nothing is special."""
        if anchored:
            ids = self._encode("\n" + text, anchored=False)
            if ids[: len(self._anchor)] == self._anchor:
                return ids[len(self._anchor) :]
        ids = self._raw(text)
        found = self.control_tokens(text)
        if found and not {int(self.tokenizer.convert_tokens_to_ids(t)) for t in found}.isdisjoint(ids):
            return self._broken(text)
        return ids

    def _broken(self, text: str) -> list[int]:
        """Ids of a text with its special tokens broken after their first character, for tokenizers that
        find them even where told not to."""
        assert self._control is not None
        cuts = [0, *(spot.start() + 1 for spot in self._control.finditer(text)), len(text)]
        return [i for start, end in itertools.pairwise(cuts) for i in self._raw(text[start:end])]

    def _fingerprint(self) -> str:
        tokens = {text: int(self.tokenizer.convert_tokens_to_ids(text)) for text in sorted(self._added)}
        named = {name: str(text) for name, text in self._variables.items()}
        said = json.dumps([self.template, tokens, named, len(self.tokenizer)], sort_keys=True)
        return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()


def _own_template(tokenizer: Any) -> str | None:
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default")
    return str(template) if template else None


def _added_tokens(tokenizer: Any) -> dict[str, Any]:
    """Text -> the tokenizers library's AddedToken."""
    added = {str(token): token for token in tokenizer.added_tokens_decoder.values()}
    return {text: token for text, token in added.items() if text}


def _leading_bos(tokenizer: Any) -> str:
    """The bos that the tokenizer puts before a text by itself, or nothing."""
    ids = tokenizer("a")["input_ids"]
    bos = tokenizer.bos_token_id
    return str(tokenizer.bos_token) if bos is not None and ids and ids[0] == bos else ""


def _fold(messages: Sequence[Message]) -> list[Message]:
    """`messages` with the leading system text moved before the first user turn."""
    told = [message.content for message in messages if message.role == "system" and message.content.strip()]
    turns = [message for message in messages if message.role != "system"]
    if not told:
        return turns
    if not turns or turns[0].role != "user":
        return [Message("user", "\n\n".join(told)), *turns]
    return [Message("user", "\n\n".join([*told, turns[0].content])), *turns[1:]]


def _lost(role: str) -> BaseModelError:
    return BaseModelError(
        f"the chat template does not write the text of each {role} message exactly once",
        fix="Leave such messages out of the data, or use another base or template",
    )
