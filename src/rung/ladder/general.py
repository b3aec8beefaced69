"""General texts on which tuned rungs keep what the base does: the user's, or what the base writes itself.

They are other texts than those on which forgetting is measured (`rung.evaluation.forgetting`). This module
imports no torch until texts are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rung.errors import DataError
from rung.ladder.strength import DEV_ROWS, TEXTS
from rung.methods.table import METHODS
from rung.records import Rendered

if TYPE_CHECKING:
    from rung.config import Settings
    from rung.ladder.context import Context
    from rung.ladder.forecast import Speeds, Workload
    from rung.ladder.prepare import Prepared
    from rung.train.keep import Keep

KL_PENALTY = 1.0  # unless another weight is set; docs/forgetting.md
FEWEST, MOST = 32, 192  # texts; the base writes as many as a training reads, about
_PROMPT, _WRITTEN = 45, 16  # tokens of a text; short ones, so that a step reads many
_OF_READING = 2.0  # keeping the most likely words takes as long as reading, about


def weights_of(settings: Settings) -> tuple[float, float]:
    """Weights of the divergence from the base and of the loss of the texts."""
    return KL_PENALTY if settings.kl_penalty is None else settings.kl_penalty, settings.replay


def applies(settings: Settings, method: str) -> bool:
    """Whether a training with `method` reads general texts."""
    return any(weights_of(settings)) and METHODS[method].promises.moves_base


def wanted(tokens: float, share: float) -> int:
    """How many texts a training on `tokens` tokens reads: 32, 64, 128, or as many as there are prompts."""
    needed = share * tokens / (_PROMPT + _WRITTEN)
    return next((count for count in (FEWEST, 2 * FEWEST, 4 * FEWEST) if count >= needed), MOST)


def more_tokens(settings: Settings, method: str) -> float:
    """Tokens of a training, over those of its rows."""
    return 1 + settings.general_share if applies(settings, method) else 1.0


def reading_seconds(context: Context, method: str, tokens: float) -> float:
    """Of writing and reading the texts for a training on `tokens` tokens; 0 where it is done."""
    settings = context.settings
    count = wanted(tokens, settings.general_share)
    if not applies(settings, method) or count in context.general:
        return 0.0
    reading = _OF_READING * count * (_PROMPT + _WRITTEN) / context.speeds.prefill
    return reading + (0 if settings.general_texts else count * _WRITTEN / context.speeds.decode)


def weakening_seconds(work: Workload, speeds: Speeds) -> float:
    """Of trying weaker changes after training (`rung.ladder.weaken`), where too much was forgotten."""
    rows = DEV_ROWS * work.row_tokens + TEXTS * 2 * (_PROMPT + _WRITTEN)
    return 3 * rows / speeds.prefill


def keep_of(context: Context, method: str, tokens: float) -> Keep | None:
    """What keeps the base in a training with `method` on `tokens` tokens; None where nothing has to.

    Nothing may be attached to the base. Raises `DataError` where the user's texts cannot be used.
    """
    from rung.train.keep import General, Keep

    settings = context.settings
    if not applies(settings, method):
        return None
    count = wanted(tokens, settings.general_share)
    if count not in context.general:
        context.watcher.begin("", "reading general texts")
        of_user = settings.general_texts is not None
        rows = rows_from_file(context.prepared) if of_user else written_rows(context.prepared, count)
        context.general[count] = General.of(context.prepared.base.model, rows)
    weight, replay = weights_of(settings)
    return Keep(context.general[count], weight, replay, settings.general_share, settings.seed)


def rows_from_file(prepared: Prepared) -> tuple[Rendered, ...]:
    """The user's general texts as tokens; rows that are too long are left out.

    Raises `DataError` where the file cannot be read or no row is left.
    """
    from rung.data.formats import read_examples

    path = prepared.settings.general_texts
    assert path is not None
    rows = [prepared.speaker.renderer.render(example) for example in read_examples(path).examples]
    found = tuple(row for row in rows if len(row.ids) <= prepared.max_length and any(row.mask[1:]))
    if not found:
        raise DataError(
            f"no row of the general texts fits into {prepared.max_length} tokens",
            where=path.name,
            fix="Give shorter texts, or leave out --general-texts",
        )
    return found


def written_rows(prepared: Prepared, count: int) -> tuple[Rendered, ...]:
    """What the plain base writes after the first `count` prompts for replay."""
    from rung.bases.catalog import cache_dir
    from rung.evaluation import forgetting

    speaker = prepared.speaker
    prompts = forgetting.replay_prompts()[:count]
    texts = forgetting.reference(speaker.engine, speaker.renderer, cache_dir() / "general", prompts, _WRITTEN)
    return tuple(forgetting.as_row(text, f"general {number}") for number, text in enumerate(texts, 1))
