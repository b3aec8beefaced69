"""Prompting with documents: what is tried, what it costs, and when it is not for a row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import letters
import shelf
from contexts import SLOW, context_of
from rung.config import make_settings
from rung.errors import UsageError
from rung.ladder.context import Context
from rung.ladder.library import Library
from rung.ladder.prepare import Prepared, prepare
from rung.ladder.prompt_forecast import prompt_seconds
from rung.ladder.prompting import Prompted
from rung.ladder.reading import all_tokens, tokens_of
from rung.ladder.rungs import RUNGS, asked_for
from rung.ladder.rungs.prompt import PromptRung
from rung.ladder.rungs.retrieval import numbers
from rung.ladder.understood import understand_data

RETRIEVAL, DOCUMENT = RUNGS["retrieval"], RUNGS["document"]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    rows, documents = shelf.write(tmp_path_factory.mktemp("shelf"), 40)
    settings = make_settings(letters.FAST | {"apis": str(documents), "passages": "1,2"})
    return prepare(understand_data(rows, settings), settings)


@pytest.fixture
def context(asked: Prepared, tmp_path: Path) -> Context:
    return of(asked, tmp_path)


def of(asked: Prepared, folder: Path) -> Context:
    assert asked.documents is not None
    return context_of(asked, folder, library=Library.of(asked.documents, folder))


@pytest.mark.parametrize("rung", [RETRIEVAL, DOCUMENT], ids=lambda rung: rung.name)
def test_a_quote_is_the_time_of_its_ways(context: Context, rung: PromptRung) -> None:
    context.prepared = replace(context.prepared, max_length=100_000)
    quote = rung.quote(context)
    stages = [rung.asks(context), rung.further_asks(context)]
    assert (quote.low, quote.seconds, quote.high) == prompt_seconds(context.work, SLOW, context.size, stages)
    ways = rung.ways(context)
    assert [len(ways), len(rung.further(context, ways[-1]))] == [len(asks) for asks in stages]
    assert len({way.name for way in [*ways, *rung.further(context, ways[-1])]}) == sum(map(len, stages))


def test_more_passages_are_quoted_for_more(context: Context) -> None:
    context.size = replace(context.size, dev=100)
    one, two = RETRIEVAL.asks(context)  # type: ignore[attr-defined]
    assert two.own - one.own == tokens_of(context)


def test_a_budget_leaves_out_numbers_that_are_too_long_to_read(context: Context) -> None:
    context.size = replace(context.size, dev=100)
    assert numbers(context) == [1, 2]
    rows = len(context.whole.test)
    budget = 10 * rows * 1.5 * tokens_of(context) / SLOW.prefill  # a tenth of it reads one passage a row
    context.settings = context.settings.model_copy(update={"budget": budget})
    assert numbers(context) == [1]
    context.settings = context.settings.model_copy(update={"budget": budget / 100})
    assert numbers(context) == [1]  # one is always tried
    ways = RETRIEVAL.further(context, RETRIEVAL.ways(context)[0])  # type: ignore[attr-defined]
    assert [way for way in ways if way.retrieved] == []


def test_the_whole_document_is_tried_only_where_it_fits(context: Context) -> None:
    prepared = context.prepared
    tokens = all_tokens(context)
    context.prepared = replace(prepared, max_length=tokens)
    quote = DOCUMENT.quote(context)
    assert not quote.fits
    assert f"the documents have {tokens:,} tokens, and a prompt has room for" in quote.why
    context.prepared = replace(prepared, max_length=2 * tokens)
    assert DOCUMENT.quote(context).fits


def test_the_passages_are_in_the_prompt_and_in_what_is_saved(context: Context) -> None:
    outcome = RETRIEVAL.run(context, None)
    assert isinstance(outcome.responder, Prompted)
    tried = outcome.choices[0].tried
    assert outcome.choices[0].name == "prompt"
    assert any("after the question" in name for name in tried)
    assert any("retrieved example" in name for name in tried)
    assert list(outcome.applied["retriever_recall"]) == ["1", "2"]
    tokenizer = context.prepared.base.tokenizer
    example = context.split.test[0]
    (ids,) = outcome.responder.asker.ids([example])
    name = example.target.split("(")[0]
    assert f"call: {name}(room)" in tokenizer.decode(ids)
    assert context.library is not None
    context.library.save()
    folder = context.folder.file("answer", "retrieval")
    outcome.responder.save(folder)
    loaded = RETRIEVAL.load(folder)
    assert isinstance(loaded, Prompted)
    assert loaded.asker.ids([example]) == [ids]


def test_it_is_for_climbs_with_documents_alone() -> None:
    assert "retrieval" not in [rung.name for rung in asked_for(make_settings({}))]
    assert "retrieval" not in [rung.name for rung in asked_for(make_settings({"rungs": "all"}))]
    for name in ("documents", "apis"):
        found = [rung.name for rung in asked_for(make_settings({name: "x.jsonl"}))]
        assert [one for one in found if RUNGS[one].needs_documents] == [
            *("retrieval", "document"),
            *("lora-retrieval", "lora-open-book"),
        ]
    with pytest.raises(UsageError, match="'document' looks answers up in documents, and none are named"):
        asked_for(make_settings({"rungs": "document"}))
