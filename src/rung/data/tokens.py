"""Text to token ids, where some characters may become special tokens and others never do.

What a chat template wrote is cut at its special tokens. What is between two of them, words of the template
and of messages together, is tokenised as one text in which nothing is special.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rung.border import foreign
from rung.data.traced import own, plain
from rung.errors import BaseModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Stretch = tuple[int, int]  # characters from the first to before the second


class _Encoded(NamedTuple):
    """The ids of a text, and the encoding that knows at which characters each begins and ends."""

    ids: list[int]
    encoding: Any  # of the tokenizers library; None of a tokenizer written in Python


_Part = tuple[_Encoded, int, int]


class Run(NamedTuple):
    """Characters `start` to `stop` of a text, none of them special, and the special token that comes next."""

    start: int
    stop: int
    at: int  # where the token is
    token: str  # "" after the last run
    own: bool  # no message wrote any of it


class Tokens:
    """A tokenizer that keeps words apart from special tokens.

    Attributes: `added`, all added tokens by their text; `special`, those that a text may not become;
    `anchored`, whether a text in the middle of a conversation must be kept from getting a space in front.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer: Any = tokenizer
        added = {str(token): token for token in self.tokenizer.added_tokens_decoder.values()}
        self.added: dict[str, Any] = {text: token for text, token in added.items() if text}
        self.special: dict[str, int] = {}
        self.make_special(*(text for text, token in self.added.items() if token.special))
        self.anchored = False
        self._core = _core_of(tokenizer)
        self._anchor: list[int] = self._raw("\n").ids
        self._known: dict[tuple[str, bool], list[int]] = {}

    def make_special(self, *texts: str) -> None:
        """Count the added tokens `texts` among the special ones."""
        self.special |= {text: int(self.tokenizer.convert_tokens_to_ids(text)) for text in texts}
        longest_first = sorted(self.special, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def set_anchor(self, end: str) -> bool:
        """Learn whether the tokenizer writes a space before a text on its own, but not after the token `end`.

        Such tokenizers (SentencePiece's dummy prefix) must not do so in the middle of a conversation; there,
        a line break is put before the text and its ids are taken off again. Returns whether the tokenizer
        writes a space at all.
        """
        alone, within = self.encode("a b"), self.encode("a b", anchored=True)
        after = list(self.tokenizer(f"{end}a b", add_special_tokens=False)["input_ids"])[1:]
        self.anchored = after != alone and after == within
        return alone != within

    def spelled(self, text: str) -> list[str]:
        """The special tokens that `text` spells out, in order."""
        return self._control.findall(text)

    def first(self, text: str) -> re.Match[str] | None:
        """The first special token that `text` spells out."""
        return self._control.search(text)

    def without_special(self, text: str) -> str:
        """`text` with an x for each special token that it spells out."""
        return self._control.sub("x", text)

    def cut(self, text: str) -> list[Run]:
        """`text` cut at the special tokens that no message wrote. Some swallow the spaces around them."""
        words, runs, start, first = plain(text), [], 0, len(text)
        for first, last in own(text):
            for match in self._control.finditer(words, first, last):
                token, stop = self.added[match[0]], match.start()
                if token.lstrip:
                    stop = start + len(words[start:stop].rstrip())
                runs.append(Run(start, stop, match.start(), match[0], start >= first))
                start = match.end()
                if token.rstrip:
                    start = len(words) - len(words[start:].lstrip())
        return [*runs, Run(start, len(words), len(words), "", start >= first and last == len(words))]

    def read(
        self, text: str, runs: Sequence[Run], learned: Sequence[Stretch] = ()
    ) -> tuple[list[int], list[bool]]:
        """Ids of `text`, cut into `runs`; true for each that begins in one of its `learned` stretches."""
        words, ids, mask = plain(text), list[int](), list[bool]()
        for run in runs:
            if run.start < run.stop:
                here = [(a - run.start, b - run.start) for a, b in learned if a < run.stop and b > run.start]
                more, flags = self._run(
                    words[run.start : run.stop], bool(ids) and self.anchored, run.own, here
                )
                ids += more
                mask += flags
            if run.token:
                ids.append(self.special[run.token])
                mask.append(any(a <= run.at < b for a, b in learned))
        return ids, mask

    def encode(self, text: str, anchored: bool = False) -> list[int]:
        """Ids of a text in which nothing is special."""
        return [i for part, skip, _ in self._parts(text, anchored) for i in part.ids[skip:]]

    def begun(self, text: str, at: int, anchored: bool = False) -> list[int]:
        """Of the ids of a text in which nothing is special, those that begin before its character `at`."""
        parts = self._parts(text, anchored)
        ids = [i for part, skip, _ in parts for i in part.ids[skip:]]
        return ids[: self._before(text, anchored, parts, at)]

    def _run(
        self, text: str, anchored: bool, known: bool, learned: Sequence[Stretch]
    ) -> tuple[list[int], list[bool]]:
        if known and not learned:
            if (text, anchored) not in self._known:
                self._known[text, anchored] = self.encode(text, anchored)
            ids = self._known[text, anchored]
            return ids, [False] * len(ids)
        parts = self._parts(text, anchored)
        ids = [i for part, skip, _ in parts for i in part.ids[skip:]]
        mask = [False] * len(ids)
        for a, b in learned:
            first, last = (self._before(text, anchored, parts, at) for at in (a, b))
            mask[first:last] = [True] * (last - first)
        return ids, mask

    def _before(self, text: str, anchored: bool, parts: Sequence[_Part], at: int) -> int:
        """How many tokens of an encoded text begin before its character `at`."""
        if not self.tokenizer.is_fast:  # it does not say where its tokens begin
            return len(self.encode(text[: max(0, at)], anchored))
        count = end = 0
        for part, skip, shift in parts:
            for first, last in part.encoding.offsets[skip:]:
                count += min(first + shift, end) < at  # some tokenizers leave out the space before a word
                end = last + shift
        return count

    def _parts(self, text: str, anchored: bool) -> list[_Part]:
        """`text` encoded: (encoding, ids to skip, place in `text` of its first character)."""
        if anchored:
            parts = self._parts("\n" + text, anchored=False)
            if parts[0][0].ids[: len(self._anchor)] == self._anchor:
                return [
                    (part, 0 if i else len(self._anchor), at - 1) for i, (part, _, at) in enumerate(parts)
                ]
        whole = self._raw(text)
        spelled = self.spelled(text)
        if not spelled or {self.special[token] for token in spelled}.isdisjoint(whole.ids):
            return [(whole, 0, 0)]
        # This tokenizer finds special tokens even when asked not to: break each after its first character.
        cuts = [0, *(match.start() + 1 for match in self._control.finditer(text)), len(text)]
        return [(self._raw(text[a:b]), 0, a) for a, b in itertools.pairwise(cuts)]

    def _raw(self, text: str) -> _Encoded:
        with foreign(_stops):
            return self._encode(text)

    def _encode(self, text: str) -> _Encoded:
        if self._core is not None:
            found = _plainly(self._core).encode(text, add_special_tokens=False)
            return _Encoded(found.ids, found)
        encoded = self.tokenizer(
            text,
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return _Encoded(list(encoded["input_ids"]), encoded.encodings[0] if encoded.encodings else None)


def _stops(text: str) -> BaseModelError:
    return BaseModelError(
        f"the base's tokenizer stops at a text: {text}",
        fix="Copy the tokenizer files from the original again, or use another base",
    )


def _core_of(tokenizer: PreTrainedTokenizerBase) -> Any:
    """The tokenizer of the tokenizers library that does the work, without what transformers puts around each
    call, which costs as much again for a short text. None where a subclass changes the call."""
    from transformers import PreTrainedTokenizerFast

    fast = isinstance(tokenizer, PreTrainedTokenizerFast)
    if not fast or type(tokenizer)._encode_plus is not PreTrainedTokenizerFast._encode_plus:
        return None
    return tokenizer.backend_tokenizer


def _plainly(core: Any) -> Any:
    """`core`, set to cut and pad nothing and to find no special tokens: other callers may have changed it."""
    if core.truncation is not None:
        core.no_truncation()
    if core.padding is not None:
        core.no_padding()
    if not core.encode_special_tokens:
        core.encode_special_tokens = True
    return core
