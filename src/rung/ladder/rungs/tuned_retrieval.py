"""LoRA with documents: trained with retrieved passages in the prompt, or trained without and asked with them.

The second says how much of the first is learned reading, and how much the passages alone give.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rung import cost, storage
from rung.ladder import forecast
from rung.ladder.context import Context
from rung.ladder.responder import Responder
from rung.ladder.rungs.rung import Outcome, Rung, Skipped, register
from rung.ladder.rungs.tune import TuneRung
from rung.records import Quote, Result, RungKind, from_json

_OTHER = "lora"  # the rung whose adapter is asked


class TuneWithRetrieval(TuneRung):
    """Tuning on rows with passages, some of them wrong ones; passages are looked up for every answer."""

    needs_documents = True
    needs_answers = True

    def view(self, context: Context) -> Context:
        from rung.ladder.reading import reading_context

        return reading_context(context)

    def quote(self, context: Context) -> Quote:
        return super().quote(self.view(context))

    def run(self, context: Context, limit: float | None) -> Outcome:
        from rung.ladder.reading import reader_of, shown_of, with_recall

        outcome = super().run(self.view(context), limit)
        shown = shown_of(context)
        noted = f"{shown.wrong:,} of {len(shown.prepared.split.train):,} train rows are shown wrong passages"
        found = replace(
            outcome, responder=reader_of(context, outcome.responder), notes=(*outcome.notes, noted)
        )
        return with_recall(found, context, shown.passages)

    def load(self, folder: Path) -> Responder:
        from rung.ladder import reader

        return reader.load(folder)


class AskedWithRetrieval(Rung):
    """The adapter of plain LoRA, asked with passages that it has not been trained to read."""

    name = "lora-open-book"
    formerly = "lora-with-retrieval-at-test"
    title = "LoRA asked with retrieval"
    kind: RungKind = "tune"
    method = "lora"
    needs_documents = True

    @property
    def trains(self) -> bool:
        return False

    def quote(self, context: Context) -> Quote:
        from rung.ladder.reading import reading_context

        if why := _missing(context, before=True):
            return Quote(self.name, fits=False, why=why)
        view = reading_context(context)
        picks = bool(context.task.labels)
        seconds = forecast.tuned_answer_seconds(view.work, view.speeds, view.size, picks)
        return Quote(
            self.name,
            fits=True,
            seconds=seconds,
            test_rows=view.size.test,
            money=cost.money(seconds, context.settings.price_per_hour),
        )

    def run(self, context: Context, limit: float | None) -> Outcome:
        from rung.ladder import tuning
        from rung.ladder.adapter import attach
        from rung.ladder.answer_by import AnswerBy
        from rung.ladder.prompting import FILE
        from rung.ladder.reading import reader_of, shown_of, with_recall
        from rung.ladder.speaking import base_of
        from rung.methods.origin import ANSWER_BY

        if why := _missing(context):
            raise Skipped(why)
        prepared, adapter = context.prepared, context.folder.file("adapters", _OTHER)
        other = _result(context)
        saved = storage.read_object(context.folder.file("answer", _OTHER, FILE))
        attached, _ = attach(adapter, prepared.speaker)
        try:
            by = from_json(AnswerBy, saved.get(ANSWER_BY, {}), FILE)
            longest, about = prepared.max_new_tokens, base_of(prepared)
            model = tuning.responder(prepared.speaker, attached, longest, adapter, about, by, prepared.task)
            outcome = Outcome(
                reader_of(context, model),
                forgetting=other.forgetting,
                notes=("its adapter is that of LoRA, whose training is in the cost",),
                applied={"max_new_tokens": prepared.max_new_tokens},
                train_seconds=other.cost.train_seconds,
                train_tokens=other.cost.train_tokens,
                trainable_parameters=other.cost.trainable_parameters,
                adapter_bytes=other.cost.adapter_bytes,
                before_seconds=other.cost.making_seconds or 0.0,
                close=attached.detach,
            )
            return with_recall(outcome, context, shown_of(context).passages)
        except BaseException:
            attached.detach()
            raise

    def load(self, folder: Path) -> Responder:
        from rung.ladder import reader

        return reader.load(folder)


def _missing(context: Context, before: bool = False) -> str:
    """Why there is no adapter to ask, or ""; `before` LoRA has ended it may still come."""
    if not context.folder.file("results", f"{_OTHER}.json").is_file():
        return "" if before else f"it asks the adapter of the rung {_OTHER}, which has not been trained here"
    status = _result(context).status
    return "" if status == "ok" else f"it asks the adapter of the rung {_OTHER}, which ended as {status}"


def _result(context: Context) -> Result:
    path = context.folder.file("results", f"{_OTHER}.json")
    return from_json(Result, storage.read_json(path), path.name)


register(TuneWithRetrieval("lora-retrieval", "LoRA with retrieval", "lora"))
register(AskedWithRetrieval())
