"""A folder of documents, or one: plain text, Markdown, HTML and PDF, read into passages.

Only plain files are opened, and none that another one names. A file that cannot be used is left out and named
with what to do; it stops nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rung.data.markup import html_sections, markdown_sections, plain_sections
from rung.data.opening import Opened, decode, unreadable
from rung.data.pdf import pdf_text
from rung.data.refusals import is_page, refuse_binary
from rung.data.sections import passages_of, size
from rung.errors import DataError
from rung.plain import TooLarge, read_plain
from rung.records import Passage

MOST_FILES = 5_000
MOST_BYTES = 20 << 20  # of a file
MOST_ALL = 200 << 20  # bytes of all files
DEEPEST = 20  # folders inside each other

MARKDOWN, HTML, PDF = (".md", ".markdown", ".mkd"), (".html", ".htm", ".xhtml"), (".pdf",)
TEXT = (".txt", ".text", ".rst", "")
DOCUMENTS = (*MARKDOWN, *HTML, *PDF)  # suffixes of files that never hold rows
_KINDS = "Give text, Markdown, HTML or PDF"

Gone = tuple[str, str]  # a file, and why it is left out and what to do


@dataclass(frozen=True, slots=True)
class Corpus:
    """What was read of a folder of documents."""

    name: str  # of the folder or file
    sha256: str  # of the names and bytes of all files that were read
    passages: tuple[Passage, ...]  # document after document
    left_out: tuple[Gone, ...] = ()
    path: Path = Path()  # where it was read

    @property
    def files(self) -> tuple[str, ...]:
        """The files that passages were read from."""
        return tuple(dict.fromkeys(passage.source for passage in self.passages))

    @property
    def line(self) -> str:
        """``6 documents, 2,104 words in 24 passages``."""
        parts = ((len(self.files), "document"), (self.words, "word"), (len(self.passages), "passage"))
        documents, words, passages = (f"{n:,} {what}{'' if n == 1 else 's'}" for n, what in parts)
        return f"{documents}, {words} in {passages}"

    def gone(self, most: int = 8) -> list[str]:
        """A line for each file that is left out; at most so many, and how many more there are."""
        lines = [f"{name} {why}" for name, why in self.left_out[:most]]
        more = len(self.left_out) - most
        return [*lines, *([f"{more:,} more files of the folder are left out"] if more > 0 else [])]

    @property
    def words(self) -> int:
        """Of all passages."""
        return round(sum(size(passage.text) for passage in self.passages))


def is_documents(path: Path) -> bool:
    """Whether `path` is a folder, or a file whose name says that it is a document and holds no rows."""
    return os.path.isdir(path) or path.suffix.lower() in DOCUMENTS  # also for a name that is too long


def read_corpus(path: Path) -> Corpus:
    """The passages of all documents in the folder at `path`, or of the file there.

    Hidden files are passed over; links, archives and other kinds of files are left out by name. Raises
    `DataError` where no file has a text.
    """
    mark = hashlib.sha256()
    passages, gone, total = list[Passage](), list[Gone](), 0
    for number, (file, name) in enumerate(_files(path, gone)):
        if number == MOST_FILES or total > MOST_ALL:
            raise DataError(
                f"holds more than {MOST_FILES:,} files or {MOST_ALL >> 20} MB of documents",
                where=str(path),
                fix="Give a part of them",
            )
        try:
            content = _content(file)
            total += len(content)
            found = passages_in(content, file, name)
        except DataError as error:
            gone.append((name, _words(error)))
            continue
        mark.update(name.encode(errors="surrogateescape") + b"\0" + hashlib.sha256(content).digest())
        passages += found
    if not passages:
        raise DataError(
            "holds no document that can be read",
            where=str(path),
            why="; ".join(f"{name} {why}" for name, why in gone[:5]),
            fix=_KINDS,
        )
    return Corpus(path.resolve().name or str(path), mark.hexdigest(), tuple(passages), tuple(gone), path)


def passages_in(content: bytes, file: Path, name: str) -> tuple[Passage, ...]:
    """The passages of one file, by its content and the end of its name. Raises `DataError` for one that is
    no document, or has no text."""
    suffix, title = file.suffix.lower(), file.stem.replace("_", " ").replace("-", " ").strip() or name
    if b"%PDF-" in content[:1024]:
        sections = plain_sections(pdf_text(content))
    else:
        _refuse_binary(content, file)
        if suffix in PDF:
            raise DataError("is not a PDF, though its name says so", fix="Save it again")
        text = decode(Opened(content, ""), file)
        if "\0" in text:
            raise DataError("is a binary file (it holds NUL bytes)", fix=_KINDS)
        if text.startswith("version https://git-lfs.github.com/spec/"):
            raise DataError(
                "is a Git LFS pointer, not the file itself", fix="Run `git lfs pull` in its repository"
            )
        if not text.strip():
            raise DataError("is empty", fix="Put its text in it, or delete it")
        page = suffix in HTML or is_page(text)
        sections = (html_sections if page else markdown_sections if suffix in MARKDOWN else plain_sections)(
            text
        )
        if page and not sections:
            what = "is a web page without text: a script writes it, when it is opened in a browser"
            raise DataError(what, fix="Save the page as the browser shows it, or copy its text")
    found = passages_of(sections, title, name)
    if not any(map(str.isalnum, "".join(passage.text for passage in found))):
        raise DataError("has no text", fix="Put its text in it, or delete it")
    return found


def _files(path: Path, gone: list[Gone]) -> Iterator[tuple[Path, str]]:
    """Each file that may be a document, with its name inside the folder, in the order of names."""
    if not path.is_dir():
        yield path, path.name
        return
    waiting = [(path, "", 0)]
    while waiting:
        folder, inside, depth = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            gone.append((inside or path.name, _words(unreadable(folder, error))))
            continue
        below = []
        for entry in listed:
            name = inside + entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                gone.append((name, "is a link, which is not followed. Copy the file itself"))
            elif entry.is_dir():
                if depth >= DEEPEST:
                    gone.append((name, f"is more than {DEEPEST} folders deep"))
                else:
                    below.append((Path(entry.path), f"{name}/", depth + 1))
            elif Path(entry.name).suffix.lower() in (*DOCUMENTS, *TEXT):
                yield Path(entry.path), name
            else:
                gone.append((name, f"is of another kind. {_KINDS}"))
        waiting += reversed(below)


def _content(file: Path) -> bytes:
    """The bytes of a file. Raises `DataError` where it cannot be read, or is too large."""
    try:
        return read_plain(file, MOST_BYTES)
    except TooLarge as error:
        what = f"is larger than {MOST_BYTES >> 20} MB"
        raise DataError(what, where=str(file), fix="Split it into parts") from error
    except (OSError, ValueError) as error:
        raise unreadable(file, error) from error


def _refuse_binary(content: bytes, file: Path) -> None:
    """Raises `DataError` where `content` is a known binary format."""
    try:
        refuse_binary(file, content)
    except DataError as error:
        raise DataError(error.what, fix=_KINDS) from error


def _words(error: DataError) -> str:
    """What an error says, without the path, which is said before it."""
    return str(DataError(error.what, why=error.why, fix=error.fix)).rstrip(".")
