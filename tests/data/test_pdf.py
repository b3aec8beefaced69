"""The text of PDF documents. They are written here, in the plainest form there is."""

from __future__ import annotations

import io

import pytest
from pypdf import PdfReader, PdfWriter

from rung.data import pdf
from rung.data.pdf import pdf_text
from rung.errors import DataError


def pdf_of(*pages: str) -> bytes:
    """A PDF with a page of Helvetica for each text, a line of it on each line."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    kids = []
    for page in pages:
        lines = "".join(f"({line}) Tj T*\n" for line in page.split("\n"))
        stream = f"BT /F1 12 Tf 14 TL 72 720 Td\n{lines}ET".encode() if page else b""
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        kids.append(len(objects) + 1)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
    listed = " ".join(f"{kid} 0 R" for kid in kids)
    objects[1] = f"<< /Type /Pages /Kids [{listed}] /Count {len(kids)} >>".encode()
    out, places = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, one in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, one))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    out.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start))
    return out.getvalue()


def with_password(content: bytes) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(content)))
    writer.encrypt("secret", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_pages_follow_each_other() -> None:
    found = pdf_text(pdf_of("The mill opens at seven.", "It closes late on\nMon-\ndays and"))
    assert found == "The mill opens at seven.\n\nIt closes late on\nMondays and"
    assert pdf_text(pdf_of("It closes", "at nine.")) == "It closes\nat nine."


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (pdf_of("", ""), "without text"),
        (with_password(pdf_of("secret")), "password"),
        (pdf_of("The mill opens at seven.")[:90], "cannot be read|without text"),
        (b"%PDF-1.7 and then nothing", "cannot be read|without text"),
        (b"%PDF-" + bytes(range(256)) * 50, "cannot be read|without text"),
    ],
    ids=["scanned", "encrypted", "cut", "a name alone", "noise"],
)
def test_what_cannot_be_read_is_named(content: bytes, what: str) -> None:
    with pytest.raises(DataError, match=what) as caught:
        pdf_text(content)
    assert caught.value.fix


def test_a_file_with_too_many_pages_or_seconds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = pdf_of("one", "two", "three")
    monkeypatch.setattr(pdf, "MOST_PAGES", 2)
    with pytest.raises(DataError, match="more than 2 pages"):
        pdf_text(content)
    monkeypatch.undo()
    monkeypatch.setattr(pdf, "MOST_SECONDS", -1.0)
    with pytest.raises(DataError, match="too long"):
        pdf_text(content)
