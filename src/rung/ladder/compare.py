"""Base and adapter side by side on the same rows: what `rung evaluate` measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung import threads
from rung.config import Settings, load_settings
from rung.data.formats import Loaded, read_examples
from rung.data.memory import source_of
from rung.data.passages import read_documents
from rung.data.split import sample
from rung.data.verifiable import has_rules
from rung.errors import AdapterError, DataError, ResumeError
from rung.evaluation.judging import Evaluation, judge
from rung.evaluation.tasks import KINDS, tidy, understand, with_primary
from rung.ladder.divide import faults
from rung.ladder.forecast import allowance
from rung.ladder.labels import unknown_labels
from rung.ladder.left_out import LeftOut, counted, lines
from rung.ladder.library import Library
from rung.ladder.plan import MOST_TEST
from rung.ladder.understood import catalogue_facts, require_kind
from rung.ladder.verdict import compare
from rung.ladder.watch import Silent, Watcher
from rung.methods.origin import COPY_OURS, OURS
from rung.records import Answer, Comparison, Completion, Example, Measure, Task, from_json

if TYPE_CHECKING:
    from rung.evaluation.run import Speaker
    from rung.ladder.answer_by import AnswerBy, Answering
    from rung.ladder.reader import Lookup
    from rung.methods.method import Attached
    from rung.methods.origin import Origin

UNKNOWN_LENGTH = 512  # tokens of an answer where no row has one
_AS_WORDS = {"adapter": "kept with the adapter", "asked": "as asked"}


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What was measured on the rows of a file."""

    task: Task
    task_from: str  # "adapter", "asked" or "guessed from 8 rows"
    rows: int
    base: tuple[Measure, ...]  # the primary metric first
    adapter: tuple[Measure, ...] | None
    difference: Comparison | None  # adapter minus base, in the primary metric
    answers: tuple[tuple[Example, Answer, Answer | None], ...]  # row, base's answer, adapter's answer
    warnings: tuple[str, ...] = ()  # lines that the user should read


def evaluate(
    data: object,
    adapter: str | Path | None = None,
    config: str | Path | None = None,
    watcher: Watcher | None = None,
    **settings: Any,
) -> Evaluated:
    """Let the base, and the adapter on top of it, answer the rows of `data`, and grade both.

    `data` is a path, a list of dicts, a DataFrame or a Dataset. Rows are asked with passages where the
    adapter was trained so or ``settings["documents"]`` names some. The task is ``settings["task"]``, else the
    adapter's, else what the rows look like. Raises the errors of `rung.errors`.
    """
    from rung.ladder.answer_by import PREFERRING, WRITING, Answering

    watcher = watcher or Silent()
    s, _ = load_settings(Path(config) if config else None, settings)
    loaded = read_examples(source_of(data), s.columns)
    if not any(one.target.strip() or has_rules(one) for one in loaded.examples):
        raise DataError("every target is empty", where=loaded.name, fix="Write the wanted answer in each row")
    threads.tell(watcher.say)
    speaker = _speaker(s)
    attached, origin = _attached(adapter, speaker)
    task, task_from, loaded = _understood(loaded, origin.task, s)
    examples, notes = _usable(loaded, task, s)
    warnings = tuple(dict.fromkeys((*origin.warnings, *loaded.warnings, *task.notes, *notes)))
    watcher.say(f"Task: {task.kind}, {_AS_WORDS.get(task_from, task_from)}")
    for warning in warnings:
        watcher.say(f"note: {warning}")
    limit = s.max_new_tokens or _longest_answer(speaker, examples)
    asked = _asked(examples, _lookup(adapter, origin, task, speaker, s, limit), watcher)
    _require_room(speaker, asked, limit)

    answering = Answering(speaker, _answer_by(origin, task, adapter), limit, task)
    if answering.by == PREFERRING:
        watcher.say("Of the two answers of a row the base takes the likelier one, an adapter by its reward")
    elif answering.by != WRITING:
        watcher.say(f"Base and adapter answer by {answering.by.name}, as was chosen for the adapter")

    def ask(who: str, head: Attached | None = None) -> Evaluation:
        watcher.begin(who, "answering")
        return judge(task, examples, _answers(answering, head, asked, watcher), s.seed)

    tuned = ask("adapter", attached) if attached is not None else None
    if attached is not None:
        attached.detach()
    plain = ask("base")
    after = tuned.answers if tuned else (None,) * len(examples)
    rows = tuple(zip(examples, plain.answers, after, strict=True))
    both = {"adapter": tuned.answers, "base": plain.answers} if tuned else {}
    return Evaluated(
        task=task,
        task_from=task_from,
        rows=len(examples),
        base=plain.metrics,
        adapter=tuned.metrics if tuned else None,
        difference=compare("adapter", "base", both, examples, task, s.seed) if tuned else None,
        answers=rows,
        warnings=warnings,
    )


def _speaker(s: Settings) -> Speaker:
    from rung import device as devices
    from rung.compute.load import load
    from rung.data.templates import Renderer
    from rung.evaluation.run import Speaker

    device = devices.choose(s.precision, s.threads)
    base = load(s.base, dtype=device.dtype, device=str(device.device), bits=s.bits)
    return Speaker(base, Renderer(base.tokenizer))


def _attached(adapter: str | Path | None, speaker: Speaker) -> tuple[Attached | None, Origin]:
    """The adapter on the base, and what its folder says about itself. Raises `AdapterError`."""
    from rung.ladder.adapter import attach
    from rung.methods.origin import Origin

    return attach(Path(adapter), speaker) if adapter is not None else (None, Origin())


