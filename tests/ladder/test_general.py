"""General texts of a climb: how many are read, whose they are, and what they cost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from contexts import SIZE, context_of
from rung.config import make_settings
from rung.errors import DataError
from rung.ladder import general
from rung.ladder.prepare import Prepared
from rung.ladder.rungs import RUNGS


def asked(prepared: Prepared, **settings: object) -> Prepared:
    return replace(prepared, settings=make_settings({"base": "tiny", **settings}))


def test_as_many_texts_as_a_training_reads() -> None:
    # 5 % of 30,000 tokens are 1,500, which are 25 texts of 61 tokens.
    assert general.wanted(30_000, 0.05) == general.FEWEST == 32
    assert general.wanted(70_000, 0.05) == 64
    assert general.wanted(10**7, 0.05) == general.MOST


def test_a_weight_of_0_reads_no_texts(prepared: Prepared) -> None:
    context = context_of(asked(prepared, kl_penalty=0))
    assert general.keep_of(context, "lora", 1000) is None
    assert general.more_tokens(context.settings, "lora") == 1
    assert general.reading_seconds(context, "lora", 1000) == 0
    assert context.general == {}


def test_a_method_that_leaves_the_base_as_it_is_reads_none(prepared: Prepared) -> None:
    assert not general.applies(prepared.settings, "head")
    assert general.applies(prepared.settings, "lora")


def test_the_base_writes_the_texts_once(prepared: Prepared) -> None:
    context = context_of(prepared)
    assert general.reading_seconds(context, "lora", 1000) > 0
    first, again = (general.keep_of(context, "lora", 1000) for _ in range(2))
    assert first is not None
    assert again is not None
    assert first.general is again.general
    assert 0 < len(first.general.rows) <= general.FEWEST
    for row, words in zip(first.general.rows, first.general.words, strict=True):
        learned = sum(row.mask[1:])
        assert not any(row.mask[: len(row.ids) - learned])
        assert len(words) == learned > 0
    assert general.reading_seconds(context, "lora", 1000) == 0


def test_the_texts_can_be_the_users(prepared: Prepared, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    rows = [{"prompt": f"Say {word}.", "completion": word} for word in ("red", "green", "blue", "grey")]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = general.rows_from_file(asked(prepared, general_texts=str(file)))
    assert len(found) == 4
    words = [
        prepared.base.tokenizer.decode([i for i, m in zip(r.ids, r.mask, strict=True) if m]) for r in found
    ]
    assert all(row["completion"] in text for row, text in zip(rows, words, strict=True))


def test_texts_that_are_all_too_long_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text(json.dumps({"prompt": "Say it.", "completion": "word " * 500}) + "\n")
    short = replace(asked(prepared, general_texts=str(file)), max_length=40)
    with pytest.raises(DataError, match="no row of the general texts fits into 40 tokens"):
        general.rows_from_file(short)


def test_a_quote_counts_the_texts(prepared: Prepared) -> None:
    without = context_of(asked(prepared, kl_penalty=0), size=SIZE)
    with_texts = context_of(asked(prepared, general_share=0.5), size=SIZE)
    plain, more = (RUNGS["lora"].quote(context) for context in (without, with_texts))
    assert plain.train_seconds is not None
    assert more.train_seconds is not None
    assert 1.3 < more.train_seconds / plain.train_seconds < 1.5  # and the optimizer's own time
    assert more.seconds is not None
    assert plain.seconds is not None
    reading = general.reading_seconds(with_texts, "lora", 64 * 2.0 * with_texts.work.row_tokens)
    assert reading > 0
    assert more.seconds - plain.seconds == pytest.approx(more.train_seconds - plain.train_seconds + reading)
