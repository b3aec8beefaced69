"""The page: self-contained, and nothing a model wrote can act in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rung.errors import DataError
from rung.report.html import safe_json, write_report

VOID = {"meta", "input", "br", "img", "link", "hr", "col"}


class _Page(HTMLParser):
    """Elements, attributes and visible text of a page; fails on a tag that does not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.blocks: dict[str, list[str]] = {"script": [], "style": []}
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.blocks:
            self.blocks[self.open[-1]].append(data)
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def _page(folder: Path) -> tuple[str, _Page]:
    path = write_report(folder)
    assert path == folder / "report.html"
    text = path.read_text(encoding="utf-8")
    return text, _Page(text)


def _rows(page: _Page) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(page.blocks["script"][0])
    return value


def test_page_is_self_contained_and_its_policy_allows_only_its_own_script(tickets: Path) -> None:
    text, page = _page(tickets)
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        assert "src" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    policy = (
        next(a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy") or ""
    )
    assert policy.startswith("default-src 'none'; ")
    digest = hashlib.sha256(page.blocks["script"][-1].encode()).digest()
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}';" in policy
    assert "http://" not in text
    assert "https://" not in text
    assert str(tickets.parent) not in text


def test_quality_is_drawn_against_forgetting(tickets: Path, add_forgetting: Callable[[Path], None]) -> None:
    """With the best prompt as a line; a bound, strengths and forecasts only where the run has them."""
    old, page = _page(tickets)
    assert re.search(r"lora: [\d.]+, forgot 0.012 nats a token; full: [\d.]+, forgot 0.148", old)
    assert "the dashed line across is few-shot" in page.text
    for absent in ("How strongly", "How the base was kept", "Forecast and score", "upright line"):
        assert absent not in page.text
    add_forgetting(tickets)
    text, page = _page(tickets)
    assert "at most 0.1 nats a token may be forgotten" in text
    for present in (
        "At most 0.1 was allowed.",
        "right of the upright line too much was forgotten",
        "How strongly the change is put on",
        "How the base was kept",
        "Forecast and score of tuned rungs",
    ):
        assert present in page.text
    ids = [value for _, attributes in page.tags if (value := attributes.get("id"))]
    assert len(ids) == len(set(ids))


def test_every_section_is_there(tickets: Path) -> None:
    _, page = _page(tickets)
    ids = {attributes.get("id") for tag, attributes in page.tags if tag == "section"}
    assert ids == {
        "verdict", "ladder", "quality", "costs", "curves", "mistakes", "forgot", "rows", "data", "choices",
        "quotes", "settings", "machine", "mechanisms",
    }  # fmt: skip
    assert "LoRA beats 8-shot prompting by 23.3 points" in page.text
    assert "recommended" in page.text
    assert "leaked from test 17, 233, 640" in page.text
    links = {a["href"] for t, a in page.tags if t == "a"}
    assert {link.removeprefix("#") for link in links if link} <= ids  # type: ignore[operator]


def test_the_data_is_told_at_the_head_and_in_its_section(tickets: Path) -> None:
    _, page = _page(tickets)
    parts = "prompt: subject, body; target: queue; not used: id"
    assert page.text.index(parts) < page.text.index("LoRA beats 8-shot prompting")
    data = page.text[page.text.index("Data: kept, dropped and left out") :]
    assert "2 labels differ only by case: Billing, billing" in data
    assert "Rows that were left out" in data
    assert "1,000 test.jsonl" not in data  # the reason stands between count and file
    assert "longer than 512 tokens test.jsonl 1, 2, 3" in data


def test_tables_name_their_rows_and_columns(tickets: Path) -> None:
    _, page = _page(tickets)
    assert all(a.get("scope") in {"row", "col"} for t, a in page.tags if t == "th")
    assert all(a.get("aria-label") or a.get("aria-hidden") for t, a in page.tags if t == "svg")


def test_attacks_stay_text(fake: ModuleType, hostile: Path) -> None:
    result = hostile / "results" / "lora.json"
    result.write_text(result.read_text().replace("2 of 820", json.dumps(fake.XSS[1])[1:-1]))
    text, page = _page(hostile)
    assert len(page.blocks["script"]) == 2
    assert "img" not in {tag for tag, _ in page.tags}
    assert fake.XSS[0] not in text
    assert fake.XSS[0] in page.text
    assert fake.XSS[1] in page.text
    assert "\x1b" not in text
    assert "\u202e" not in text
    data = page.blocks["script"][0]
    assert not re.search("[<>&]", data)
    shown = json.dumps(_rows(page), ensure_ascii=False)
    assert "{{7*7}}" in shown


def test_script_writes_text_only() -> None:
    import rung.report

    script = Path(rung.report.__file__).with_name("page.js").read_text()
    for door in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert door not in script


def test_rows_are_side_by_side_with_what_tuning_did(tickets: Path) -> None:
    _, page = _page(tickets)
    data = _rows(page)
    assert data["rungs"] == ["zero-shot", "few-shot", "lora", "full"]
    assert data["binary"] is True
    assert len(data["rows"]) == 60
    for row in data["rows"]:
        few, lora = row["cells"][1]["v"], row["cells"][2]["v"]
        assert row["k"] == (
            "f" if lora > few else "b" if few > lora else "w" if not any(c["v"] for c in row["cells"]) else ""
        )


