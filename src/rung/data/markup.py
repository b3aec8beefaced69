"""The text of a document -> its sections: plain text, Markdown and HTML. Nothing that it names is opened."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from rung.data.sections import Section

_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)(.*)")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_PICTURE = re.compile(r"!\[([^\]\n]{0,200})\]\([^)\s]{0,2000}\)")
_LINK = re.compile(r"(?<!!)\[([^\]\n]{1,200})\]\([^)\s]{0,2000}\)")
_SPACE = re.compile(r"[ \t\f\v\u00a0]+")

_NOT_SHOWN = "script style noscript template head svg math iframe object canvas"
_BLOCK = """
    address article aside blockquote body caption dd details dialog div dl dt fieldset figcaption figure
    footer form header hr li main nav ol option p pre section select summary table tbody td tfoot th thead
    title tr ul
"""
_UNSEEN, _BLOCKS = frozenset(_NOT_SHOWN.split()), frozenset(_BLOCK.split())
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


class Outline:
    """Collects sections: headings and the paragraphs below each."""

    def __init__(self) -> None:
        self._above: list[tuple[int, str]] = []  # levels and texts of the headings that are open
        self._paragraphs: list[str] = []
        self._sections: list[Section] = []

    def heading(self, level: int, text: str) -> None:
        """A heading closes the section before it, and headings of its level and below."""
        self._close()
        self._above = [(one, title) for one, title in self._above if one < level]
        if text:
            self._above.append((level, text))

    def paragraph(self, text: str) -> None:
        """A paragraph; an empty one is none."""
        if text.strip():
            self._paragraphs.append(text.strip())

    def sections(self) -> tuple[Section, ...]:
        """All sections that have a text."""
        self._close()
        return tuple(self._sections)

    def _close(self) -> None:
        if self._paragraphs:
            title = " > ".join(title for _, title in self._above)
            self._sections.append(Section(title, tuple(self._paragraphs)))
        self._paragraphs = []


def plain_sections(text: str) -> tuple[Section, ...]:
    """One section whose paragraphs are those between blank lines; broken lines of a paragraph are joined."""
    outline = Outline()
    for block in re.split(r"\n[ \t]*\n", _lines(text)):
        outline.paragraph(_unbroken(block))
    return outline.sections()


def markdown_sections(text: str) -> tuple[Section, ...]:
    """Sections by headings with # or underlines, none of them inside code. Front matter and comments are left
    out, of links and pictures the words stay."""
    lines = _lines(_COMMENT.sub("", text)).split("\n")
    if lines and lines[0].strip() == "---":
        end = next((i for i, line in enumerate(lines[1:], 1) if line.strip() in ("---", "...")), 0)
        lines = lines[end + 1 :] if end else lines
    outline, held, fence = Outline(), list[str](), ""

    def paragraph() -> None:
        outline.paragraph(_unbroken(_LINK.sub(r"\1", _PICTURE.sub(r"\1", "\n".join(held)))))
        held.clear()

    for line in lines:
        mark = _FENCE.match(line)
        if fence:
            held.append(line)
            if mark and mark[1].startswith(fence) and not line.strip(" `~"):
                fence = ""
                outline.paragraph("\n".join(held))
                held.clear()
        elif mark:
            paragraph()
            fence = mark[1]
            held.append(line)
        elif (found := _HEADING.fullmatch(line)) is not None:
            paragraph()
            outline.heading(len(found[1]), _LINK.sub(r"\1", found[2]).strip().rstrip("#").rstrip())
        elif len(held) == 1 and held[0].strip() and (under := _UNDERLINE.fullmatch(line)) is not None:
            outline.heading(1 if under[1].startswith("=") else 2, held.pop().strip())
        elif not line.strip():
            paragraph()
        else:
            held.append(line)
    paragraph()
    return outline.sections()


def html_sections(text: str) -> tuple[Section, ...]:
    """Sections of a web page by its headings; what a browser does not show is left out.

    A script is not run, nothing that is linked is opened, and an entity that a page declares is not replaced.
    """
    page = _Page()
    page.feed(text)
    page.close()
    return page.sections()


class _Page(HTMLParser):
    """Reads the text of a page that a reader sees."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._outline = Outline()
        self._text: list[str] = []
        self._hidden: list[str] = []  # open tags whose text is not shown
        self._preformatted = 0

    def sections(self) -> tuple[Section, ...]:
        self._end_block()
        return self._outline.sections()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._hidden.append(tag)
        elif tag == "body":  # also after a head that is never closed
            self._hidden = []
        elif tag == "br":
            self._text.append("\n")
        elif tag in ("td", "th"):
            self._text.append(" ")
        elif tag in _BLOCKS or tag in _HEADINGS:
            self._end_block("\n" if tag in ("li", "tr", "dt", "dd") else "")
            self._preformatted += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            if tag in self._hidden:
                del self._hidden[self._hidden.index(tag) :]
            return
        if tag in _HEADINGS:
            title = _SPACE.sub(" ", "".join(self._text).replace("\n", " ")).strip()
            self._text = []
            self._outline.heading(_HEADINGS.index(tag) + 1, title)
        elif tag in _BLOCKS and tag not in ("td", "th", "tr", "li", "dt", "dd"):
            self._end_block()
            self._preformatted = max(0, self._preformatted - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._text.append(data if self._preformatted else re.sub(r"\s+", " ", data))

    def _end_block(self, join: str = "") -> None:
        """Close the paragraph; with `join`, begin another line of it instead, as for an item of a list."""
        if join and "".join(self._text).strip():
            self._text.append(join)
            return
        if not self._hidden:
            lines = (_SPACE.sub(" ", line).strip() for line in "".join(self._text).split("\n"))
            self._outline.paragraph("\n".join(line for line in lines if line))
            self._text = []


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unbroken(block: str) -> str:
    """The lines of a paragraph as one; lists and tables, whose lines mean something, keep theirs."""
    lines = [line.rstrip() for line in block.strip("\n").split("\n")]
    own = sum(bool(re.match(r"\s*(?:[-*+|>•]|\d+[.)])\s?", line)) for line in lines)
    if own:
        return "\n".join(lines)
    return " ".join(line.strip() for line in lines)
