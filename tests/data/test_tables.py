"""The delimiter, the way of quoting and the header are found; rows that do not fit are named."""

from __future__ import annotations

import pytest

from rung.data.strict_json import Row, RowError
from rung.data.tables import NotATable, read_table


def known(name: str) -> bool:
    return name.strip().lower() in ("text", "label", "title", "answer")


def rows(text: str, header: bool | None = None) -> list[Row]:
    found = [row for _, row in read_table(text, known, header).rows]
    assert not [row for row in found if isinstance(row, RowError)]
    return [row for row in found if not isinstance(row, RowError)]


A = {"text": "a b", "label": "x"}
C = {"text": "c d", "label": "y"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("text,label\na b,x\nc d,y\n", [A, C]),
        ("text;label\na b;x\nc d;y\n", [A, C]),
        ("text\tlabel\na b\tx\nc d\ty\n", [A, C]),
        ("text|label\na b|x\nc d|y\n", [A, C]),
        ("text\tlabel\na, b\tx\nc, d\ty\n", [{**A, "text": "a, b"}, {**C, "text": "c, d"}]),
        ("text,label\ra b,x\rc d,y\r", [A, C]),
        ("text,label\r\na b,x\r\n\r\nc d,y", [A, C]),
        ("sep=;\ntext;label\na b;x\n", [A]),
        ('"sep=|"\ntext|label\na b|x\n', [A]),
        ("\n\n text , label \na b,x\n", [A]),
        ('text,label\n"a, ""b""",x\n', [{"text": 'a, "b"', "label": "x"}]),
        ('text, label\n"a, b", "x"\n', [{"text": "a, b", "label": "x"}]),
        ('text,label\n"a\nb\r\nc",x\n', [{"text": "a\nb\r\nc", "label": "x"}]),
        ('text,label\n"say \\"a, b\\"",x\n', [{"text": 'say "a, b"', "label": "x"}]),
        ('text\tlabel\n"a" b\tx\n"c d"\ty\n', [{"text": '"a" b', "label": "x"}, C]),
        ("text,label\n a b,x\n", [{"text": " a b", "label": "x"}]),
        (
            "text;label\na, b, c;x\nd, e, f;y\n",
            [{"text": "a, b, c", "label": "x"}, {"text": "d, e, f", "label": "y"}],
        ),
        ("text,label,,\na b,x,,\nc d,y,,\n", [A, C]),
        ("text,label,\na b,x,z\n", [{**A, "column 3": "z"}]),
        ("text,label\na b,x,\n", [A]),
        ("text,label\na b,x\ntext,label\nc d,y\n", [A, C]),
        ("text\na b\nc d\n", [{"text": "a b"}, {"text": "c d"}]),
        ("text,label\n,\n", [{"text": "", "label": ""}]),
        ("# made by hand\n#\ntext,label\na b,x\n", [A]),
    ],
)
def test_ways_of_writing_a_table(text: str, expected: list[Row]) -> None:
    assert rows(text) == expected


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("a b,good\nc d,good\ne f,bad\n", False),
        ("see the long way home,x\nthis is a text of it,y\n", False),
        ("1,2.5\n2,3.5\n", False),
        ("nice film,good\nbad film,bad\n", True),
        ("text,label\ntext,label\n", True),
        ("kind,place\na b,x\nc d,x\n", True),
        ("0,1\na b,x\nc d,y\n", True),
    ],
)
def test_a_header_that_is_a_row(text: str, header: bool) -> None:
    table = read_table(text, known)
    assert table.header is header
    if not header:
        assert table.columns == ("1", "2")
        assert len(list(table.rows)) == text.count("\n")
        assert "looks like a row, not like column names" in table.notes[-1]


def test_what_the_user_says_of_the_header_wins() -> None:
    assert rows("a,good\nb,good\n", header=True) == [{"a": "b", "good": "good"}]
    assert rows("text,label\na,b\n", header=False) == [{"1": "text", "2": "label"}, {"1": "a", "2": "b"}]


@pytest.mark.parametrize("text", ["just words\nand more\n", "one\n", "a b\n\nc, d e\n"])
def test_what_is_no_table(text: str) -> None:
    with pytest.raises(NotATable):
        read_table(text, known)


def test_prose_with_commas_is_a_table_only_where_the_name_says_so() -> None:
    text = "Well, it rained\nThen, it stopped\nSo, we left\n"
    with pytest.raises(NotATable):
        read_table(text, known, sure=False)
    assert len(read_table(text, known, sure=True).columns) == 2


@pytest.mark.parametrize(
    ("text", "number", "part"),
    [
        ("text,label\na,b\nc\n", 2, "(line 3) has 1 cell where the header has 2, with a comma between"),
        ("text;label\na;b;c\n", 1, "(line 2) has 3 cells where the header has 2, with a semicolon between"),
        ('text,label\n"a\nb",c,d\n', 1, "(line 3) has 3 cells"),
        ('text,label\n"a, b",c\n"d\n', 2, "is not valid CSV (unexpected end of data, line 3)"),
        ("text,label\na\0,b\n", 1, "(line 2) holds a NUL character"),
    ],
)
def test_rows_that_do_not_fit_are_named(text: str, number: int, part: str) -> None:
    wrong = [(n, str(row)) for n, row in read_table(text, known).rows if isinstance(row, RowError)]
    assert [n for n, _ in wrong] == [number]
    assert part in wrong[0][1]


def test_columns_must_have_their_own_names_and_be_few() -> None:
    with pytest.raises(RowError, match="two columns named 'text'"):
        read_table("text,label,text\na,b,c\n", known)
    with pytest.raises(RowError, match="has 1,001 columns"):
        read_table(",".join(f"c{i}" for i in range(1001)) + "\n" + ",".join("a" * 1001) + "\n", known)
