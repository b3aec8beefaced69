"""Train one method on prepared rows, save what was trained, and answer with it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rung import __version__, storage
from rung.compute.blockwise import BLOCK
from rung.compute.load import load as load_base
from rung.data.pairs import size
from rung.data.split import sample
from rung.data.templates import Renderer
from rung.evaluation.run import Speaker
from rung.ladder import guard, head_start
from rung.ladder.adapter import attach as attach_saved
from rung.ladder.answer_by import WRITING, AnswerBy, Answering
from rung.ladder.forecast import EVALUATIONS, evaluation_rows
from rung.ladder.head_answers import HeadResponder, with_head
from rung.ladder.label_rows import loss_for, pairs_of, rows_for
from rung.ladder.options import attach, settings_of, with_layers
from rung.ladder.plan import Plan
from rung.ladder.prepare import Prepared
from rung.ladder.prompting import FILE
from rung.ladder.race_rules import Arm
from rung.ladder.rates import rate_for
from rung.ladder.responder import Responder, Scores
from rung.ladder.speaking import device_of, speaker_of
from rung.ladder.strength import DEV_ROWS
from rung.ladder.texts import train_rows
from rung.ladder.tuned_dev import DevJudge
from rung.ladder.watch import Watcher
from rung.methods import METHODS
from rung.methods.adapter import Adapter
from rung.methods.method import Attached, Files, Objective
from rung.methods.origin import ANSWER_BY, PASSAGES
from rung.methods.peft_format import files_of
from rung.records import Choice, Completion, Example, Task, from_json, to_json
from rung.train.keep import Keep
from rung.train.loss import row_losses
from rung.train.optim import Diverged
from rung.train.trainer import Outcome, Trainer, TrainSettings

CHAT_TEMPLATE = "chat_template.jinja"  # where transformers looks for it
PATIENCE = 2  # looks at dev with a rising loss, after which training stops
SEVERAL = 2.0  # epochs from which it may: before, every row is new


@dataclass
class Tuned:
    """A method that has been trained and still sits on the model."""

    attached: Attached
    outcome: Outcome
    applied: dict[str, Any]  # settings as used
    trainable: int
    choices: tuple[Choice, ...] = ()  # made before and in training
    notes: tuple[str, ...] = ()
    given_up: float = 0.0  # seconds of trainings with a learning rate that was too high
    loss: Objective | None = None  # what it made small, where that is no loss of the method's own


def train_settings(prepared: Prepared, plan: Plan, method: str, limit_seconds: float | None) -> TrainSettings:
    """The values of one training run: the user's where given, else the method's own."""
    return train_settings_of(
        prepared,
        method,
        epochs=plan.epochs,
        step_tokens=_step_tokens(prepared, plan, method),
        pack_tokens=plan.pack_tokens,
        evaluations=EVALUATIONS,
        limit_seconds=limit_seconds,
        patience=PATIENCE if plan.epochs >= SEVERAL else None,
    )


def _step_tokens(prepared: Prepared, plan: Plan, method: str) -> int:
    """Tokens of a step: as many more as a pair has than a row, so that it holds as many rows."""
    if not METHODS.prefers(method) or prepared.settings.batch_tokens:
        return plan.step_tokens
    pairs = pairs_of(prepared, [one for one in prepared.split.train if one.id in prepared.others])
    return round(plan.step_tokens * sum(map(size, pairs)) / sum(len(pair.ids) for pair in pairs))


def train_settings_of(prepared: Prepared, method: str, **sizes: Any) -> TrainSettings:
    """`sizes`, and the user's values where given, else the method's own on the base."""
    s = prepared.settings
    return TrainSettings(
        learning_rate=s.learning_rate or rate_for(prepared, method, settings_of(s, method)),
        warmup=s.warmup,
        weight_decay=s.weight_decay,
        max_grad_norm=s.max_grad_norm,
        seed=s.seed,
        checkpoint_seconds=s.checkpoint_seconds,
        **sizes,
    )


def train(
    prepared: Prepared,
    plan: Plan,
    method: str,
    checkpoints: Path,
    watcher: Watcher,
    limit_seconds: float | None = None,
    judged: int = 0,
    keep: Keep | None = None,
    setting: Arm | None = None,
) -> Tuned:
    """Attach `method`, train it, leave it in its best state on dev. On any error it is detached again.

    The best state is that of the task's metric on `judged` dev rows; of the loss where `judged` is 0. `keep`
    are general texts on which the base is kept. `setting` is what a race has chosen. A learning rate that
    the user did not give is lowered where it makes the base worse (`rung.ladder.guard`).
    """
    settings = train_settings(prepared, plan, method, limit_seconds)
    if setting is not None:
        settings = replace(settings, learning_rate=setting.rate)
        prepared = with_layers(prepared, setting.top_layers)
    free = prepared.settings.learning_rate is None
    first, lowered = settings.learning_rate, guard.read(checkpoints)
    while True:
        guard.clear(checkpoints, lowered)
        guarded = free and lowered.may_go_on
        limit = None if limit_seconds is None else max(0.0, limit_seconds - lowered.seconds)
        values = replace(settings, learning_rate=lowered.rate(first), limit_seconds=limit, guarded=guarded)
        start = time.monotonic()
        try:
            tuned = _train(prepared, plan, method, lowered.folder(checkpoints), watcher, values, judged, keep)
        except Diverged:
            if not guarded:
                raise
            seconds = time.monotonic() - start
        else:
            if not tuned.outcome.hurt:
                return replace(tuned, notes=lowered.note(first), given_up=lowered.seconds)
            tuned.attached.detach()
            seconds = tuned.outcome.seconds
        lowered = guard.lower(checkpoints, lowered, seconds)
        watcher.say(
            f"{method}: a learning rate of {values.learning_rate:g} makes the base worse; training begins "
            f"again with {lowered.rate(first):g}"
        )


def _train(
    prepared: Prepared,
    plan: Plan,
    method: str,
    checkpoints: Path,
    watcher: Watcher,
    settings: TrainSettings,
    judged: int,
    keep: Keep | None,
) -> Tuned:
    """One training with these `settings`. On any error the method is detached again."""
    seed, evaluated = prepared.settings.seed, evaluation_rows(plan.train_rows, plan.epochs)
    rows = sample(prepared.split.train, plan.train_rows, seed)
    dev = sample(prepared.split.dev, evaluated, seed)
    judge = DevJudge(prepared, judged) if judged else None
    learned, shown = train_rows(prepared, method, rows), rows_for(prepared, method, dev)
    known = [*rows, *sample(prepared.split.dev, max(evaluated, DEV_ROWS), seed)]  # those of `weaken` too
    loss = loss_for(prepared, method, known, checkpoints)
    attached = attach(prepared, method)
    try:
        choices = head_start.begin(prepared, attached, rows, watcher)
        outcome = Trainer(
            prepared.base.model,
            attached,
            learned,
            shown,
            settings,
            folder=checkpoints,
            listener=watcher,
            keep=keep,
            judge=judge,
            slack=judge.slack if judge else 0.0,
            loss=loss,
        ).run()
    except BaseException:
        attached.detach()
        raise
    applied: dict[str, Any] = {
        "method": method,
        "rows": len(rows),
        "texts": len(prepared.texts),
        "dev_loss_rows": len(dev),
        "dev_score_rows": judged,
        **asdict(settings),
    }
    applied |= attached.applied()
    if loss is not None:
        applied |= loss.facts()
    if keep is not None:
        applied |= keep.applied()
    trainable = sum(p.numel() for p in attached.parameters())
    by = f"{judge.name} on {judge.rows}" if judge else f"loss on {len(dev)}"
    at = f"step {outcome.best_step} of {outcome.planned_steps}, by {by} dev rows"
    tried = {f"step {point.step}": point.dev_score for point in outcome.curve} if judge else {}
    best = Choice("best checkpoint", at, tried)
    return Tuned(attached, outcome, applied, trainable, (*choices, best), loss=loss)


def save(prepared: Prepared, tuned: Tuned, folder: Path, by: AnswerBy = WRITING) -> int:
    """Write the method's files and how it answers, with a tokenizer if they are a whole model.

    Returns the bytes of the weights.
    """
    base = prepared.base
    about = {
        "rung_version": __version__,
        "method": METHODS.plain(tuned.applied["method"]),
        "base": base.name,
        "base_fingerprint": base.fingerprint,
        "bits": base.bits,
        "template_fingerprint": prepared.speaker.renderer.fingerprint,
        "task": to_json(prepared.task),
        "applied": tuned.applied,
    }
    if by != WRITING:
        about[ANSWER_BY] = to_json(by)
    if prepared.passages:
        about[PASSAGES] = prepared.passages
    if base.bits is not None:
        about["block_size"] = BLOCK
    method = METHODS[tuned.applied["method"]]
    files = files_of(Adapter.of(method, tuned.attached, about, copy=False), base.name)
    if method.promises.whole_model:
        files |= tokenizer_files(prepared)
    elif prepared.speaker.renderer.invented:
        files[CHAT_TEMPLATE] = prepared.speaker.renderer.written_template.encode()
    storage.write_folder(folder, files)
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


@dataclass(frozen=True)
class TunedResponder(Responder):
    """A tuned model that answers the row as it is."""

    speaker: Speaker  # with the method attached, or a whole model
    max_new_tokens: int
    adapter: Path  # where `save` of this module has written it
    about: dict[str, Any]  # the base, as `base_of` writes it down
    by: AnswerBy = WRITING
    task: Task | None = None  # whose grammar answers are kept to, where `by` says so
    attached: Attached | None = None

    @property
    def _answering(self) -> Answering:
        return Answering(self.speaker, self.by, self.max_new_tokens, self.task)

    def answer(self, examples: Sequence[Example], watcher: Watcher | None = None) -> list[Completion]:
        rows = watcher.rows if watcher else None
        return self._answering.answer(examples, self._ids(examples), rows)

    def score(self, examples: Sequence[Example], choices: Sequence[str]) -> Scores | None:
        return self._answering.score(self._ids(examples), choices)

    def tokens(self, choices: Sequence[str]) -> list[int] | None:
        return self._answering.lengths(choices)

    def answer_and_score(
        self, examples: Sequence[Example], choices: Sequence[str]
    ) -> tuple[list[Completion], Scores | None]:
        """Both, of one reading of the rows. An answer that is written need not be the best choice."""
        return self._answering.answer_and_score(examples, self._ids(examples), choices)

    def likelihoods(self, examples: Sequence[Example]) -> dict[str, tuple[float, float]]:
        known = [one for one in examples if one.target.strip()]
        if self.attached is None or not known:
            return {}
        rows = [self.speaker.renderer.render(one) for one in known]
        rows = [replace(row, mask=tuple(i >= row.answer_start for i in range(len(row.ids)))) for row in rows]
        model = self.speaker.base.model
        tuned = row_losses(model, rows)
        with self.attached.disabled():
            base = row_losses(model, rows)
        each = zip(known, rows, tuned, base, strict=True)
        return {one.id: (t / row.answer_length, b / row.answer_length) for one, row, t, b in each}

    def _ids(self, examples: Sequence[Example]) -> list[list[int]]:
        return self.speaker.renderer.prompts(examples, [example.prompt for example in examples])

    def save(self, folder: Path) -> None:
        value = {
            "adapter": Path(os.path.relpath(self.adapter, folder)).as_posix(),
            "max_new_tokens": self.max_new_tokens,
            "base": self.about,
            ANSWER_BY: to_json(self.by),
        }
        if self.by.constrained and self.task is not None:
            value["task"] = to_json(self.task)
        storage.write_folder(folder, {FILE: storage.as_json(value)})


def responder(
    speaker: Speaker,
    attached: Attached | None,
    max_new_tokens: int,
    adapter: Path,
    about: dict[str, Any],
    by: AnswerBy = WRITING,
    task: Task | None = None,
) -> Responder:
    """What answers with a tuned model: as `by` says, kept to the grammar of `task` where it does, or with the
    labels of its head.

    A whole model has nothing `attached`.
    """
    own = TunedResponder(speaker, max_new_tokens, adapter, about, by, task, attached)
    head = with_head(attached)
    return own if head is None else HeadResponder(speaker, head, own)


def load(folder: Path) -> Responder:
    """What `TunedResponder.save` wrote. Raises `ResumeError`, `AdapterError` or `BaseModelError`."""
    storage.verify_folder(folder)
    value = storage.read_object(folder / FILE, adapter=str, base=dict, max_new_tokens=int)
    adapter, about = (folder / value["adapter"]).resolve(), value["base"]
    attached: Attached | None
    if (adapter / "adapter_config.json").is_file():
        speaker = speaker_of(about)
        attached, _ = attach_saved(adapter, speaker)
    else:  # a whole model
        device = device_of(about)
        base = load_base(str(adapter), dtype=device.dtype, device=str(device.device))
        speaker, attached = Speaker(base, Renderer(base.tokenizer)), None
    by = from_json(AnswerBy, value.get(ANSWER_BY, {}), FILE)  # saved answers from before it was kept write
    task = from_json(Task, value["task"], FILE) if "task" in value else None
    return responder(speaker, attached, value["max_new_tokens"], adapter, about, by, task)


def tokenizer_files(prepared: Prepared) -> Files:
    """The tokenizer's own files, as transformers writes them, with the chat template that was used."""
    import copy
    import tempfile

    tokenizer = copy.copy(prepared.base.tokenizer)
    if prepared.speaker.renderer.invented:
        tokenizer.chat_template = prepared.speaker.renderer.written_template
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir()) if file.is_file()}
