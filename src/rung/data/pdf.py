"""The text of a PDF document, page by page. Nothing in it is run, opened or unpacked to disk."""

from __future__ import annotations

import io
import logging
import re
import time

from rung.border import foreign
from rung.errors import DataError

MOST_PAGES = 5_000
MOST_SECONDS = 120.0  # that one file may take
_MOST_CHARACTERS = 20_000_000
_HYPHEN = re.compile(r"(?<=[^\W\d_])-\n(?=[a-zà-ÿ])")  # a word that was cut at the end of a line


def pdf_text(content: bytes) -> str:
    """The text of all pages, paragraphs with a blank line between them where the file shows them.

    Raises `DataError` for a file that is damaged, encrypted, too large, or without a text.
    """
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it would say is said once, by us
    with foreign(_damaged):
        from pypdf import PdfReader

        reader = PdfReader(io.BytesIO(content), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise DataError("is a PDF with a password", fix="Save a copy without it")
        pages, start, length = list[str](), time.monotonic(), 0
        for number, page in enumerate(reader.pages, 1):
            if number > MOST_PAGES or length > _MOST_CHARACTERS:
                raise DataError(f"is a PDF of more than {MOST_PAGES:,} pages", fix="Split it into parts")
            if time.monotonic() - start > MOST_SECONDS:
                why = f"{number - 1:,} pages took {MOST_SECONDS:g} seconds"
                raise DataError("is a PDF that takes too long to read", why=why, fix="Save it as text")
            pages.append(page.extract_text())
            length += len(pages[-1])
    text = _joined(pages)
    if not any(map(str.isalnum, text)):
        what = "is a PDF without text, such as scanned pages"
        raise DataError(what, fix="Run it through text recognition first (for example ocrmypdf)")
    return text


def _joined(pages: list[str]) -> str:
    """The pages one after the other; a paragraph that runs over the end of a page stays one."""
    text = ""
    for page in (page.strip() for page in pages):
        if text and page:
            text += "\n\n" if text.endswith((".", "!", "?", ":")) else "\n"
        text += page
    return _HYPHEN.sub("", text)


def _damaged(text: str) -> DataError:
    return DataError(f"is a PDF that cannot be read ({text})", fix="Save it again, or give its text")
