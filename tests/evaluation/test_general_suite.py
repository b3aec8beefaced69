"""The suite holds what it says, scores by hand-computable likelihoods, and compares item by item."""

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from difflib import SequenceMatcher
from importlib.resources import files

import pytest
import torch

from rung.compute.attention import NAME
from rung.compute.load import tiny
from rung.data.templates import Renderer
from rung.errors import RungError, UsageError
from rung.evaluation import general_suite
from rung.evaluation.answer_rules import RULES, follows
from rung.evaluation.forgetting import general_prompts
from rung.evaluation.general_suite import KINDS, Item, Outcome, Scored, Suite, chosen, compare, items, score
from rung.generate.engine import Engine
from rung.records import Message, from_json, to_json


def replay_prompts() -> list[str]:
    text = (files("rung.evaluation") / "replay_prompts.txt").read_text(encoding="utf-8")
    return text.splitlines()


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


# The files.


def test_the_items_are_many_and_different() -> None:
    kinds = Counter(item.kind for item in items())
    assert kinds == {"facts": 80, "grammar": 64, "arithmetic": 48, "instructions": 56}
    assert len({item.id for item in items()}) == len(items())
    assert len({(item.prompt, item.right) for item in items()}) == len(items())
    assert [item.kind for item in items()] == sorted((item.kind for item in items()), key=KINDS.index)


@pytest.mark.parametrize("kind", ["facts", "arithmetic"])
def test_a_question_has_three_wrong_answers(kind: str) -> None:
    for item in (item for item in items() if item.kind == kind):
        assert item.prompt, item
        assert not item.rule
        assert len({item.right, *item.wrong}) == 4, item


def test_pairs_of_sentences_are_balanced_and_of_many_phenomena() -> None:
    pairs = [item for item in items() if item.kind == "grammar"]
    assert len({item.about for item in pairs}) >= 12
    assert all(len(item.wrong) == 1 and item.right != item.wrong[0] and not item.prompt for item in pairs)
    longer = [len(words(item.right)) - len(words(item.wrong[0])) for item in pairs]
    assert sum(more > 0 for more in longer) <= 4
    assert sum(more < 0 for more in longer) <= 4


def test_the_rules_of_instructions_are_known_and_can_be_broken() -> None:
    for item in (item for item in items() if item.kind == "instructions"):
        assert item.rule.keys() <= RULES.keys(), item
        assert item.prompt, item
        assert not follows(item.rule, ""), item
        assert not follows(item.rule, "I am sorry, but Is this something else. Who knows. 99 of it, so."), (
            item
        )
    assert len({name for item in items() for name in item.rule}) >= 12


EXAMPLES = {
    "Return valid JSON with the key": '{"city": "Rome"}',
    "Write the numbers from 1 to 4": "1\n2\n3\n4",
    "Write a numbered list of three vegetables": "1. Peas\n2. Leeks\n3. Beans",
    "Write a bulleted list of three drinks": "- Tea\n- Milk\n- Water",
    "Answer in two sentences: why do people sleep": "They get tired. Sleep helps them.",
    "How many days are there in a week": "7",
    "Write the alphabet from A to E": "A, B, C, D, E",
    "Write this in lower case": "stop the bus",
    "Finish your answer with the word": "It is green. Goodbye.",
    "Ask me a question about my favourite food": "What is your favourite food?",
    "Answer in capital letters only": "DOWN",
    "Explain in at most fifteen words": "A hammer drives nails into wood.",
}


@pytest.mark.parametrize("start", EXAMPLES)
def test_a_good_answer_follows_the_rule_of_its_item(start: str) -> None:
    (item,) = [item for item in items() if item.prompt.startswith(start)]
    assert follows(item.rule, EXAMPLES[start])


def test_replay_prompts_are_many_and_apart_from_what_is_measured() -> None:
    prompts = replay_prompts()
    assert len(prompts) == len(set(prompts)) == 192
    assert all(prompt == prompt.strip() and 10 < len(prompt) < 600 for prompt in prompts)
    measured = [*general_prompts(), *(item.prompt.split("\n")[0] for item in items() if item.prompt)]
    for prompt in prompts:
        mine = words(prompt)
        for other in measured:
            assert SequenceMatcher(None, mine, words(other)).ratio() < 0.8, (prompt, other)


