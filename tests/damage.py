"""Damage to files: as disks and transfers do it, as editors do it, and as somebody does it on purpose.

Bytes, words and numbers are changed anywhere; values where the content is JSON, in the header of safetensors,
or in a member of a zip archive, whose own checks hold again afterwards. A `random.Random` decides everything.
"""

from __future__ import annotations

import io
import json
import random
import re
import struct
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

Edit = Callable[[bytearray, Sequence[bytes], random.Random], None]

# fmt: off
WORDS = (
    b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"null", b"true", b"yes", b"~", b"[]", b"{}",
    b'""', b"\\ud800",
    b"12:61", b"0o17", b"2026-13-45", b",", b'"', b"'", b";", b"%", b"#", b"\t", b"\r", b"\n\n",
    b"|\n", b">\n",
    b"!!int x", b"!!float x", b"!!binary x", b"!!timestamp x", b"&a ", b"*a", b"<<: ", b"? ? ? ",
    b"- - - ",
    b"{{ x.__class__ }}", b"{{ 9 ** 9 ** 9 }}", b"{% for i in range(99999999) %}", b"{%", b"-%}",
    b"PAR1", b"GGUF",
    b"PK\x03\x04", b"\0", b"\x1b[2J", b"\xff\xfe", b"\xed\xa0\x80", b"../../etc/passwd", b"/dev/zero",
    b"9" * 5000, b"[" * 2000, b'{"a":' * 500,
)
NUMBERS = (
    "-1", "0", "1", "2", "255", "65536", "2147483648", "-9223372036854775809", "1e308", "0.5", "1e-320",
)
RAW = (
    "null", "true", "false", '""', '"x"', "[]", "{}", "[[]]", "[null]", "NaN", "-Infinity", '"NaN"',
    '"../../etc/passwd"', r'"\ud800"', r'"\u0000"', r'"\u001b[2J"', "9" * 5000,
    "[" * 1200 + "]" * 1200, *NUMBERS,
)
# fmt: on
EDGES = (0, 1, 2, 127, 128, 255, 32767, 65535, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
EDGES += ((1 << 32) + 1, (1 << 62) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
FLOATS = (float("nan"), float("inf"), -1.0, 0.0, 3e38, -1e-38)
_WORD = re.compile(rb"[\w.+-]+")
_NUMBER = re.compile(rb"[+-]?[0-9][0-9.eE+-]*")
_KEY = re.compile(r'"[^"\\]*": ')
_MARK = "\uf8ff"  # stands for a value until the JSON is written


def damaged(content: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """`content` with one to four edits; `others` are contents to put together with it."""
    if chance.random() < 0.5:
        inside = _inside(content, others, chance)
        if inside is not None:
            return inside
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4))):
        chance.choice(_EDITS)(data, others, chance)
    return bytes(data)


# --- anywhere ---------------------------------------------------------------------------------------


def _stretch(data: bytearray, chance: random.Random) -> slice:
    place = chance.randrange(len(data) + 1)
    return slice(place, min(len(data), place + chance.choice((1, 4, 16, 200))))


