"""Prompts as plain text to be continued, for bases that know such text better than their chat template.

    What the system turns say.

    Text: the question
    Label: the answer

    Text: the next question
    Label:

It is a `Renderer` with a template of its own: texts of messages can become no special token here either. An
answer is one line. It ends with the line, with a special token, or where the text ends.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rung.data.templates import Renderer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content.strip() + '\\n\\n' }}"
    "{% elif message.role == 'assistant' %}{{ ANSWER + ' ' + message.content.strip() + '\\n\\n' }}"
    "{% elif message.role == 'user' %}{{ QUESTION + ' ' + message.content.strip() + '\\n' }}"
    "{% else %}{{ message.role.capitalize() + ': ' + message.content.strip() + '\\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ ANSWER }}{% endif %}"
)
_BREAKS = ("\n", "\u010a", "<0x0A>")  # how vocabularies spell a line break


def fits(text: str) -> bool:
    """Whether an answer can be written in this layout: it has text, on one line."""
    return len(text.strip().splitlines()) == 1


class PlainLayout(Renderer):
    """Messages to the ids of a plain text that ends where the answer comes.

    `question` and `answer` are what stands before the user's and the assistant's turns, such as "Text" and
    "Label". `stop_ids` are all tokens with a line break in them and all special tokens.
    Raises `BaseModelError` where the tokenizer has no token that ends a text.
    """

    _ours = True

    def __init__(self, tokenizer: PreTrainedTokenizerBase, question: str, answer: str) -> None:
        self._question = f"{question}:"
        template = _TEMPLATE.replace("QUESTION", json.dumps(self._question))
        super().__init__(tokenizer, template.replace("ANSWER", json.dumps(f"{answer}:")))
        self.stop_ids = frozenset({*self.stop_ids, *self._tokens.special.values(), *_breaks(self.tokenizer)})

    def completion_ids(self, text: str) -> list[int]:
        """Ids of an answer up to and with the line break after it, as they are before another question."""
        whole = self._lead + text.strip()
        return self._tokens.begun(f"{whole}\n\n{self._question}", len(whole) + 1, self._anchored)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer: the first line. `ids` may end with the stop token, which may hold more than
        the line break."""
        text = str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        return text.split("\n", 1)[0].strip()


def _breaks(tokenizer: Any) -> list[int]:
    """All tokens whose text has a line break in it."""
    maybe = [i for token, i in tokenizer.get_vocab().items() if any(mark in token for mark in _BREAKS)]
    return [i for i in maybe if "\n" in tokenizer.decode([i], clean_up_tokenization_spaces=False)]