# Scoring.


def few(count: int = 2) -> tuple[Item, ...]:
    return chosen(count)


def test_a_limit_takes_the_first_of_each_kind() -> None:
    some = chosen(3)
    assert Counter(item.kind for item in some) == dict.fromkeys(KINDS, 3)
    assert chosen(1000) == chosen() == items()
    assert {item.id for item in chosen(2)} < {item.id for item in some}
    with pytest.raises(UsageError, match="0 items"):
        chosen(0)


def test_scores_are_those_of_the_plain_model() -> None:
    base = tiny()
    renderer = Renderer(base.tokenizer)
    found = score(Engine(base), renderer, 3)
    base.model.set_attn_implementation("eager")

    def nats(prompt: list[int], rest: list[int]) -> float:
        with torch.no_grad():
            logits = base.model(torch.tensor([[*prompt, *rest]]), use_cache=False).logits[0].double()
        table = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        return float(table[range(len(rest)), rest].sum())

    for item, one in zip(chosen(3), found.outcomes, strict=True):
        assert one.item == item.id
        if item.kind == "instructions":
            assert one.margin is None
            assert one.right == follows(item.rule, one.answer)
            continue
        choices = [item.right, *item.wrong]
        if item.kind == "grammar":  # 0 is <|endoftext|>, and bytes come after three special tokens
            order = base.tokenizer.get_vocab()
            rows = [[order[letter] for letter in base.tokenizer.tokenize(choice)] for choice in choices]
            logs = [nats([0], row) for row in rows]
        else:
            prompt = renderer.prompt_ids([Message("user", item.prompt)])
            logs = [nats(prompt, renderer.completion_ids(choice)) for choice in choices]
        assert one.margin == pytest.approx(logs[0] - max(logs[1:]), abs=2e-3)
        assert one.answer == choices[logs.index(max(logs))]
        assert one.right == (one.answer == item.right)
    base.model.set_attn_implementation(NAME)


