"""The lines that a score of calls is read next to."""

from __future__ import annotations

import json
from pathlib import Path

from rung.report.html import render
from rung.report.seen import sentences
from rung.report.view import load_view


def test_share_constant_answer_and_both_scores(tickets: Path) -> None:
    assert sentences(load_view(tickets)) == ()
    info = json.loads((tickets / "run.json").read_text())
    info["data"]["seen"] = {"what": "API", "rows": 1182, "of": 1186}
    (tickets / "run.json").write_text(json.dumps(info))
    path = tickets / "results" / "lora.json"
    result = json.loads(path.read_text())
    result["metrics"] += [
        {"name": "accuracy, API in train", "value": 0.5, "n": 1182},
        {"name": "accuracy, API not in train", "value": 0.125, "n": 4},
    ]
    path.write_text(json.dumps(result))
    floor = json.loads((tickets / "results" / "zero-shot.json").read_text()) | {"rung": "constant"}
    floor |= {"kind": "floor", "primary": {"name": "accuracy", "value": 0.1, "low": 0.05, "high": 0.2}}
    (tickets / "results" / "constant.json").write_text(json.dumps(floor))
    view = load_view(tickets)
    assert sentences(view) == (
        "API seen in train: 1,182 of 1,186 test rows; "
        "the best constant answer: accuracy 10.0% (5.0 to 20.0).",
        "Score where the API is in train / is not: lora 50.0 / 12.5.",
    )
    assert "API seen in train: 1,182 of 1,186 test rows" in render(view)
