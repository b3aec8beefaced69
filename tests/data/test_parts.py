"""A sheet gives each column one part, and shows columns and commands where it cannot."""

from __future__ import annotations

import pytest

from rung.config import Columns
from rung.data.parts import Parts, flag
from rung.errors import DataError, UsageError
from sheets import ASKED, LABELS, NUMBERS, SAID, sheet


def test_a_column_gets_one_part() -> None:
    made = sheet({"text": ASKED, "label": LABELS, "x": NUMBERS})
    made.take("prompt", "text")
    made.take("target", "label", "text")
    assert made.parts.of == {"prompt": ["text"], "target": ["label"]}
    assert list(made.left) == ["x"]
    assert (made.parts["id"], made.parts.one("id"), made.parts.one("prompt")) == ([], None, "text")


def test_the_line_names_every_part_in_its_order() -> None:
    parts = Parts({"not used": ["b"], "id": ["row"], "target": ["c"], "prompt": ["title", "te\x1bxt"]})
    assert parts.line() == "prompt: title, te?xt; target: c; id: row; not used: b"
    assert Parts({"prompt": ["a"]}, whole=True).line() == "prompt and target: a"
    assert Parts({"prompt": ["a"]}, learned=True).line() == "text: a"


def test_columns_that_may_play_a_part_hold_something() -> None:
    made = sheet({"text": ASKED, "question": [""] * len(ASKED), "label": LABELS})
    assert [column.name for column in made.may("prompt")] == ["text"]
    assert [column.name for column in made.may("prompt", "target")] == ["text", "label"]


@pytest.mark.parametrize("name", ["Review Text", "review_text", "REVIEW-TEXT"])
def test_named_columns(name: str) -> None:
    assert sheet({"Review Text": ASKED, "x": LABELS}).named((name,), "prompt") == ["Review Text"]


def test_a_column_without_a_name_is_named_by_its_place() -> None:
    assert sheet({"a": ASKED, "column 2": LABELS}).named(("2",), "ignore") == ["column 2"]


def test_names_that_fit_two_columns_or_none() -> None:
    made = sheet({"a_b": ASKED, "a b": SAID, "label": LABELS})
    assert made.named(("a b",), "prompt") == ["a b"]
    with pytest.raises(UsageError, match="--prompt names the column 'A-B', which is not there"):
        made.named(("A-B",), "prompt")
    with pytest.raises(UsageError, match=r"Did you mean 'label'\? The columns are 'a_b', 'a b', 'label'"):
        made.named(("lable",), "label")
    with pytest.raises(UsageError, match="'label' is given two parts"):
        made.named(("label", "label"), "label")


def test_a_refusal_shows_columns_values_and_commands() -> None:
    made = sheet({"my zebra": ASKED, "w": ["x", *[""] * 11]})
    with pytest.raises(DataError) as caught:
        made.refuse("has no answer", ["--prompt 'my zebra' --completion w"], "Why it is so")
    assert str(caught.value) == (
        "a/rows.csv: has no answer. The columns are 'my zebra' ('where is the parcel number 0 of mine', "
        "12 different), 'w' ('x'). Why it is so. Say which is which: "
        "`rung check rows.csv --prompt 'my zebra' --completion w` or "
        "`rung check rows.csv --no-header --prompt 1 --completion 2`."
    )


def test_the_header_is_only_doubted_in_tables_and_kept_where_it_was_said() -> None:
    for made in (sheet({"u": ASKED, "v": LABELS}, table=False), sheet({"text": ASKED, "v": LABELS})):
        with pytest.raises(DataError) as caught:
            made.refuse("is so", ["--prompt u"])
        assert "--no-header" not in str(caught.value)
    numbered = sheet({"1": ASKED, "2": LABELS}, Columns(header=False), table=False)
    with pytest.raises(DataError, match=r"`rung check rows\.csv --no-header --prompt 1`"):
        numbered.refuse("is so", ["--prompt 1"])


def test_many_columns_are_counted() -> None:
    with pytest.raises(DataError, match=r"'c11' .* and 3 more"):
        sheet({f"c{n}": LABELS for n in range(15)}).refuse("is so", [])


def test_the_prompt_in_a_command() -> None:
    made = sheet({"text": ASKED, "b c": SAID})
    assert made.asking(["text", "b c"]) == "--prompt text,'b c'"
    assert made.asking([]) == "--prompt COLUMN"
    made.take("prompt", "text")
    assert made.asking(["b c"]) == "--prompt text"
    assert flag("a;b") == "'a;b'"
