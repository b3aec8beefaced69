"""Run folders as a climb leaves them, without a climb: a classification and an extraction run."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rung.records import (
    Answer,
    Choice,
    Comparison,
    Cost,
    CurvePoint,
    Example,
    Measure,
    Mechanism,
    Message,
    Quote,
    Result,
    RunInfo,
    ScoreStatus,
    Task,
    Verdict,
    to_json,
)

BASE = "smollm2-135m-instruct"
LABELS = ("billing", "delivery", "returns", "account", "technical", "praise")
TEXTS = {
    "billing": "I was charged twice for order {n}, please look at the invoice.",
    "delivery": "Parcel {n} should have come on Monday and the tracking page has not moved.",
    "returns": "The shoes from order {n} are too small. How do I send them back?",
    "account": "I cannot change the e-mail address of my account ({n} tries so far).",
    "technical": "The app closes by itself as soon as I open basket {n}.",
    "praise": "Order {n} arrived early and the note inside made my day, thank you!",
}
XSS = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "[link](javascript:document.title='owned')",
    "{{7*7}} {% for x in y %} ${7*7}",
    "\x1b]0;owned\x07\x1b[31mred\x1b[0m \u202egnp.exe",
    "<!--<script>",
    "'\" onmouseover=alert(1) x='",
)
ACCURACY = {"zero-shot": 0.42, "few-shot": 0.64, "lora": 0.88, "full": 0.9}
SECONDS = {"zero-shot": 31.0, "few-shot": 96.0, "lora": 362.0, "full": 1121.0}
FIELDS = ("vendor", "date", "total", "currency")


def classification_run(folder: Path, rows: int = 60, hostile: bool = False, seed: int = 3) -> Path:
    """Four rungs over `rows` support tickets; `hostile` puts attacks into prompts, answers and notes."""
    rng = random.Random(seed)
    examples = []
    for n in range(rows):
        label = LABELS[n % len(LABELS)]
        text = TEXTS[label].format(n=1000 + 7 * n)
        examples.append(_example(n, text + (f" {XSS[n % len(XSS)]}" if hostile else ""), label))
    answers = {
        rung: [_label_answer(rng, example, accuracy, rung, hostile) for example in examples]
        for rung, accuracy in ACCURACY.items()
    }
    task = Task(
        "classification",
        "6 short targets repeat in every row",
        ("accuracy", "macro_f1"),
        LABELS,
        row_metric="accuracy",
    )
    return _write(folder, "support-tickets", task, examples, answers, hostile)


def extraction_run(folder: Path, rows: int = 40, seed: int = 5) -> Path:
    """Three rungs over receipts; the full rung failed."""
    rng = random.Random(seed)
    examples = []
    for n in range(rows):
        truth = {
            "vendor": rng.choice(["Blue Door Books", "Corner Bakery", "Harbour Cycles"]),
            "date": f"2025-0{1 + n % 9}-1{n % 10}",
            "total": round(3 + 7.35 * n, 2),
            "currency": rng.choice(["EUR", "GBP"]),
        }
        text = f"{truth['vendor']}, {truth['date']}\nthank you!\nTOTAL {truth['currency']} {truth['total']}"
        examples.append(_example(n, text, json.dumps(truth)))
    answers = {
        rung: [_object_answer(rng, example, ACCURACY[rung]) for example in examples]
        for rung in ("zero-shot", "few-shot", "lora")
    }
    metrics = ("field_f1", "exact_match")
    task = Task("extraction", "every target is a JSON object", metrics, (), FIELDS, row_metric="exact_match")
    return _write(folder, "receipts", task, examples, answers, False, failed=("full",))


def write(path: Path, record: Any) -> None:
    """Write a record as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(to_json(record)), encoding="utf-8")


