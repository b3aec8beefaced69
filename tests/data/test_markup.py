"""Text, Markdown and HTML as sections."""

from __future__ import annotations

import time

import pytest

from rung.data.markup import html_sections, markdown_sections, plain_sections
from rung.data.sections import Section


def test_plain_text_has_paragraphs() -> None:
    text = "The mill opens\r\nat seven.\r\n\r\n- a saw\r\n- a file\r\n"
    assert plain_sections(text) == (Section("", ("The mill opens at seven.", "- a saw\n- a file")),)
    assert plain_sections(" \n\n ") == ()


def test_headings_of_markdown() -> None:
    text = """---
title: hidden
---
Before.

# Leave #

## Sick leave
Call [the desk](https://example.org/desk) before
nine. ![a phone](phone.png)
<!-- a note
for editors -->

Money
-----
Paid in full.

# Travel
```sh
# no heading
rm -r x
```
#hashtag is no heading
"""
    assert markdown_sections(text) == (
        Section("", ("Before.",)),
        Section("Leave > Sick leave", ("Call the desk before nine. a phone",)),
        Section("Leave > Money", ("Paid in full.",)),
        Section("Travel", ("```sh\n# no heading\nrm -r x\n```", "#hashtag is no heading")),
    )


def test_tables_and_lists_keep_their_lines() -> None:
    text = "| grade | days |\n|---|---|\n| A | 25 |\n\n1. one\n2. two"
    assert markdown_sections(text)[0].paragraphs == (
        "| grade | days |\n|---|---|\n| A | 25 |",
        "1. one\n2. two",
    )


def test_a_web_page() -> None:
    text = """<!doctype html><html><head><title>x</title><style>p {color: red}</style></head>
    <body><h1>Work&amp;shop</h1><p>The <b>saw</b> is<br>loud.
    <script>document.write("never")</script><h2>Hours</h2><ul><li>Mon 7</li><li>Tue&nbsp;8</li></ul>
    <table><tr><th>Day</th><th>Open</th></tr><tr><td>Mon</td><td>7</td></tr></table>
    <div>Last</div><noscript>switch it on</noscript></body></html>"""
    assert html_sections(text) == (
        Section("Work&shop", ("The saw is\nloud.",)),
        Section("Work&shop > Hours", ("Mon 7\nTue 8", "Day Open\nMon 7", "Last")),
    )


@pytest.mark.parametrize(
    "text",
    [
        "<html><body><div id=root></div><script>draw()</script></body></html>",
        "<html><script>never closed",
        "<html><head><style>p{}</style></head></html>",
        "",
    ],
)
def test_a_page_that_a_script_writes_has_no_text(text: str) -> None:
    assert html_sections(text) == ()


def test_declared_entities_stay_as_they_are() -> None:
    bomb = '<!DOCTYPE html [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><html><body><p>x &b; y</p></body></html>'
    said = " ".join(html_sections(bomb)[0].paragraphs)
    assert "haha" not in said
    assert "&b;" in said


@pytest.mark.parametrize(
    "text",
    ["# " + " " * 200_000 + "x", "[" * 200_000, "![" * 100_000, "<!--" * 100_000, "\n \t" * 100_000 + "x"],
    ids=["spaces", "links", "pictures", "comments", "blank lines"],
)
def test_no_text_takes_long(text: str) -> None:
    start = time.process_time()
    markdown_sections(text)
    plain_sections(text)
    html_sections(f"<p>{text}</p>")
    assert time.process_time() - start < 4
