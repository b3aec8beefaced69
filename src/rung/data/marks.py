"""Writing that is not content: what all prompts or all targets share at their edges, and templates in a text.

Older completion models were trained with marks such as "\\n\\n###\\n\\n" and " END"; files for trainers hold
whole conversations as one text, already in a chat template. Both are removed, and rung says so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rung.data.strict_json import show
from rung.records import Message, Role

_TOKENS = (
    *("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end|>", "<|endofprompt|>", "</s>", "<s>", "<eos>"),
    *("<EOT>", "[DONE]", "[END]", "<END>", "<stop>"),
)
_TOKEN = "|".join(map(re.escape, _TOKENS)) + r"|<\|?\w*(?:eos|end|eot)\w*\|?>"
_STOP = rf"{_TOKEN}|#+\s?\w*(?:eos|end)\w*\s?#+|(?<![^\W_])(?:END|STOP)"
_SIGN = r"#{2,}|-{1,2}>|={1,2}>|>{3}|={3,}|-{3,}|~{3,}|\|{2,3}"
_END = re.compile(rf"(?:(?:{_STOP}|{_SIGN})\s*)+$")
_TOKEN_END = re.compile(rf"(?:(?:{_TOKEN})\s*)+$")
_START = re.compile(rf"^\s*(?:(?:<s>|{_SIGN})\s*)+")
_SHARE = 0.95  # of the texts that have a mark for it to be one
_CHATML = re.compile(r"<\|im_start\|>\s*(\w+)\n(.*?)(?:<\|im_end\|>|\Z)", re.DOTALL)
_LLAMA3 = re.compile(
    r"<\|start_header_id\|>\s*(\w+)\s*<\|end_header_id\|>(.*?)(?:<\|eot_id\|>|\Z)", re.DOTALL
)
_GEMMA = re.compile(r"<start_of_turn>\s*(\w+)\n(.*?)(?:<end_of_turn>|\Z)", re.DOTALL)
_INST = re.compile(r"\[INST\](.*?)\[/INST\](.*?)(?=(?:</s>)?\s*(?:<s>)?\s*\[INST\]|\Z)", re.DOTALL)
_SYSTEM = re.compile(r"<<SYS>>(.*?)<</SYS>>", re.DOTALL)
_SPOKEN = re.compile(
    r"(?:(?:^|\n)\s*(?:#{1,3}\s*|<\|)?|\s*###\s*)(Human|User|Assistant|AI|Bot|GPT|System)(?:\|>|\s*:)\s*",
    re.IGNORECASE,
)
_ANSWERS = (
    "A|Answer|Response|Output|Label|Sentiment|Category|Summary|Translation|SQL|Completion|Target"
    "|Antwort|Réponse"
)
_HEAD = re.compile(
    r"(?:^|\n)[ \t]*(#{1,4}[ \t]*[^\W\d_][\w ]{0,30}:?|[^\W\d_][\w ]{0,24}[:：])(?=\s|$)"
    rf"|(?<=\s)((?:{_ANSWERS}):)(?=\s)"
)
_INPUT = re.compile(r"\n\s*#{2,4}[ \t]*Input:?[ \t]*\n")
_ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "system": "system",
    **dict.fromkeys(("assistant", "ai", "bot", "gpt", "model"), "assistant"),
}


@dataclass(frozen=True, slots=True)
class Edges:
    """What nearly all of many texts begin and end with and is no content."""

    start: str = ""
    end: str = ""

    def __bool__(self) -> bool:
        return bool(self.start or self.end)

    def cut(self, text: str) -> str:
        """`text` without the marks and the space around them."""
        if not self:
            return text
        text = text.strip()
        return text.removeprefix(self.start.strip()).removesuffix(self.end.strip()).strip()


def edges(texts: Sequence[str], least: int = 5) -> Edges:
    """The marks around `texts`: a sign without letters and digits such as ``###`` or ``->``, a known stop
    word such as ``END``, or an extra space or line break.

    Punctuation that ends sentences, lists or code is content, and so are shared words. Fewer than `least`
    texts have none.
    """
    filled = [text for text in texts if text.strip()]
    if len(filled) < least or len(set(filled)) < 2:
        return Edges()
    start, end = _shared(filled, _first_mark), _shared(filled, _last_mark)
    return Edges(start, end) if start.strip() or end.strip() or "\n" in end else Edges()


def _shared(texts: Sequence[str], mark: Callable[[str], str]) -> str:
    found, count = Counter(map(mark, texts)).most_common(1)[0]
    return found if count >= _SHARE * len(texts) else ""


def _first_mark(text: str) -> str:
    match = _START.match(text)
    return match[0] if match else text[: len(text) - len(text.lstrip())]


def _last_mark(text: str) -> str:
    match = _END.search(text)
    body = text[: match.start()] if match else text
    return text[len(body.rstrip()) :]


# --- a whole conversation in one text ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Marks:
    """Where texts are cut: at those of a template, or at headings of the file's own."""

    template: str = ""  # in `_TEMPLATES`
    last: str = ""  # the heading before the answer
    first: str | None = None  # the heading before the question


@dataclass(frozen=True, slots=True)
class Cut:
    """How texts were taken apart: by which marks, and each text's messages (None where a mark is missing)."""

    by: str
    messages: list[list[Message] | None]
    marks: Marks