def _bit(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _noise(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    where = _stretch(data, chance)
    data[where] = chance.randbytes(where.stop - where.start)


def _left_out(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    del data[_stretch(data, chance)]


def _cut(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _copied(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    place, start = (chance.randrange(len(data) + 1) for _ in range(2))
    data[place:place] = data[start : start + chance.choice((4, 64, 1000))]


def _another(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    other = chance.choice(others)
    data[chance.randrange(len(data) + 1) :] = other[chance.randrange(len(other) + 1) :]


def _word(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    where = _stretch(data, chance)
    data[where if chance.random() < 0.5 else slice(where.start, where.start)] = chance.choice(WORDS)


def _word_for_word(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    if found := _WORD.search(data, chance.randrange(len(data) + 1)):
        data[slice(*found.span())] = chance.choice(WORDS)


def _number(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    if found := _NUMBER.search(data, chance.randrange(len(data) + 1)):
        data[slice(*found.span())] = chance.choice(NUMBERS).encode()


def _binary_number(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    width = chance.choice((1, 2, 4, 8))
    raw = (chance.choice(EDGES) & ((1 << 8 * width) - 1)).to_bytes(width, chance.choice(("little", "big")))
    if width > 2 and chance.random() < 0.2:
        raw = struct.pack("<f" if width == 4 else "<d", chance.choice(FLOATS))
    place = chance.randrange(len(data) + 1)
    place -= place % chance.choice((1, width))
    data[place : place + width] = raw


_EDITS: tuple[Edit, ...] = (
    *(_bit, _noise, _left_out, _cut, _copied, _another),
    *(_word, _word_for_word, _number, _binary_number),
)


# --- where there is something inside ----------------------------------------------------------------


def _inside(content: bytes, others: Sequence[bytes], chance: random.Random) -> bytes | None:
    """`content` with a change in what it holds; None where it is not JSON, safetensors or zip."""
    if content.startswith(b"PK\x03\x04"):
        return _in_zip(content, others, chance)
    size = int.from_bytes(content[:8], "little")
    if content[8:9] == b"{" and size <= len(content) - 8:
        header = _in_json(content[8 : 8 + size], chance)
        return None if header is None else len(header).to_bytes(8, "little") + header + content[8 + size :]
    if (found := _in_json(content, chance)) is not None:
        return found
    lines = content.split(b"\n")
    place = chance.randrange(len(lines))
    line = _in_json(lines[place], chance)
    return None if line is None else b"\n".join([*lines[:place], line, *lines[place + 1 :]])


def _in_zip(content: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """One member damaged, and the archive packed again."""
    buffer = io.BytesIO()
    old = zipfile.ZipFile(io.BytesIO(content))
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        names = old.namelist()
        one = chance.choice(names)
        for name in names:
            held = old.read(name)
            new.writestr(zipfile.ZipInfo(name), damaged(held, others, chance) if name == one else held)
    return buffer.getvalue()


def _in_json(content: bytes, chance: random.Random) -> bytes | None:
    """JSON with one to three of its values changed; None where `content` is no JSON list or object."""
    try:
        value = json.loads(content)
    except ValueError:
        return None
    if not isinstance(value, dict | list) or not value:
        return None
    for _ in range(chance.choice((1, 1, 1, 3))):
        _change(value, chance)
    first, *rest = json.dumps(value).split(json.dumps(_MARK))
    text = first + "".join(chance.choice(RAW) + part for part in rest)
    if chance.random() < 0.1 and (key := _KEY.search(text, chance.randrange(len(text)))):
        text = f"{text[: key.start()]}{key[0]}null, {text[key.start() :]}"  # given twice
    return text.encode()


def _change(value: Any, chance: random.Random) -> None:
    """Change something at a random place; `_MARK` stands for what is put in its place as text."""
    while True:
        places = list(value) if isinstance(value, dict) else range(len(value))
        place = chance.choice(places)
        inner = value[place]
        if not (isinstance(inner, dict | list) and inner) or chance.random() < 0.2:
            break
        value = inner
    edit = chance.randrange(7)
    if edit == 0 and len(value) > 1:
        del value[place]
    elif edit == 1 and isinstance(value, dict):
        value[chance.choice(("x", "", "a.b", "size"))] = inner
    elif edit == 1:
        value.append(inner)
    elif edit == 2:
        value[place] = chance.choice(list(value.values()) if isinstance(value, dict) else value)
    elif edit == 3:
        value[place] = [inner] if chance.random() < 0.5 else {"x": inner}
    elif edit == 4 and type(inner) in (int, float):
        value[place] = chance.choice((-inner, inner + 1, inner / 2, inner * 10**6, str(inner), not inner))
    else:
        value[place] = _MARK
