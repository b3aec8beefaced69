"""What `rung check` measures, from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import letters
import rung
from rung.errors import DataError


def test_what_is_found_is_of_the_rows_as_understood() -> None:
    rows = [{"text": text, "mood": label} for text, label in letters.rows(40)]
    rows[7]["mood"] = " a "
    found = rung.check(rows, base="tiny", label="mood")
    assert found.data.loaded.parts_line == "prompt: text; target: mood"
    assert dict(found.findings.classes) == {
        label: sum(row["mood"].strip() == label for row in rows) for label in ("a", "b")
    }
    assert found.ungraded == ()
    assert "prompt: text; target: mood" in repr(found)


def test_targets_that_the_grader_cannot_read_are_named() -> None:
    rows = [{"prompt": f"p {n}", "completion": '{"a": 1}'.replace("1", str(n))} for n in range(40)]
    rows[4]["completion"] = '{"a": NaN}'
    found = rung.check(rows, base="tiny")
    assert found.data.task.kind == "extraction"
    assert found.ungraded == ((5, "its target is not JSON: it holds NaN"),)


def test_a_notebook_shows_columns_and_rows() -> None:
    rows = [{"text": f"<b>{text}</b>", "label": label} for text, label in letters.rows(30)]
    page = rung.check(rows, base="tiny")._repr_html_()
    assert "prompt: text; target: label" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page.replace("<b>row", "")


def test_faults_are_those_of_every_verb(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        rung.check(tmp_path / "nowhere.csv", base="tiny")
