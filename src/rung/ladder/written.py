"""Questions that the base itself writes from documents, to learn from.

A fact that is trained in one wording is recalled in that wording only (arXiv 2309.14316), so the base asks
about each sentence of each passage, and answers. What the passage does not support is left out. The questions
are written once, greedily, and kept in the run folder: a climb that continues reads them there.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from rung import storage
from rung.config import Settings
from rung.data import example_of, normalise
from rung.data.sections import sentences
from rung.errors import DataError
from rung.evaluation.overlap import words
from rung.evaluation.tasks import KINDS
from rung.evaluation.tasks.knowledge import key_words
from rung.ladder.agreement import SHOWN, TITLE, disagreements
from rung.ladder.understood import Understood
from rung.ladder.watch import Watcher
from rung.records import Example, Message, Passage, from_json, to_json
from rung.run_folder import RunFolder

if TYPE_CHECKING:
    from rung.bases.base import Base
    from rung.evaluation.run import Speaker

FILE = "questions.jsonl"
SHARE = 0.15  # of the budget may pass before the last question is begun
FEWEST = 4  # questions with which a climb can begin, where the user gives none
_AT_ONCE = 64  # that are written together
_LONGEST = 64  # tokens of a question and its answer
_WORDS = (5, 60)  # of a sentence that is asked about
_MOST_ANSWER = 40  # words
_ASKING = frozenset({"how", "why", "many", "much", "long", "often", "number"})
_STEM, _ENDING = 4, 3  # forms of one word share this many first letters; endings have at most so many
_LEANS_ON = "it its they their them he his she her this these that those there both each such"
_LEANING = frozenset(_LEANS_ON.split())  # words at the beginning of a sentence

_ASK = """\
Write one question that this text answers, and its answer in a few words.

