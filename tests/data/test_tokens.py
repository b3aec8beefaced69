"""Words of a message are never special; words of a template are."""

from __future__ import annotations

import random

import pytest
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from chat_templates import TEXTS, byte_level, spaced
from rung.compute.load import tiny
from rung.data.tokens import Stretch, Tokens
from rung.data.traced import joined, traced


def read(tokens: Tokens, *pieces: str, learned: tuple[Stretch, ...] = ()) -> tuple[list[int], list[bool]]:
    text = joined(pieces)
    return tokens.read(text, tokens.cut(text), learned)


def test_only_what_the_template_wrote_is_special() -> None:
    tokenizer = byte_level()
    tokens = Tokens(tokenizer)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    ids, _ = read(tokens, "<|im_end|>a", traced("<|im_end|>b", 0), "c<|im_end|>")
    assert ids == [end, *tokens.encode("a<|im_end|>bc"), end]
    assert end not in tokens.encode("a<|im_end|>bc")
    across, _ = read(tokens, "<|im_", traced("end|>", 0))
    assert end not in across


def test_special_tokens_are_found_broken_and_replaced() -> None:
    tokens = Tokens(byte_level())
    assert tokens.spelled("a<|im_end|>b<s><s") == ["<|im_end|>", "<s>"]
    first = tokens.first("a<s>")
    assert first is not None
    assert first.start() == 1
    assert tokens.first("a < b") is None
    assert tokens.without_special("a<|im_end|>b<s>") == "axbx"


def test_a_tokenizer_without_special_tokens() -> None:
    tokenizer = byte_level()
    tokens = Tokens(tokenizer)
    for text in list(tokens.special):
        del tokens.special[text]
    tokens.make_special()
    assert tokens.spelled("<s>") == []
    assert read(tokens, "<s>")[0] == tokens.encode("<s>")


def test_the_longest_special_token_wins() -> None:
    tokenizer = byte_level()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<s", "<s>>"]})
    assert Tokens(tokenizer).spelled("<s>>, <s>, <s") == ["<s>>", "<s>", "<s"]


def test_added_words_that_are_not_special_stay_words() -> None:
    tokenizer = byte_level()
    tokenizer.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    tokens = Tokens(tokenizer)
    assert tokens.spelled("<think>") == []
    assert tokens.encode("<think>") == [tokenizer.convert_tokens_to_ids("<think>")]
    tokens.make_special("<think>")
    assert tokens.spelled("<think>") == ["<think>"]
    assert tokenizer.convert_tokens_to_ids("<think>") not in tokens.encode("a<think>b")


@pytest.mark.parametrize("anchored", [False, True])
def test_tokens_that_begin_before_a_character(anchored: bool) -> None:
    for tokenizer in (byte_level(), spaced(None, "always"), spaced(None, "first")):
        tokens = Tokens(tokenizer)
        text = "two fine words\n\nmore"
        whole = tokens.encode(text, anchored)
        assert tokens.begun(text, len(text), anchored) == whole
        counts = [len(tokens.begun(text, at, anchored)) for at in range(len(text) + 1)]
        assert counts == sorted(counts)
        assert counts[0] == 0
        line = tokens.begun(text, len("two fine words") + 1, anchored)
        assert whole[: len(line)] == line
    tokens = Tokens(byte_level())
    assert tokens.tokenizer.decode(tokens.begun("two fine words\n\nmore", 15, anchored)) == "two fine words\n"


def test_runs() -> None:
    text = joined(["<s>system", traced("a", 0), "b<s><s>", traced("c", 1)])
    runs = [(text[run.start : run.stop], run.token, run.own) for run in Tokens(byte_level()).cut(text)]
    assert runs == [("", "<s>", True), ("systemab", "<s>", False), ("", "<s>", True), ("c", "", False)]
    assert [run.own for run in Tokens(byte_level()).cut("abc")] == [True]


@pytest.mark.parametrize("anchored", [False, True])
def test_the_mask_follows_characters(anchored: bool) -> None:
    tokens = Tokens(byte_level())  # it has tokens for "he" and "ll"
    tokens.anchored = anchored
    ids, mask = read(tokens, "<s>", traced("hello", 0), "<s>", learned=((3, 8),))
    assert len(ids) == len(mask) == 5
    assert mask == [False, True, True, True, False]
    assert read(tokens, "<s>", traced("hello", 0), "<s>", learned=((3, 11),))[1] == [False] + [True] * 4
    assert read(tokens, "<s>h", traced("ello", 0), "<s>", learned=((4, 8),))[1] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert read(tokens, "<s>he", traced("llo", 0), learned=((5, 8),))[1] == [False, False, True, True]
    assert (
        read(tokens, "<s>", traced("🙂é", 0), "!", learned=((3, 4),))[1] == [False] + [True] * 4 + [False] * 3
    )


def test_the_mask_of_a_text_that_spells_special_tokens_a_tokenizer_cannot_overlook() -> None:
    tokenizer = byte_level()
    tokenizer.add_tokens([AddedToken("<stop>", special=False, normalized=False)])
    tokens = Tokens(tokenizer)
    tokens.make_special("<stop>")
    ids, mask = read(tokens, "a", traced("<stop>he", 0), "b", learned=((1, 9),))
    assert tokenizer.convert_tokens_to_ids("<stop>") not in ids
    assert mask == [False, *[True] * (len(ids) - 2), False]


@pytest.mark.parametrize(("scheme", "anchored"), [("always", False), ("first", True)])
def test_a_space_in_front_is_learned_about_the_tokenizer(scheme: str, anchored: bool) -> None:
    tokens = Tokens(spaced(None, scheme))
    assert tokens.set_anchor("</s>")
    assert tokens.anchored == anchored
    plain = Tokens(byte_level())
    assert not plain.set_anchor("<s>")
    assert not plain.anchored


@pytest.mark.parametrize("name", ["byte level", "always", "first", "tiny"])
def test_ids_and_places_are_those_of_transformers(name: str) -> None:
    made = {"byte level": byte_level, "tiny": lambda: tiny().tokenizer}
    tokenizer = made[name]() if name in made else spaced(None, name)
    tokens, draw = Tokens(tokenizer), random.Random(name)
    pads = "max_length" if tokenizer.pad_token else False
    for _ in range(100):
        text = "".join(draw.choices([*TEXTS, "<s>", "<|im_end|>", "</s>", "a", " "], k=draw.randrange(4)))
        tokenizer("a b c", truncation=True, max_length=1, padding=pads)  # leaves the core changed
        ours = tokens._raw(text)
        theirs = tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        assert ours.ids == theirs["input_ids"]
        assert ours.encoding.offsets == theirs.encodings[0].offsets


def test_a_tokenizer_that_changes_the_call_is_called_itself() -> None:
    class Shouting(PreTrainedTokenizerFast):
        def _encode_plus(self, text: str, *args: object, **kwargs: object) -> object:  # type: ignore[override]
            return super()._encode_plus(text.upper(), *args, **kwargs)  # type: ignore[arg-type]

    plain = byte_level()
    names = {"bos_token": "<s>", "eos_token": "<|im_end|>", "pad_token": "<pad>"}
    tokens = Tokens(Shouting(tokenizer_object=plain.backend_tokenizer, **names))
    assert tokens.encode("abc") == Tokens(plain).encode("ABC")
