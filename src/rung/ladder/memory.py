"""The memory of training: measured in real steps of a method; what differs from them is arithmetic.

Bytes are those of the resident set of the whole process at its highest, as the record of a rung has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rung import numbers
from rung.ladder.context import Context, Room
from rung.ladder.forecast import TrainRate, evaluation_rows, judged_rows, step_tokens
from rung.methods.table import METHODS

if TYPE_CHECKING:
    from rung.evaluation.forgetting import Text
    from rung.ladder.prepare import Prepared

LATER = 250_000_000  # bytes that a whole training takes above a few steps: 0.24 (LoRA) and 0.29 GB measured
FEWEST_TOKENS = 128  # of a pass: smaller ones save little
_OF_LOGITS = 256 * 8  # bytes for each word of the vocabulary: a chunk of logits, twice in fp32


@dataclass(frozen=True, slots=True)
class Need:
    """What a training needs at its peak, with passes of so many tokens."""

    bytes: int
    pack_tokens: int
    why: str = ""  # why that is too much; "" where it fits


def need(context: Context, method: str) -> Need:
    """With the largest passes that fit into the memory that is free; timed if they fit as far as is known."""
    prepared, size = context.prepared, context.size
    context.room = room = context.room or Room.now()
    if method not in context.speeds.train:
        before = _by_arithmetic(room, prepared, method, context.pack_tokens)
        if before.why:
            return before
    rate = context.speeds.train[method]
    if not rate.peak_bytes:  # the system does not say
        return _by_arithmetic(room, prepared, method, context.pack_tokens, rate.parameters)
    work = context.work.in_pairs if METHODS[method].prefers else context.work
    step = step_tokens(context.settings, work, size.train, size.epochs)
    cached = 0 if METHODS[method].promises.moves_base else _trunk_bytes(context)
    later = max(rate.held_bytes + _after_training(context, method), _judging(context, method, rate))
    each = token_bytes(prepared)

    def bytes_of(pack: int) -> int:
        more = rate.pass_share * largest_pass(step, pack) - rate.pass_tokens
        return max(rate.peak_bytes + LATER + cached + round(more * each), later)

    return _fitting(room, context.pack_tokens, bytes_of)


def expected(prepared: Prepared, method: str, pack_tokens: int, parameters: int = 0) -> int:
    """The peak above what the process holds, by arithmetic alone."""
    words: int = _OF_LOGITS * prepared.base.model.config.get_text_config().vocab_size
    return method_bytes(prepared, method, parameters) + words + pack_tokens * token_bytes(prepared)


def pack_to_time(prepared: Prepared, method: str, most: int) -> int:
    """Tokens of the passes that are timed: `most`, or fewer where these would not fit into memory."""
    return _by_arithmetic(Room.now(), prepared, method, most).pack_tokens


def guessed(prepared: Prepared, method: str, parameters: int, other: str, rate: TrainRate) -> int:
    """The peak of `method`, which was not timed, from that of another one."""
    if not rate.peak_bytes:
        return 0
    own = method_bytes(prepared, method, parameters)
    return rate.peak_bytes + own - method_bytes(prepared, other, rate.parameters)


def method_bytes(prepared: Prepared, method: str, parameters: int) -> int:
    """What a method holds while it trains so many `parameters`.

    Gradients and two moments in fp32, and an fp32 copy unless the weights are in fp32 themselves; for a whole
    model also gradients of the words: two, and a sum in fp32.
    """
    if not METHODS[method].promises.whole_model:
        return 16 * parameters
    model, size = prepared.base.model, prepared.base.dtype.itemsize
    words: int = model.get_input_embeddings().weight.numel()
    parameters = sum(weight.numel() for weight in model.parameters())
    return (16 if size < 4 else 12) * parameters + (4 + 2 * size) * words


def _trunk_bytes(context: Context) -> int:
    """What the base puts out for all rows (`rung.train.trunk`), and a pass that makes it."""
    prepared, size = context.prepared, context.size
    rows = size.train + min(evaluation_rows(size.train, size.epochs), size.dev)
    width: int = prepared.base.model.config.get_text_config().hidden_size
    tokens = round(rows * context.work.trained_tokens)
    return tokens * width * prepared.base.dtype.itemsize + _reading_bytes(prepared)


def _reading_bytes(prepared: Prepared) -> int:
    """What a pass over prompts holds: the insides of an MLP, and what comes into and out of it."""
    from rung.generate.cache import PASS_TOKENS

    config = prepared.base.model.config.get_text_config()
    d: int = config.hidden_size
    f: int = getattr(config, "intermediate_size", None) or 4 * d
    return PASS_TOKENS * (3 * f + 4 * d) * prepared.base.dtype.itemsize


def _after_training(context: Context, method: str) -> int:
    """What measuring forgetting or writing answers takes, the larger."""
    forgetting = forgetting_bytes(context.prepared, context.texts)
    return forgetting if METHODS[method].classifies else max(forgetting, answering_bytes(context))


def _judging(context: Context, method: str, rate: TrainRate) -> int:
    """What answering dev rows while training takes, next to what the method holds; 0 where none are."""
    size, dev = context.size, len(context.prepared.split.dev)
    if METHODS[method].classifies or not judged_rows(context.work, size.train, size.epochs, dev):
        return 0
    return method_bytes(context.prepared, method, rate.parameters) + answering_bytes(context)


def forgetting_bytes(prepared: Prepared, texts: Sequence[Text]) -> int:
    """What measuring forgetting takes: probabilities of a batch in fp32, and of some rows six times over."""
    from rung.evaluation.forgetting import BATCH_LOGITS, BATCH_TEXTS, HEAD_ROWS

    words: int = prepared.base.model.config.get_text_config().vocab_size
    rows = sum(sorted(len(one.written) for one in texts)[-BATCH_TEXTS:])
    return 4 * (min(rows * words, BATCH_LOGITS) + 6 * min(rows, HEAD_ROWS) * words)


def answering_bytes(context: Context) -> int:
    """What writing the first batch of answers takes, that of the longest prompts.

    Keys and values are held twice while the rows come together, and each row has its logits, twice in fp32.
    """
    from rung.generate.checks import cache_bytes, places_for

    prepared = context.prepared
    base = prepared.base
    prompt = context.work.longest_prompt
    columns = prompt + context.work.longest_answer
    rows = min(prepared.speaker.engine.rows, max(1, context.size.test), places_for(base, columns))
    logits: int = 8 * base.model.config.get_text_config().vocab_size
    return rows * ((columns + prompt) * cache_bytes(base) + logits) + _reading_bytes(prepared)


def token_bytes(prepared: Prepared) -> int:
    """What is kept for the backward pass for each token.

    With d hidden, kv key and value and f intermediate values, a layer keeps 4 d + 2 kv + 2 f numbers on the
    fused path, else about 6 d + 2 kv + 4 f.
    """
    config = prepared.base.model.config.get_text_config()
    d, f = config.hidden_size, getattr(config, "intermediate_size", 4 * config.hidden_size)
    heads = config.num_attention_heads
    kv = d // heads * (getattr(config, "num_key_value_heads", None) or heads)
    fused = prepared.base.route.path == "fused"
    values = 4 * d + 2 * kv + 2 * f if fused else 6 * d + 2 * kv + 4 * f
    return int(config.num_hidden_layers * values * prepared.base.dtype.itemsize)


def largest_pass(step: float, pack_tokens: int) -> float:
    """Tokens of each pass of a step: they are of nearly the same size (`rung.data.pack`)."""
    return step / max(1, round(step / pack_tokens))


def _by_arithmetic(room: Room, prepared: Prepared, method: str, most: int, parameters: int = 0) -> Need:
    """What is needed where nothing was measured."""
    return _fitting(room, most, lambda pack: expected(prepared, method, pack, parameters))


def _fitting(room: Room, most: int, bytes_of: Callable[[int], int]) -> Need:
    """What is needed with the largest passes that fit, or why not even the smallest do.

    `bytes_of` says what passes of so many tokens take above what the process holds.
    """
    pack = most
    while True:
        more = bytes_of(pack)
        if room.free is None or more <= room.free:
            return Need(room.held + more, pack)
        if pack // 2 < FEWEST_TOKENS:
            have = f"{numbers.size(room.held + room.free)} are there"
            needed = f"it needs about {numbers.size(room.held + more)} of memory"
            return Need(room.held + more, pack, f"{needed}, {have}")
        pack //= 2
