"""The memory of training: measured in real steps of a method; what differs from them is arithmetic.

Bytes are those of the resident set of the whole process at its highest, as the record of a rung has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rung import cost, machine, numbers
from rung.ladder.context import Context
from rung.ladder.forecast import TrainRate, step_tokens

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
    before = _fitting(context.pack_tokens, lambda pack: expected(prepared, method, pack))
    if before.why:
        return before
    rate = context.speeds.train[method]
    if not rate.memory_bytes:  # the system does not say
        return _fitting(context.pack_tokens, lambda pack: expected(prepared, method, pack, rate.parameters))
    step = step_tokens(context.settings, context.work, size.train, size.epochs)

    def bytes_of(pack: int) -> int:
        more = rate.pass_share * largest_pass(step, pack) - rate.pass_tokens
        return rate.memory_bytes + LATER + round(more * token_bytes(prepared))

    return _fitting(context.pack_tokens, bytes_of)


def expected(prepared: Prepared, method: str, pack_tokens: int, parameters: int = 0) -> int:
    """The peak by arithmetic alone, on top of what the process holds now."""
    words: int = _OF_LOGITS * prepared.base.model.config.get_text_config().vocab_size
    own = method_bytes(prepared, method, parameters)
    return (cost.resident() or 0) + own + words + pack_tokens * token_bytes(prepared)


def pack_to_time(prepared: Prepared, method: str, most: int) -> int:
    """Tokens of the passes that are timed: `most`, or fewer where these would not fit into memory."""
    return _fitting(most, lambda pack: expected(prepared, method, pack)).pack_tokens


def guessed(prepared: Prepared, method: str, parameters: int, other: str, rate: TrainRate) -> int:
    """The peak of `method`, which was not timed, from that of another one."""
    if not rate.memory_bytes:
        return 0
    own = method_bytes(prepared, method, parameters)
    return rate.memory_bytes + own - method_bytes(prepared, other, rate.parameters)


def method_bytes(prepared: Prepared, method: str, parameters: int) -> int:
    """What a method holds while it trains so many `parameters`.

    Gradients and two moments in fp32, and an fp32 copy unless the weights are in fp32 themselves; for a whole
    model also gradients of the words: two, and a sum in fp32.
    """
    from rung.methods import METHODS

    if not METHODS[method].promises.whole_model:
        return 16 * parameters
    model, size = prepared.base.model, prepared.base.dtype.itemsize
    words: int = model.get_input_embeddings().weight.numel()
    parameters = sum(weight.numel() for weight in model.parameters())
    return (16 if size < 4 else 12) * parameters + (4 + 2 * size) * words


def forgetting_bytes(prepared: Prepared, texts: Sequence[Text]) -> int:
    """What measuring forgetting takes: probabilities of a batch in fp32, and twice as much on the way."""
    from rung.evaluation.forgetting import BATCH_LOGITS, BATCH_TEXTS

    words = prepared.base.model.config.get_text_config().vocab_size
    rows = sum(sorted(len(one.written) for one in texts)[-BATCH_TEXTS:])
    return int(3 * 4 * min(rows * words, BATCH_LOGITS))


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


def _fitting(most: int, bytes_of: Callable[[int], int]) -> Need:
    """What is needed with the largest passes that fit, or why not even the smallest do."""
    free, held = machine.free_memory(), cost.resident() or 0
    pack = most
    while True:
        needed = bytes_of(pack)
        if free is None or needed - held <= free:
            return Need(needed, pack)
        if pack // 2 < FEWEST_TOKENS:
            have = f"{numbers.size(held + free)} are there"
            return Need(needed, pack, f"it needs about {numbers.size(needed)} of memory, {have}")
        pack //= 2