def cut_texts(texts: Sequence[str]) -> Cut | None:
    """The conversations in `texts`, cut at the marks that all of them share; None where there are none."""
    for by, read in _TEMPLATES:
        found = [read(text) for text in texts]
        if _mostly(found):
            return Cut(by, found, Marks(by))
    return _by_heads(texts)


def _mostly(found: Sequence[list[Message] | None]) -> bool:
    good = sum(bool(one) and any(message.role == "assistant" for message in one or ()) for one in found)
    return good >= max(1, 0.95 * len(found))


def _headed(pattern: re.Pattern[str]) -> Callable[[str], list[Message] | None]:
    def read(text: str) -> list[Message] | None:
        turns = [(match[1].lower(), match[2].strip()) for match in pattern.finditer(text)]
        if not turns or any(name not in (*_ROLES, "tool") for name, _ in turns):
            return None
        return [Message(_ROLES.get(name, "tool"), said) for name, said in turns if said]

    return read


def _inst(text: str) -> list[Message] | None:
    messages: list[Message] = []
    for match in _INST.finditer(text):
        asked = match[1]
        if system := _SYSTEM.search(asked):
            messages.append(Message("system", system[1].strip()))
            asked = asked.replace(system[0], "")
        answer = _TOKEN_END.sub("", match[2]).strip()
        messages += [Message("user", asked.strip()), Message("assistant", answer)]
    return messages or None


def _spoken(text: str) -> list[Message] | None:
    """Turns that begin with ``Human:``, ``### Assistant:`` or ``<|user|>``; text before is the system's."""
    spots = list(_SPOKEN.finditer(text))
    roles = [_ROLES[spot[1].lower()] for spot in spots]
    if not {"user", "assistant"} <= set(roles):
        return None
    head = text[: spots[0].start()].strip()
    messages = [Message("system", head)] if head else []
    for spot, after, role in zip(spots, [*spots[1:], None], roles, strict=True):
        said = _TOKEN_END.sub("", text[spot.end() : after.start() if after else None]).strip()
        messages.append(Message(role, said))
    return messages


_TEMPLATES: tuple[tuple[str, Callable[[str], list[Message] | None]], ...] = (
    ("the marks of ChatML", _headed(_CHATML)),
    ("the headers of Llama 3", _headed(_LLAMA3)),
    ("the marks of Gemma", _headed(_GEMMA)),
    ("[INST]", _inst),
    ("the names of the speakers", _spoken),
)


def _by_heads(texts: Sequence[str]) -> Cut | None:
    """Texts of one question and one answer, cut at the last heading that every one of them has."""
    if len(texts) < 2:
        return None
    heads = [
        list(dict.fromkeys((match[1] or match[2]).strip() for match in _HEAD.finditer(text)))
        for text in texts
    ]
    shared = [head for head in heads[0] if all(head in others for others in heads)]
    if not shared:
        return None
    last = shared[-1]
    spots = [_last(text, last) for text in texts]
    prompts = [text[:start] for text, (start, _) in zip(texts, spots, strict=True)]
    answers = [_TOKEN_END.sub("", text[end:]).strip() for text, (_, end) in zip(texts, spots, strict=True)]
    if not all(prompt.strip() for prompt in prompts) or not any(answers):
        return None
    questions = ("instruction", "human", "user", "question", "q", "input", "prompt")
    first = shared[0] if len(shared) == 2 and shared[0].lower().strip("# :：") in questions else None
    messages: list[list[Message] | None] = []
    for prompt, answer in zip(prompts, answers, strict=True):
        messages.append([*_asked(prompt, first), Message("assistant", answer)])
    return Cut(f"the mark {show(last)}", messages, Marks("", last, first))


def cut_text(text: str, marks: Marks) -> list[Message] | None:
    """The turns of one more text, its answer the last; None without a mark."""
    if marks.template:
        return dict(_TEMPLATES)[marks.template](text)
    start, end = _last(text, marks.last)
    if not start:
        return None
    return [*_asked(text[:start], marks.first), Message("assistant", _TOKEN_END.sub("", text[end:]).strip())]


def cut_prompt(text: str, marks: Marks) -> list[Message]:
    """The turns before the answer in one more text, with an answer or without; all of it without a mark."""
    if not marks.template and not marks.last:
        return [Message("user", text.strip())]
    if marks.template:
        turns = dict(_TEMPLATES)[marks.template](text) or [Message("user", text.strip())]
        return turns[:-1] if turns[-1].role == "assistant" else turns
    start, _ = _last(text, marks.last)
    return _asked(text[:start] if start else text, marks.first)


def _asked(prompt: str, head: str | None) -> list[Message]:
    """The prompt; what comes before its one heading goes to the system turn."""
    if head is None:
        return [Message("user", prompt.strip())]
    start, end = _last(prompt, head)
    before = prompt[:start].strip()
    system = [Message("system", before)] if before else []
    return [*system, Message("user", _INPUT.sub("\n\n", prompt[end:]).strip())]


def _last(text: str, head: str) -> tuple[int, int]:
    """Start and end of the last place where `head` begins a line, or is inside one."""
    spots = list(re.finditer(rf"(?:^|\n)[ \t]*{re.escape(head)}", text))
    spots = spots or list(re.finditer(rf"(?<=\s){re.escape(head)}", text))
    return (spots[-1].start(), spots[-1].end()) if spots else (0, 0)
