"""Rungs without a language model: forecasts, and a climb that loads no base."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import letters
from contexts import context_of
from rung.api import climb
from rung.config import make_settings
from rung.ladder.prepare import prepare
from rung.ladder.rungs import RUNGS
from rung.ladder.understood import understand_data

NAMES = ("constant", "nearest", "words")


def test_a_quote_counts_every_row_and_no_epochs(letters_csv: Path) -> None:
    settings = make_settings(letters.FAST)
    context = context_of(prepare(understand_data(letters_csv, settings), settings))
    for name in NAMES:
        quote = RUNGS[name].quote(context)
        assert (quote.fits, quote.train_rows) == (True, len(context.split.train))
        assert (quote.epochs, quote.train_seconds) == (0.0, None)
        fewer = replace(context.size, test=context.size.test - 5)
        context.size, before = fewer, quote.seconds or 0.0
        assert (RUNGS[name].quote(context).seconds or 0.0) < before


def test_a_climb_of_them_alone_loads_no_base(letters_csv: Path, tmp_path: Path) -> None:
    settings = letters.FAST | {"base": "owner/no-such-base", "rungs": ",".join(NAMES)}
    climbed = climb(letters_csv, output=tmp_path / "run", **settings)
    assert [(one.rung, one.status) for one in climbed.results] == [(name, "ok") for name in NAMES]
    assert climbed.info.base == ""
    assert climbed.verdict.recommended in NAMES[1:]
    assert {path.suffix for path in (climbed.folder / "answer").rglob("*.*")} <= {".json", ".safetensors"}