def write_lines(path: Path, records: Iterable[Any]) -> None:
    """Write records as JSONL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(to_json(record)) + "\n" for record in records), encoding="utf-8")


def _example(n: int, text: str, target: str) -> Example:
    turns = (
        Message("system", "Answer in the agreed form."),
        Message("user", text),
        Message("assistant", target),
    )
    return Example(f"{n:016x}", turns, row=3 * n + 2, source="tickets.jsonl")


def _label_answer(rng: random.Random, example: Example, accuracy: float, rung: str, hostile: bool) -> Answer:
    right = rng.random() < accuracy
    if not right and rung == "zero-shot" and rng.random() < 0.3:
        text = "I am happy to help! This message seems to be about several things at once."
        text = rng.choice(XSS) if hostile else text
        evidence = {"wanted": example.target, "got": None}
        note = "no label in the answer"
        return Answer(example.id, text, "unparsed", None, {"accuracy": 0.0}, 16, note, evidence)
    label = example.target if right else rng.choice([x for x in LABELS if x != example.target])
    evidence = {"wanted": example.target, "got": label}
    return Answer(example.id, label, "ok", label, {"accuracy": float(right)}, 3, "", evidence)


def _object_answer(rng: random.Random, example: Example, accuracy: float) -> Answer:
    value = json.loads(example.target)
    wanted, right = dict(value), 0
    for name in list(value):
        if rng.random() < accuracy:
            right += 1
        elif rng.random() < 0.4:
            del value[name]
        else:
            value[name] = "unknown"
    if accuracy < 0.7 and rng.random() < 0.3:
        value["note"] = "thank you!"
    if accuracy < 0.5 and rng.random() < 0.25:
        text = json.dumps(value)[:-9]
        evidence = {"fields": [{"path": name, "wanted": wanted[name], "right": False} for name in wanted]}
        none = {"field_f1": 0.0, "exact_match": 0.0}
        return Answer(example.id, text, "truncated", None, none, 64, "", evidence)
    status: ScoreStatus = "ok"
    values = {"field_f1": right / len(FIELDS), "exact_match": float(right == len(FIELDS) == len(value))}
    fields = [
        {
            "path": name,
            **({"wanted": wanted[name]} if name in wanted else {}),
            **({"got": value[name]} if name in value else {}),
            "right": wanted.get(name) == value.get(name),
        }
        for name in {**wanted, **value}
    ]
    text = json.dumps(value)
    return Answer(example.id, text, status, text, values, 40, "", {"fields": fields})


def _write(
    folder: Path,
    name: str,
    task: Task,
    examples: list[Example],
    answers: dict[str, list[Answer]],
    hostile: bool,
    failed: tuple[str, ...] = (),
) -> Path:
    write_lines(folder / "test.jsonl", examples)
    for rung, rows in answers.items():
        write_lines(folder / "predictions" / f"{rung}.jsonl", rows)
    results = [_result(rung, order, task, answers.get(rung)) for order, rung in enumerate(ACCURACY)]
    for result in results:
        write(folder / "results" / f"{result.rung}.json", result)
    write(folder / "verdict.json", _verdict(results, failed))
    write(folder / "run.json", _info(name, task, len(examples), hostile))
    return folder


def _measure(name: str, values: list[float]) -> Measure:
    mean = sum(values) / len(values)
    half = 1.96 * (max(mean * (1 - mean), 0.01) / len(values)) ** 0.5
    return Measure(name, mean, max(0.0, mean - half), min(1.0, mean + half), len(values))


def _result(rung: str, order: int, task: Task, rows: list[Answer] | None) -> Result:
    method = rung if rung in ("lora", "full") else "prompt"
    if rows is None:
        reason = "full fine-tuning needs 3.2 GB and 1.9 GB are free"
        return Result(rung, method, "failed", order, BASE, f"{order:016x}", reason=reason)
    tuned = method != "prompt"
    metrics = tuple(_measure(m, [row.values.get(m, 0.8) for row in rows]) for m in task.metrics)
    counts = {s: sum(row.status == s for row in rows) for s in ("ok", "unparsed", "truncated", "error")}
    seconds = SECONDS[rung]
    cost = Cost(
        seconds=seconds,
        train_seconds=seconds * 0.8 if tuned else None,
        eval_seconds=seconds * 0.2 if tuned else seconds,
        train_tokens=412_300 if tuned else None,
        peak_memory_bytes=int(1.1e9 + 6e8 * order),
        trainable_parameters={"lora": 4_884_480, "full": 134_515_008}.get(rung),
        adapter_bytes={"lora": 19_600_000, "full": 269_000_000}.get(rung),
        money=seconds / 3600 * 0.4,
        currency="USD",
        answer_seconds=seconds * 0.1,
        answers=len(rows),
        answer_tokens={"few-shot": 1460.0}.get(rung, 121.5),
        answer_written=2.5,
        answer_money=seconds * 0.1 / 3600 * 0.4,
    )
    quote = Quote(
        rung, True, seconds * 0.9, 820, 3.0, 412_300, 120, len(rows), int(1.3e9), seconds / 9000, ""
    )
    return Result(
        rung,
        method,
        "ok",
        order,
        BASE,
        f"{order:016x}",
        primary=metrics[0],
        metrics=metrics,
        counts=counts,
        cost=cost,
        quote=quote,
        choices=_choices(rung),
        forgetting=_forgetting(rung) if tuned else (),
        curve=_curve(2.1 + 0.1 * order) if tuned else (),
        asked={"epochs": None},
        applied={"epochs": 3.0, "learning_rate": 2e-4 if rung == "lora" else 2e-5} if tuned else {"k": 8},
        notes=("2 of 820 train rows were longer than 512 tokens and left out",) if rung == "lora" else (),
        mechanisms=MECHANISMS if tuned else (),
        started="2026-03-01T14:05:00Z",
        finished="2026-03-01T14:11:02Z",
    )


MECHANISMS = (
    Mechanism("shared prefixes", on=True, why="18% of the tokens were already computed for another row"),
    Mechanism("cached trunk", on=False, why="the first layer is trained too"),
)


def _choices(rung: str) -> tuple[Choice, ...]:
    if rung == "few-shot":
        tried = {"2": 0.552, "4": 0.583, "8": 0.642, "16": None}
        return Choice("k", "8", tried), Choice(
            "answer by", "label likelihood", {"label likelihood": 0.64, "text": 0.6}
        )
    if rung == "lora":
        return (Choice("checkpoint", "step 240", {"120": 0.71, "240": 0.66, "360": 0.68}),)
    return ()


def _forgetting(rung: str) -> tuple[Measure, ...]:
    drift = 0.0123 if rung == "lora" else 0.148
    kl = Measure("kl", drift, drift * 0.8, drift * 1.3, 64, higher_is_better=False, unit="nats/token")
    return kl, Measure("top1_agreement", 0.981 - drift, 0.96 - drift, 0.99 - drift, 64)


def _curve(start: float) -> tuple[CurvePoint, ...]:
    points = []
    for step in range(0, 361, 30):
        loss = 0.31 + (start - 0.31) * 0.985**step
        dev = loss + 0.05 + 0.0004 * step if step % 60 == 0 else None
        points.append(CurvePoint(step, step * 1145, step * 0.8, loss if step else None, dev, 2e-4))
    return tuple(points)


def _verdict(results: list[Result], failed: tuple[str, ...]) -> Verdict:
    gain = Measure("accuracy", 0.2333, 0.117, 0.35, 60)
    even = Measure("accuracy", 0.0167, -0.05, 0.083, 60)
    comparisons = [Comparison("lora", "few-shot", gain, 0.0004, "exact McNemar", True, None)]
    if not failed:
        comparisons.append(Comparison("full", "lora", even, 1.0, "exact McNemar", False, 4100))
    return Verdict(
        "lora",
        "LoRA beats 8-shot prompting by 23.3 points (95% interval 11.7 to 35.0) in 6 min 2 s; full "
        "fine-tuning is not distinguishable and costs 3.1x; the adapter forgot 0.012 nats/token. Use LoRA.",
        (
            "lora is the cheapest rung that is not distinguishable from the best.",
            "60 test rows tell differences of about 12 points apart; smaller ones need more rows.",
        ),
        tuple(comparisons),
        best="full" if not failed else "lora",
        best_prompting="few-shot",
    )


def _info(name: str, task: Task, rows: int, hostile: bool) -> RunInfo:
    return RunInfo(
        name=name,
        task=task,
        base=BASE,
        data={
            "file": "tickets.jsonl",
            "sha256": "9f0c" * 16,
            "rows": {"read": 1000, "train": 820, "dev": 120, "test": rows},
            "duplicates": 4,
            "leaked from test": [17, 233, 640],
            "dropped as too long": {"rows": [88, 412], "file_bytes": 187_000},
            "parts": f"prompt: {XSS[1]}" if hostile else "prompt: subject, body; target: queue; not used: id",
            "left_out": [
                {
                    "file": "tickets.jsonl",
                    "why": XSS[6] if hostile else "its target is empty",
                    "rows": [7, 9],
                },
                {"file": "test.jsonl", "why": "longer than 512 tokens", "rows": list(range(1, 1001))},
            ],
            "warnings": [XSS[2] if hostile else "2 labels differ only by case: Billing, billing"],
        },
        asked={"budget": 1800, "base": BASE},
        applied={
            "budget": 1800.0,
            "base": BASE,
            "rank": 16,
            "seed": 0,
            "precision": "fp32",
            "targets": ["q_proj", "v_proj"],
        },
        machine={"cpu": "2 cores", "memory_bytes": 8_200_000_000, "device": "cpu", "why": "no GPU was found"},
        versions={"rung": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
        notes=(XSS[0], XSS[4]) if hostile else ("The base has no licence restrictions on outputs.",),
        started="2026-03-01T14:02:11Z",
        finished="2026-03-01T14:31:40Z",
        seconds=1769.0,
    )