{title}
{text}"""


@dataclass(frozen=True, slots=True)
class Ask:
    """One sentence to ask about, with the one before it where it begins with a word such as "it"."""

    passage: Passage
    sentence: str


def with_questions(
    data: Understood, settings: Settings, folder: RunFolder, watcher: Watcher, base: Base | None
) -> tuple[Understood, Base | None]:
    """`data` with the questions that the base wrote about its documents, and the base, if it was loaded.

    There are none where neither the user nor the base gives enough to learn from: then the text alone is
    learned. The folder is claimed. Raises `DataError` there for a task whose answers have a form, which no
    text shows.
    """
    if data.corpus is None or data.written is not None:
        return data, base
    path = folder.file(FILE)
    if not path.exists():
        rows: list[Example] = []
        if settings.written_questions:
            base = base or _loaded(settings)
            rows = _written(data, settings, watcher, base)
        storage.write_jsonl(path, [to_json(one) for one in rows])
    written = tuple(from_json(Example, row, FILE) for row in storage.read_jsonl(path))
    if not data.loaded.examples and len(written) < FEWEST:
        if KINDS[data.task.kind].any_text:
            return replace(data, written=()), base
        why = f"The base {settings.base} wrote {len(written)} questions that the documents answer"
        raise DataError(
            "there are no questions to learn from",
            where=data.corpus.name,
            why=why if settings.written_questions else "--written-questions is 0",
            fix="Give questions with their answers with --train-questions",
        )
    return replace(data, written=written), base


def asks_of(passages: Sequence[Passage], most: int) -> list[Ask]:
    """At most `most` sentences to ask about: one of each passage, then a second one of each, and so on."""
    rounds: dict[int, list[Ask]] = {}
    for passage in passages:
        for turn, sentence in enumerate(dict.fromkeys(_worth_asking(passage.text))):
            rounds.setdefault(turn, []).append(Ask(passage, sentence))
    return [ask for turn in sorted(rounds) for ask in rounds[turn]][:most]


def prompt_of(ask: Ask) -> tuple[Message, ...]:
    """What the base is asked, after two examples."""
    turns = []
    for text, question, answer in SHOWN:
        turns.append(Message("user", _ASK.format(title=TITLE, text=text)))
        turns.append(Message("assistant", f"Question: {question}\nAnswer: {answer}"))
    return (*turns, Message("user", _ASK.format(title=ask.passage.title, text=ask.sentence)))


def parsed(text: str) -> tuple[str, str] | None:
    """Question and answer in what the base wrote; None where one of them is missing."""
    head, mark, answer = text.partition("Answer:")
    question = head.strip().removeprefix("Question:").strip()
    answer = answer.strip().split("\n")[0].strip()
    return (question, answer) if mark and question and answer and "\n" not in question else None


def unsupported(question: str, answer: str, ask: Ask) -> str:
    """Why a question is left out, as the end of a sentence about several; "" where the text supports it.

    Every key word and number of the answer must stand in the sentence that was asked about, and the answer
    must add something to the question and not repeat it. Every key word of the question must stand in the
    passage or its headings in some form, and at least half of them in that sentence or the headings. What
    "how many" asks for must be what the answer counts.
    """
    if not question.endswith("?") or len(sentences(question)) != 1:
        return "are no questions"
    said, asked = key_words(answer), key_words(question)
    known, title = key_words(ask.sentence), key_words(ask.passage.title)
    if not said or len(answer.split()) > _MOST_ANSWER:
        return "have no short answer"
    if not said <= known:
        return "have an answer that the text does not give"
    if said <= asked:
        return "hold their answer"
    about = asked - _ASKING
    if about and about <= said:
        return "have an answer that repeats them"
    whole = known | title | key_words(ask.passage.text)
    strange = [word for word in about if not any(_alike(word, one) for one in whole)]
    if not about or strange or 2 * len(about & (known | title)) < len(about):
        return "are not about the text"
    return "" if _counted(question, answer, ask.sentence) else "count something else than their answer"


def _alike(one: str, other: str) -> bool:
    """Whether two words may be forms of one, such as *shift* and *shifts*."""
    stem = one[: max(_STEM, len(one) - _ENDING)]
    return one == other or (len(one) >= _STEM and other.startswith(stem))


def _counted(question: str, answer: str, sentence: str) -> bool:
    """Whether what an English "how many" asks for stands in the answer, or after it in the sentence."""
    asked = re.search(r"\bhow many (\w+)", question.casefold())
    said, text = words(answer), words(sentence)
    after = {two for one, two in pairwise(text) if one == said[-1]}
    return asked is None or any(_alike(asked[1], word) for word in (*said, *after))


def kept(asks: Sequence[Ask], texts: Sequence[str], counts: Counter[str]) -> list[Example]:
    """The rows in what the base wrote to `asks`; `counts` says how many are left out for which reason."""
    rows, known = list[Example](), set[str]()
    for ask, text in zip(asks, texts, strict=True):
        found = parsed(text)
        why = "are not written as asked" if found is None else unsupported(*found, ask)
        if found is not None and not why and normalise(found[0]) in known:
            why = "are asked twice"
        counts[why] += 1
        if found is None or why:
            continue
        known.add(normalise(found[0]))
        messages = (Message("user", found[0]), Message("assistant", found[1]))
        rows.append(example_of(messages, len(rows) + 1, FILE, ask.passage.id))
    return rows


def _written(data: Understood, settings: Settings, watcher: Watcher, base: Base) -> list[Example]:
    """Rows that the base writes, and a line about them for the screen."""
    from rung.data.templates import Renderer
    from rung.evaluation.run import Speaker

    assert data.corpus is not None
    asks = asks_of(data.corpus.passages, settings.written_questions)
    speaker = Speaker(base, Renderer(base.tokenizer))
    texts = list(_answers(speaker, asks, settings.budget, watcher))
    counts = Counter[str]()
    rows = kept(asks[: len(texts)], texts, counts)
    wrong = disagreements(speaker, rows, {one.id: one for one in data.corpus.passages})
    counts.update(wrong.values())
    rows = [one for one in rows if one.id not in wrong]
    gone = [f"{count:,} {why}" for why, count in counts.most_common() if why]
    late = "" if len(texts) == len(asks) else f" There was no time for {len(asks) - len(texts):,} more."
    left = f" Left out: {', '.join(gone)}." if gone else ""
    watcher.say(
        f"The base wrote {len(texts):,} questions about the documents, {len(rows):,} are used.{left}{late}"
    )
    return rows


def _answers(speaker: Speaker, asks: Sequence[Ask], budget: float | None, watcher: Watcher) -> Iterator[str]:
    """What the base writes to each of `asks`; to fewer where the time is up."""
    from rung.evaluation.run import write

    start = time.monotonic()
    watcher.begin("", "writing questions about the documents")
    for at in range(0, len(asks), _AT_ONCE):
        if budget is not None and time.monotonic() - start > SHARE * budget:
            return
        some = asks[at : at + _AT_ONCE]
        rows = [example_of([*prompt_of(ask), Message("assistant", "")]) for ask in some]
        ids = speaker.renderer.prompts(rows, [row.prompt for row in rows])
        fits = [i for i, one in enumerate(ids) if len(one) + _LONGEST <= speaker.base.context]

        def watch(written: int, total: int, done: int = at) -> None:
            watcher.rows(done + written, len(asks))

        said = write(speaker, [rows[i] for i in fits], [ids[i] for i in fits], _LONGEST, watch)
        texts = {i: one.text for i, one in zip(fits, said, strict=True)}
        yield from (texts.get(i, "") for i in range(len(some)))


def _worth_asking(text: str) -> Iterator[str]:
    """The sentences of `text` of a fair length; one that leans on the one before it comes with that one."""
    low, high = _WORDS
    for line in text.split("\n"):
        before = ""
        for one in sentences(line.lstrip("-*+| ")):
            leans = (one.split()[0].casefold().rstrip(",") in _LEANING) and before
            whole = f"{before} {one}" if leans else one
            if low <= len(one.split()) and len(whole.split()) <= high:
                yield whole
            before = one


def _loaded(settings: Settings) -> Base:
    from rung import device as devices
    from rung.compute.load import load

    device = devices.choose(settings.precision, settings.threads)
    return load(settings.base, dtype=device.dtype, device=str(device.device), bits=settings.bits)