def _answer_by(origin: Origin, task: Task, adapter: str | Path | None) -> AnswerBy:
    """How the adapter was found to answer best, where its labels are those of the task; else writing.

    The base is asked in the same way, so that the difference is what the adapter has learned. Raises
    `AdapterError`.
    """
    from rung.ladder.answer_by import AnswerBy, usual

    if KINDS[task.kind].pairs:
        return usual(task)
    try:
        by = from_json(AnswerBy, origin.answer_by or {}, OURS)
    except ResumeError as error:
        raise AdapterError(error.what, where=f"{adapter}/{OURS}", fix=COPY_OURS) from error
    return by if by.labels == task.labels else usual(task)


def _lookup(
    adapter: str | Path | None, origin: Origin, task: Task, speaker: Speaker, s: Settings, limit: int
) -> Lookup | None:
    """What puts passages into the prompts: of the documents that the user names, else of the run that the
    adapter is in; None where there are none to show.

    Raises `AdapterError` for an adapter that was trained with passages which are not there.
    """
    from rung.ladder.reader import Lookup, of_adapter

    fix = "Give the adapter in its run folder, or the documents with --documents"
    if s.documents is None:
        try:
            found = of_adapter(Path(adapter), speaker.renderer) if adapter is not None else None
        except ResumeError as error:
            raise AdapterError(error.what, where=str(adapter), why=error.why, fix=fix) from error
        if found is None and origin.passages:
            why = "Its rows were shown passages of documents, which are not in its folder"
            raise AdapterError("the adapter was trained with retrieval", where=str(adapter), why=why, fix=fix)
        return found and replace(found, room=speaker.base.context - limit)
    library = Library(read_documents(s.documents).passages, s.documents)
    k = origin.passages or min(s.passages)
    return Lookup(speaker.renderer, task, library, k, speaker.base.context - limit)


def _asked(examples: Sequence[Example], lookup: Lookup | None, watcher: Watcher) -> Sequence[Example]:
    """The rows as they are asked: with passages where there are some to show."""
    if lookup is None:
        return examples
    k = lookup.passages
    passages = f"{k} passages" if k > 1 else "passage"
    watcher.say(f"Base and adapter are shown the {passages} most like each row")
    return lookup.shown(examples)


def _answers(
    answering: Answering, attached: Attached | None, examples: Sequence[Example], watcher: Watcher
) -> list[Completion]:
    """The answer to each row, or the label that a head gives it."""
    from rung.ladder.head_answers import HeadResponder, with_head

    speaker = answering.speaker
    if (head := with_head(attached)) is not None:
        return HeadResponder(speaker, head).answer(examples, watcher)
    ids = speaker.renderer.prompts(examples, [example.prompt for example in examples])
    return answering.answer(examples, ids, watcher.rows)


def _understood(loaded: Loaded, kept: Task | None, s: Settings) -> tuple[Task, str, Loaded]:
    """The task, where it comes from, and the rows as it reads them. A catalogue replaces the one kept."""
    facts = catalogue_facts(s)
    if kept is not None and s.task in (None, kept.kind):
        if facts:
            require_kind(kept.kind, s)
            metrics = understand(loaded, kept.kind, None, facts)[0].metrics
            kept = replace(kept, metrics=metrics, facts={**kept.facts, **facts})
        return with_primary(kept, s.metric), "asked" if s.task else "adapter", loaded
    task, loaded = understand(loaded, s.task, s.metric, facts)
    require_kind(task.kind, s)
    return task, "asked" if s.task else f"guessed from {counted(len(loaded.examples))}", loaded


def _usable(loaded: Loaded, task: Task, s: Settings) -> tuple[tuple[Example, ...], list[str]]:
    """The rows to measure on, and lines about those left out and about labels that are not known.

    Raises `DataError` where no row is left or no label is known.
    """
    unknown_labels(task, loaded.examples)  # raises where none is known as it is written
    tidied = tidy(task, loaded.examples)
    bad = faults(task, tidied)
    left_out = [LeftOut(loaded.name, row, why) for row, why in (*loaded.left_out, *bad.items())]
    notes = lines(left_out, loaded.name)
    examples = sample([one for one in tidied if one.row not in bad], s.max_test or MOST_TEST, s.seed)
    if not examples:
        raise DataError(
            f"no row has a target that can be graded as {task.kind}",
            where=loaded.name,
            why="; ".join(notes),
            fix="Say with --task what the rows ask for",
        )
    unknown = unknown_labels(task, examples)
    return examples, [*notes, unknown] if unknown else notes


def _longest_answer(speaker: Speaker, examples: Sequence[Example]) -> int:
    """The allowance for the longest target, in tokens."""
    targets = [one.target for one in examples if one.target.strip()]
    lengths = [len(speaker.renderer.completion_ids(target)) for target in targets]
    return allowance(max(lengths)) if lengths else UNKNOWN_LENGTH


def _require_room(speaker: Speaker, examples: Sequence[Example], limit: int) -> None:
    """Raises `DataError` that names the first row that does not fit in the base's context with its answer."""
    context = speaker.base.context
    for example in examples:
        tokens = len(speaker.renderer.prompt_ids(example.prompt))
        if tokens + limit > context:
            raise DataError(
                f"row {example.row} is longer than the base can read: a prompt of {tokens} tokens and room "
                f"for {limit} more, {context} fit",
                where=example.source,
                fix="Shorten the row, leave it out, or take a base with a longer context",
            )
