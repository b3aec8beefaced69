"""Answers that keep to a grammar: against a plain loop, one row at a time, and at their ends."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from llguidance import LLMatcher

from rung.bases.base import Base
from rung.compute.attention import NAME
from rung.compute.load import tiny
from rung.errors import BaseModelError, UsageError
from rung.evaluation.json_grammar import Style, grammar_of
from rung.generate import grammars
from rung.generate.engine import Engine, Generated
from rung.generate.grammars import Grammars
from rung.generate.sample import Sampler
from rung.methods.slots import slots_of

END = 2  # <|im_end|>
SCHEMA = {
    "type": "object",
    "properties": {"a": {"enum": ["x", "y"]}, "b": {"type": "string"}, "c": {"type": "boolean"}},
    "required": ["a"],
    "additionalProperties": False,
}
ORDERED = SCHEMA | {"x-order": ["a", "b"]}
OBJECT = grammar_of(ORDERED, Style())
CHOICE = 'start: "yes" | "no" | "maybe so"\n'


def prompts(n: int = 13, seed: int = 0) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(40, 259) for _ in range(draw.randint(3, 30))] for _ in range(n)]


def text(base: Base, answer: Generated) -> str:
    return str(base.tokenizer.decode(answer.ids))


def plain(base: Base, prompt: Sequence[int], grammar: str, new: int) -> list[int]:
    """The oracle: no cache, no batch, a mask over all tokens at every step; without closing."""
    known = Grammars.of(base)
    matcher = LLMatcher(known.tokens, LLMatcher.grammar_from_lark(grammar), log_level=0)
    base.model.set_attn_implementation("eager")
    ids = list(prompt)
    with torch.no_grad():
        while len(ids) < len(prompt) + new:
            logits = base.model(torch.tensor([ids]), use_cache=False).logits[0, -1]
            bits = matcher.compute_logit_bias()
            allowed = torch.tensor([byte > 0 for byte in bits])
            allowed[END] = matcher.is_accepting()
            token = int(logits.masked_fill(~allowed, float("-inf")).argmax())
            if token == END:
                break
            matcher.consume_token(token)
            ids.append(token)
    base.model.set_attn_implementation(NAME)
    return ids[len(prompt) :]


@pytest.mark.parametrize("rows", [1, 4, 64])
def test_says_what_a_plain_masked_loop_says(rows: int) -> None:
    base, asked = tiny(), prompts()
    kinds = [(OBJECT, CHOICE)[i % 2] for i in range(len(asked))]
    got = Engine(base, rows).generate(asked, max_new_tokens=90, stop_ids={END}, grammars=kinds)
    for one, prompt, grammar in zip(got, asked, kinds, strict=True):
        if not one.truncated and len(one.ids) < 70:  # near its limit a row is closed
            assert list(one.ids) == plain(base, prompt, grammar, 90)
    assert sum(not one.truncated for one in got) >= 6


@pytest.mark.parametrize("limit", [30, 60, 200])
def test_answers_are_whole_objects_also_where_the_limit_comes(limit: int) -> None:
    base = tiny()
    got = Engine(base).generate(prompts(20), max_new_tokens=limit, stop_ids={END}, grammars=[OBJECT] * 20)
    for one in got:
        value = json.loads(text(base, one))
        assert value["a"] in ("x", "y")
        assert set(value) <= {"a", "b", "c"}
        assert one.stop == END
        assert len(one.ids) < limit
        assert one.altered


def test_an_answer_that_cannot_be_closed_is_truncated() -> None:
    got = Engine(tiny()).generate(prompts(4), max_new_tokens=3, stop_ids={END}, grammars=[OBJECT] * 4)
    assert all(one.truncated and len(one.ids) == 3 for one in got)


def test_a_row_ends_only_where_its_grammar_is_complete() -> None:
    base = tiny()
    stops = set(range(256 + 3)) - set(Grammars.of(base).tokens.tokenize_str("yesnomab "))
    got = Engine(base).generate(prompts(9), max_new_tokens=40, stop_ids=stops, grammars=[CHOICE] * 9)
    assert {text(base, one) for one in got} <= {"yes", "no", "maybe so"}
    assert all(one.stop in stops for one in got)


def test_an_answer_that_its_grammar_never_touched_is_the_free_one() -> None:
    base, asked, stops = tiny(), prompts(80), set(range(20, 90))
    free = Engine(base).generate(asked, max_new_tokens=20, stop_ids=stops)
    for grammar in ("", "start: /(.|\\n)*/\n"):
        held = Engine(base).generate(asked, max_new_tokens=20, stop_ids=stops, grammars=[grammar] * 80)
        untouched = [(one, other) for one, other in zip(held, free, strict=True) if not one.altered]
        assert all(one == other for one, other in untouched)
        assert len(untouched) >= (8 if grammar else 80)


def test_rows_without_a_grammar_are_as_they_are_beside_rows_with_one() -> None:
    base, asked = tiny(), prompts()
    kinds = [CHOICE if i % 2 else "" for i in range(13)]
    both = Engine(base).generate(asked, max_new_tokens=20, stop_ids={END}, grammars=kinds)
    free = Engine(base).generate(asked, max_new_tokens=20, stop_ids={END})
    assert both[::2] == free[::2]
    assert {text(base, one) for one in both[1::2]} <= {"yes", "no", "maybe so"}


def test_a_sampler_draws_from_what_is_allowed() -> None:
    base = tiny()
    warm = Engine(base).generate(
        prompts(20), max_new_tokens=40, stop_ids={END}, sampler=Sampler(1.0, seed=3), grammars=[CHOICE] * 20
    )
    assert {text(base, one) for one in warm} == {"yes", "no", "maybe so"}


def test_rows_that_are_written_again_begin_again(monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny()
    assert slots_of(base.model) is not None
    hold = Grammars.of(base).hold(CHOICE)
    assert hold is not None
    first = Grammars.of(base).tokens.tokenize_str("n")[0]
    hold.matcher.consume_token(first)
    hold.altered, hold.ending, hold.plan = True, True, [1]
    again = hold.again()
    assert (again.altered, again.ending, again.plan) == (False, False, None)
    assert again.matcher.validate_tokens([first]) == 1


def test_texts_are_in_a_grammar_or_not() -> None:
    known = Grammars.of(tiny())
    assert known.accepts(OBJECT, '{"a": "x", "c": true}')
    assert not known.accepts(OBJECT, '{"c": true}')
    assert not known.accepts(OBJECT, '{"a": "x"')


def test_wrong_grammars_are_refused() -> None:
    engine = Engine(tiny())
    with pytest.raises(UsageError, match="cannot be used"):
        engine.generate([[50]], max_new_tokens=3, stop_ids={END}, grammars=["start: what"])
    with pytest.raises(UsageError, match="2 grammars for 1 prompts"):
        engine.generate([[50]], max_new_tokens=3, stop_ids={END}, grammars=["", ""])


def test_a_base_whose_tokens_cannot_be_read_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny(seed=5)
    base.tokenizer = object()
    with pytest.raises(BaseModelError, match="cannot be kept to a grammar"):
        Grammars(base)


def test_a_row_goes_on_freely_where_the_matcher_gives_up() -> None:
    base = tiny()
    hold = Grammars.of(base).hold(CHOICE)
    assert hold is not None
    guide = grammars.Guide(base, {END})
    hold.matcher.consume_token(50)  # not allowed: the matcher is in error from now on
    guide._held, hold.mask = [hold], np.zeros(9, dtype=np.int32)
    guide._finish()
    assert all(hold.allows(token) for token in range(259))