def test_confusion_of_best_prompting_and_recommended_come_first(tickets: Path) -> None:
    text, page = _page(tickets)
    labels = [
        a["aria-label"] for t, a in page.tags if (a.get("aria-label") or "").startswith("confusion of ")
    ]
    assert labels[:2] == ["confusion of few-shot", "confusion of lora"]
    assert "Commonest confusions" in text


def test_extraction_shows_field_errors(receipts: Path) -> None:
    _, page = _page(receipts)
    assert "Where fields went wrong" in page.text
    assert "held no JSON object" in page.text
    assert "failed full fine-tuning needs 3.2 GB and 1.9 GB are free" in page.text


def test_calls_show_wrong_functions(tickets: Path) -> None:
    for path in (tickets / "predictions").iterdir():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            row["evidence"] = {"wanted": ["git add"], "got": ["git rm"], "arguments": ["--force"]}
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, page = _page(tickets)
    assert "Commonest wrong functions" in page.text
    assert "git rm" in page.text
    assert "--force" in page.text


def test_runs_without_evidence_have_a_page(tickets: Path) -> None:
    for path in (tickets / "predictions").iterdir():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row | {"evidence": {}}) + "\n" for row in rows))
    run = tickets / "run.json"
    info = json.loads(run.read_text())
    for name in ("row_metric", "notes", "ranges", "meanings", "several"):
        del info["task"][name]
    run.write_text(json.dumps(info))
    text, page = _page(tickets)
    assert 'id="mistakes"' not in text
    assert len(_rows(page)["rows"]) == 60


def test_costs_are_drawn_and_break_even_points_named(tickets: Path) -> None:
    path = tickets / "results" / "few-shot.json"
    value = json.loads(path.read_text())
    value["cost"] |= {"answer_money": 0.0105, "money": 0.0107}  # cheap to make
    path.write_text(json.dumps(value))
    _, page = _page(tickets)
    section = page.text[page.text.index("Cost to make and to use") :]
    assert "Few-shot is cheaper than lora up to " in section
    assert "the dashed line stands at 10,000 answers" in section


def test_verdict_says_how_sure_it_is_and_what_would_help(
    tickets: Path, add_regrets: Callable[[Path], None]
) -> None:
    add_regrets(tickets)
    _, page = _page(tickets)
    head = page.text[: page.text.index("The ladder")]
    assert "Verdict clear" in head
    assert "0.4 points 96% chance of being within 1 point of the best" in head
    assert "What would help most Train LoRA longer. A larger base." in head


def test_a_rung_that_was_cut_short_is_in_no_chart_that_compares(tickets: Path) -> None:
    path = tickets / "results" / "full.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "unfinished", "done": 0.12}))
    _, page = _page(tickets)
    labels = [a["aria-label"] or "" for t, a in page.tags if t == "svg" and a.get("aria-label")]
    compared = [label for label in labels if not label.startswith("Learning curves")]
    assert len(compared) == 6  # quality, cost and forgetting, wide and narrow
    assert all("lora" in label and "full" not in label for label in compared)
    assert "not finished (12%)" in page.text


def test_cells_carry_the_name_of_their_column_for_narrow_screens(tickets: Path) -> None:
    _, page = _page(tickets)
    labels = {a.get("data-label") for t, a in page.tags if t == "td"}
    assert {"cost to make", "1,000 answers", "made, and 10,000 answers", "tokens an answer"} <= labels


def test_unfinished_runs_have_a_page(tickets: Path) -> None:
    (tickets / "verdict.json").unlink()
    _, page = _page(tickets)
    assert "This run is not finished: 4 rungs have a result" in page.text
    for path in [*(tickets / "results").iterdir(), *(tickets / "predictions").iterdir()]:
        path.unlink()
    _, page = _page(tickets)
    assert "No rung has finished yet." in page.text
    assert "No answers have been written yet." in page.text


def test_same_records_same_bytes(tickets: Path) -> None:
    assert _page(tickets)[0] == _page(tickets)[0]


def test_large_runs_are_capped_and_say_so(
    fake: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rung.report.mistakes.ROW_CAP", 20)
    _, page = _page(fake.classification_run(tmp_path / "large", rows=30))
    assert len(_rows(page)["rows"]) == 20
    assert "The first 20 rows are here; the other 10 are in the folder" in page.text


def test_safe_json_survives_a_round_trip() -> None:
    value = {"t": "</script><!-- & \u2028 \u65e5 \"'\\"}
    text = safe_json(value)
    assert not re.search("[<>&\u2028]", text)
    assert json.loads(text) == value


def test_lone_surrogates_do_not_stop_the_report(tickets: Path) -> None:
    path = tickets / "predictions" / "lora.jsonl"
    path.write_text(path.read_text().replace('"text": "', '"text": "\\ud800', 1))
    _, page = _page(tickets)
    assert "<U+D800>" in json.dumps(_rows(page))


def test_not_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        write_report(tmp_path)


def test_report_imports_no_torch(tickets: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rung.report import write_report; "
        f"write_report(Path({str(tickets)!r})); assert 'torch' not in sys.modules; "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path), "PATH": ""}
    )
