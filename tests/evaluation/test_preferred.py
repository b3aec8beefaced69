"""Which answer a model prefers: likelihoods as a textbook computes them, and the reward of DPO."""

from __future__ import annotations

import pytest
import torch

from attaching import attach
from rows_of import loaded_of, rows
from rung.bases.tiny import tiny
from rung.data import example_of
from rung.data.templates import Renderer
from rung.evaluation.preferred import (
    PER_TOKEN,
    RAW,
    Read,
    by_likelihood,
    by_reward,
    picks,
    preferred,
    read_pairs,
)
from rung.evaluation.run import Speaker
from rung.evaluation.tasks import understand
from rung.records import Example, Message
from tiny_model import shake


def pairs(count: int = 6) -> list[Example]:
    return [
        example_of(
            [Message("user", f"Where is {i // 2}?"), Message("assistant", f"Here, at {i}.")],
            i + 1,
            facts={"rejected": "No" * (i + 1)},
        )
        for i in range(count)
    ]


@pytest.fixture
def speaker() -> Speaker:
    base = tiny()
    return Speaker(base, Renderer(base.tokenizer))


def ids_of(speaker: Speaker, examples: list[Example]) -> list[list[int]]:
    return speaker.renderer.prompts(examples, [one.prompt for one in examples])


def plain(speaker: Speaker, prompt: list[int], text: str) -> float:
    """Log-likelihood of an answer, token by token."""
    answer = speaker.renderer.completion_ids(text)
    with torch.inference_mode():
        logits = speaker.base.model(torch.tensor([prompt + answer]), use_cache=False).logits[0]
    logs = logits.float().log_softmax(-1)
    return sum(float(logs[len(prompt) + i - 1, token]) for i, token in enumerate(answer))


def test_both_answers_are_read_after_their_prompt(speaker: Speaker) -> None:
    examples = pairs()
    ids = ids_of(speaker, examples)
    done: list[tuple[int, int]] = []
    for one, prompt, read in zip(
        examples, ids, read_pairs(speaker, examples, ids, lambda *so_far: done.append(so_far)), strict=True
    ):
        assert read.chosen == pytest.approx(plain(speaker, prompt, one.target), abs=1e-3)
        assert read.rejected == pytest.approx(plain(speaker, prompt, str(one.facts["rejected"])), abs=1e-3)
        assert read.chosen_tokens == len(speaker.renderer.completion_ids(one.target))
        assert read.prompt_tokens == len(prompt)
    assert done == [(6, 6)]


def test_likelihood_of_a_whole_answer_and_of_a_token_may_differ() -> None:
    example = pairs(1)
    read = [Read(-10.0, -4.0, 10, 2, 5)]  # 1 nat a token against 2
    whole, token = (by_likelihood(example, read, how)[0] for how in (RAW, PER_TOKEN))
    assert whole.text == "No"
    assert token.text == "Here, at 0."
    assert whole.values == token.values == {"margin": -6.0, "likelier": 1.0}
    assert whole.read == 17


def test_the_reward_is_what_changed_from_the_base() -> None:
    example, base = pairs(1), [Read(-10.0, -4.0, 10, 2, 5)]
    (better,) = by_reward(example, [Read(-9.0, -5.0, 10, 2, 5)], base)
    assert better.text == "Here, at 0."
    assert better.values == {"margin": 2.0, "chosen_change": 0.1, "likelier": 1.0}
    (worse,) = by_reward(example, [Read(-9.0, -2.0, 10, 2, 5)], base)
    assert (worse.text, worse.values["margin"]) == ("No", -1.0)


def test_a_model_that_has_not_moved_is_as_good_as_its_base() -> None:
    example, base = pairs(1), [Read(-10.0, -4.0, 10, 2, 5)]
    assert by_reward(example, base, base)[0].text == by_likelihood(example, base, PER_TOKEN)[0].text


def test_an_adapter_that_is_on_is_compared_with_its_base(speaker: Speaker) -> None:
    examples = pairs()
    ids = ids_of(speaker, examples)
    base = read_pairs(speaker, examples, ids)
    assert preferred(speaker, examples, ids) == by_likelihood(examples, base, PER_TOKEN)
    attached = attach("lora", speaker.base.model, rank=4, alpha=8.0)
    shake(attached.parameters())
    attached.updated()
    tuned = read_pairs(speaker, examples, ids)
    assert tuned != base
    assert preferred(speaker, examples, ids) == by_reward(examples, tuned, base)
    attached.detach()


def test_answers_are_picked_from_pairs_of_a_task_that_asks_for_it() -> None:
    task, loaded = understand(loaded_of(pairs(24)))
    assert picks(task, loaded.examples)
    assert not picks(task, [*loaded.examples, *rows([("a", "b")])])
    assert not picks(task, [])
    assert not picks(understand(loaded_of(pairs(24)), "generation")[0], loaded.examples)