def test_what_is_written_is_kept_and_graded(monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny()
    renderer = Renderer(base.tokenizer)
    prompt = "Say it."
    asked = renderer.prompt_ids([Message("user", prompt)])
    (written,) = Engine(base).generate([asked], max_new_tokens=48, stop_ids=renderer.stop_ids)
    text = renderer.decode(written.ids).strip()
    rules = ({"pattern": re.escape(text)}, {"pattern": re.escape(text) + "x"})
    own = tuple(Item(str(n), "instructions", prompt=prompt, rule=rule) for n, rule in enumerate(rules))
    monkeypatch.setattr(general_suite, "items", lambda: own)
    found = score(Engine(base), renderer)
    assert found.outcomes == (Outcome("0", True, text), Outcome("1", False, text))


def test_from_the_base_to_the_comparison() -> None:
    base = tiny()
    engine, renderer = Engine(base), Renderer(base.tokenizer)
    before = score(engine, renderer, 6)
    same = compare(before, score(engine, renderer, 6))
    assert (same.overall.n, same.overall.difference.value, same.overall.margin.value) == (24, 0.0, 0.0)
    assert same.regressed == same.gained == ()
    base.model.base_model.norm.weight.data *= torch.linspace(-1, 1, 32)
    suite = compare(before, score(engine, renderer, 6))
    assert [part.kind for part in suite.kinds] == list(KINDS)
    assert abs(suite.overall.margin.value or 0) > 0.1
    turned = len(suite.gained) - len(suite.regressed)
    assert suite.overall.difference.value == pytest.approx(turned / 24)
    assert len(suite.gained) + len(suite.regressed) > 0


# Comparing.


def outcomes(*right: bool, margins: tuple[float | None, ...]) -> Scored:
    some = [items()[0], items()[1], items()[80], items()[-1]]  # two facts, a pair, an instruction
    return Scored(
        tuple(
            Outcome(item.id, ok, f"answer {ok}", margin)
            for item, ok, margin in zip(some, right, margins, strict=True)
        )
    )


BEFORE = outcomes(True, False, True, True, margins=(2.0, -1.0, 0.5, None))
AFTER = outcomes(False, True, True, False, margins=(-1.0, 1.0, 4.5, None))


def test_comparing_by_hand() -> None:
    suite = compare(BEFORE, AFTER)
    whole = suite.overall
    assert (whole.kind, whole.n, whole.before, whole.after) == ("all", 4, 0.75, 0.5)
    assert whole.difference.value == pytest.approx(-0.25)  # (-1 + 1 + 0 - 1) / 4
    assert whole.margin.value == pytest.approx(1.0)  # (-3 + 2 + 4) / 3
    assert (whole.margin.n, whole.margin.unit, whole.difference.unit) == (3, "nats", "")
    facts, grammar, instructions = suite.kinds
    assert (facts.kind, facts.n, facts.before, facts.after) == ("facts", 2, 0.5, 0.5)
    assert (facts.difference.value, facts.margin.value) == (0.0, -0.5)
    assert (grammar.before, grammar.after, grammar.margin.value) == (1.0, 1.0, 4.0)
    assert grammar.difference.low is None  # one item has no interval
    assert (instructions.difference.value, instructions.margin.value) == (-1.0, None)


def test_the_items_that_changed_are_listed_with_both_answers() -> None:
    suite = compare(BEFORE, AFTER)
    assert [one.item for one in suite.regressed] == [items()[0].id, items()[-1].id]
    assert [one.item for one in suite.gained] == [items()[1].id]
    lost, other = suite.regressed
    assert (lost.before, lost.after, lost.kind) == ("answer True", "answer False", "facts")
    assert (lost.prompt, lost.expected) == (items()[0].prompt, items()[0].right)
    assert json.loads(other.expected) == items()[-1].rule


def test_the_interval_is_paired_and_holds_the_difference() -> None:
    facts = items()[:40]
    before = Scored(tuple(Outcome(item.id, n % 2 == 0, "", float(n)) for n, item in enumerate(facts)))
    # One more item in ten is right; every margin moves by 0.9 or 1.1 nats, however different margins are.
    after = Scored(
        tuple(
            Outcome(one.item, one.right or n % 10 == 1, "", n + 1 + (0.1 if n % 2 else -0.1))
            for n, one in enumerate(before.outcomes)
        )
    )
    whole = compare(before, after, seed=1).overall
    assert whole.difference.value == pytest.approx(0.1)
    assert whole.difference.low is not None
    assert whole.difference.high is not None
    assert 0 <= whole.difference.low < 0.1 < whole.difference.high < 0.25
    assert whole.margin.value == pytest.approx(1.0)
    assert whole.margin.low == pytest.approx(0.97, abs=0.01)  # 1 - 1.96 * 0.1 / sqrt(40)
    assert whole.margin.high == pytest.approx(1.03, abs=0.01)
    assert compare(before, after, seed=1) == compare(before, after, seed=1)


def test_other_items_are_refused() -> None:
    with pytest.raises(UsageError, match="only over the same items"):
        compare(BEFORE, replace(AFTER, outcomes=AFTER.outcomes[:3]))
    with pytest.raises(UsageError, match="only over the same items"):
        compare(BEFORE, replace(AFTER, outcomes=AFTER.outcomes[::-1]))
    with pytest.raises(UsageError, match="only over the same items"):
        compare(Scored(()), Scored(()))
    strange = Scored((Outcome("riddles-01", True, ""),))
    with pytest.raises(UsageError, match="no item 'riddles-01'"):
        compare(strange, strange)


def test_a_margin_that_is_not_finite_is_an_error() -> None:
    broken = outcomes(True, False, True, True, margins=(float("nan"), -1.0, 0.5, None))
    with pytest.raises(RungError, match="not finite"):
        compare(BEFORE, broken)


def test_the_records_survive_json() -> None:
    suite = compare(BEFORE, AFTER)
    assert from_json(Suite, json.loads(json.dumps(to_json(suite)))) == suite
    assert from_json(Scored, json.loads(json.dumps(to_json(BEFORE)))) == BEFORE


def test_it_is_read_without_torch() -> None:
    code = (
        "import sys, rung.evaluation.general_suite as s; assert s.items(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
