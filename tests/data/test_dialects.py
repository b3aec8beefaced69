"""Container x shape x dialect: what each gives as format, task, first prompt and first target."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rung.data.formats import read_examples

N = 12
ASK = [f"Can a guest bring the {n + 3} small dogs along?" for n in range(N)]
REPLY = [f"Up to {n + 3} dogs may stay, for a fee at the desk." for n in range(N)]
TOPIC = ["pets", "food", "rooms"]
TOPICS = [TOPIC[n % 3] for n in range(N)]
NUMBERS = [n % 3 for n in range(N)]
IDS = [f"r-{n:03}" for n in range(N)]
SHARED = [f"Human: {a}\n\nAssistant: {r}" for a, r in zip(ASK, REPLY, strict=True)]
TURNS = [
    [{"role": "user", "content": a}, {"role": "assistant", "content": r}]
    for a, r in zip(ASK, REPLY, strict=True)
]
SHARE = [
    [{"from": "human", "value": a}, {"from": "gpt", "value": r}] for a, r in zip(ASK, REPLY, strict=True)
]


class Dialect(NamedTuple):
    name: str  # of the file
    content: bytes
    format: str
    hint: str | None
    prompt: list[tuple[str, str]]
    target: str


def rows(**columns: Sequence[Any]) -> list[dict[str, Any]]:
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def jsonl(**columns: Sequence[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(**columns)).encode()


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode()


def table(
    header: Iterable[str] | None, *columns: Sequence[Any], mark: str = ",", end: str = "\n", to: str = "utf-8"
) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=mark, lineterminator=end)
    writer.writerows([list(header)] if header else [])
    writer.writerows(zip(*columns, strict=True))
    return buffer.getvalue().encode(to)


def text(form: str) -> bytes:
    return jsonl(text=[form.format(a=a, r=r) for a, r in zip(ASK, REPLY, strict=True)])


def zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content))


def parquet(metadata: dict[bytes, bytes] | None = None, **columns: Sequence[Any]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows(**columns)).replace_schema_metadata(metadata), buffer)
    return buffer.getvalue()


def arrow(new: Callable[..., Any], **columns: Sequence[Any]) -> bytes:
    made, buffer = pa.Table.from_pylist(rows(**columns)), io.BytesIO()
    with new(buffer, made.schema) as writer:
        writer.write_table(made)
    return buffer.getvalue()


def excel(header: Sequence[str], *columns: Sequence[Any]) -> bytes:
    book, buffer = openpyxl.Workbook(), io.BytesIO()
    for row in [header, *zip(*columns, strict=True)]:
        book.active.append(list(row))
    book.save(buffer)
    return buffer.getvalue()


def names(features: dict[str, Any]) -> dict[bytes, bytes]:
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def label(name: str, content: bytes, prompt: str = ASK[0], target: str = "pets") -> Dialect:
    return Dialect(name, content, "text-label", "classification", [("user", prompt)], target)


def answer(
    name: str,
    content: bytes,
    prompt: str = ASK[0],
    target: str = REPLY[0],
    format: str = "",
    hint: str | None = None,
) -> Dialect:
    return Dialect(name, content, format or "prompt-completion", hint, [("user", prompt)], target)


def chat(
    name: str, content: bytes, format: str = "messages", before: str = "", target: str = REPLY[0]
) -> Dialect:
    return Dialect(
        name, content, format, None, [*([("system", before)] if before else []), ("user", ASK[0])], target
    )


TL = (["text", "label"], ASK, TOPICS)
PC = (["prompt", "completion"], ASK, REPLY)
ACCENTS = [a.replace("guest", "Gäst") for a in ASK]
LONG = "A text about dogs, cats and the hall of the house."
SQUAD = [
    {"question": a, "id": i, "answers": [{"text": r, "answer_start": 0}]}
    for a, r, i in zip(ASK, REPLY, IDS, strict=True)
]
TAGGED = [["Ada", "met", "Bo", "Li"]] * N
TAGS = [["B-WHO", "O", "B-WHO", "I-WHO"]] * N
WHO = '{"WHO": ["Ada", "Bo Li"]}'
CONLL = "-DOCSTART- -X- O\n\n" + "Ada NNP B-WHO\nmet VBD O\nBo NNP B-WHO\nLi NNP I-WHO\n\n" * N
NAMED = [f"ada{n} lives in hull" for n in range(N)]
PER = '{"PER": ["ada0"]}'
RASA = "".join(
    f"- intent: {t}\n  examples: |\n" + "".join(f"    - {a}\n" for a in ASK[i::3])
    for i, t in enumerate(TOPIC)
)
MARKDOWN = "\n".join(f"## intent:{t}\n" + "".join(f"- {a}\n" for a in ASK[i::3]) for i, t in enumerate(TOPIC))

DIALECTS: dict[str, Dialect] = {
    # containers
    "csv": label("a.csv", table(*TL)),
    "csv of any name": label("train", table(*TL)),
    "semicolons": label("a.csv", table(*TL, mark=";")),
    "tabs": label("a.tsv", table(*TL, mark="\t")),
    "vertical bars": label("a.csv", table(*TL, mark="|")),
    "sep line": label("a.csv", b"sep=;\r\n" + table(*TL, mark=";", end="\r\n")),
    "old Mac": label("a.csv", table(*TL, end="\r")),
    "Windows": label("a.csv", table(*TL, end="\r\n", to="utf-8-sig")),
    "UTF-16 csv": label("a.csv", table(*TL, to="utf-16")),
    "UTF-16 tabs without a mark": label("a.txt", table(*TL, mark="\t", to="utf-16-le")),
    "Windows-1252": label("a.csv", table(["text", "label"], ACCENTS, TOPICS, to="cp1252"), prompt=ACCENTS[0]),
    "spaces behind commas": label(
        "a.csv",
        b"text, label\n" + "".join(f'"{a}", "{t}"\n' for a, t in zip(ASK, TOPICS, strict=True)).encode(),
    ),
    "backslashes": label(
        "a.csv",
        b"text,label\n" + b'"She said \\"no, thanks\\" twice",pets\n"b, c",food\n' * 4,
        prompt='She said "no, thanks" twice',
    ),
    "quotes that mean nothing": label(
        "SpamCollection",
        "".join(
            f"{t}\t{chr(34) if n == 4 else ''}{a}\n" for n, (a, t) in enumerate(zip(ASK, TOPICS, strict=True))
        ).encode(),
    ),
    "no header": label("a.csv", table(None, ASK, TOPICS)),
    "no header, label first": label("a.csv", table(None, [n % 2 for n in range(N)], ASK), target="0"),
    "no header, six columns": label(
        "tweets.csv",
        table(
            None,
            [0] * 6 + [4] * 6,
            range(146781, 146793),
            [f"Mon Apr {n + 6:02} 22:19:{n + 10} PDT 2009" for n in range(N)],
            ["NO_QUERY"] * N,
            [f"user{n}" for n in range(N)],
            ASK,
        ),
        target="0",
    ),
    "text;label lines": label(
        "train.txt", "".join(f"{a};{t}\n" for a, t in zip(ASK, TOPICS, strict=True)).encode()
    ),
    "gzip": label("a.csv.gz", gzip.compress(table(*TL))),
    "zstd": answer("a.jsonl.zst", zstd(jsonl(prompt=ASK, completion=REPLY))),
    "xz": chat("a.jsonl.xz", lzma.compress(jsonl(messages=TURNS))),
    "bzip2": label("a.json.bz2", bz2.compress(dump(rows(text=ASK, label=TOPICS)))),
    "jsonl": answer("a.jsonl", jsonl(prompt=ASK, completion=REPLY)),
    "UTF-16 jsonl": answer("a.jsonl", jsonl(prompt=ASK, completion=REPLY).decode().encode("utf-16")),
    "jsonl with commas": answer("a.jsonl", jsonl(prompt=ASK, completion=REPLY).replace(b"}\n", b"},\n")),
    "jsonl of lists": label(
        "a.jsonl", b"".join(dump(row).replace(b"\n", b"") + b"\n" for row in zip(ASK, TOPICS, strict=True))
    ),
    "objects over several lines": answer("a.json", b"\n".join(map(dump, rows(prompt=ASK, completion=REPLY)))),
    "list": answer("a.json", dump(rows(prompt=ASK, completion=REPLY))),
    "list of lists": label("a.json", dump([["text", "label"], *zip(ASK, TOPICS, strict=True)])),
    "wrapped": label("a.json", dump({"meta": {"n": N}, "data": rows(text=ASK, label=TOPICS)})),
    "split table": label(
        "a.json",
        dump({"columns": ["text", "label"], "index": NUMBERS, "data": list(zip(ASK, TOPICS, strict=True))}),
    ),
    "by column": label("a.json", dump({"text": ASK, "label": TOPICS})),
    "by column and row": label(
        "a.json", dump({"text": dict(enumerate(ASK)), "label": dict(enumerate(TOPICS))})
    ),
    "by id": answer("a.json", dump(dict(zip(IDS, rows(question=ASK, answer=REPLY), strict=True)))),
    "by label": label("a.json", dump({t: ASK[i::3] for i, t in enumerate(TOPIC)})),
    "parquet": label("a.parquet", parquet(text=ASK, label=TOPICS)),
    "parquet with class names": label(
        "a.parquet", parquet(names({"label": {"names": TOPIC}}), text=ASK, label=NUMBERS)
    ),
    "parquet of chats": chat("a.parquet", parquet(messages=TURNS)),
    "arrow file": label("a.arrow", arrow(pa.ipc.new_file, text=ASK, label=TOPICS)),
    "arrow stream": answer("a.arrow", arrow(pa.ipc.new_stream, question=ASK, answer=REPLY)),
    "excel": label("a.xlsx", excel(*TL)),
    "excel with numbers": label("a.xlsx", excel(["Nr", "Text", "Label"], range(N), ASK, TOPICS)),
    # labels
    "setfit": label("a.jsonl", jsonl(text=ASK, label=NUMBERS, label_text=TOPICS)),
    "index and review": label("a.csv", table(["Unnamed: 0", "review", "sentiment"], range(N), ASK, TOPICS)),
    "class index": label(
        "a.csv",
        table(["Class Index", "Title", "Description"], NUMBERS, IDS, ASK),
        prompt=f"Title: {IDS[0]}\nDescription: {ASK[0]}",
        target="0",
    ),
    "question pairs": label(
        "a.csv",
        table(
            ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"],
            range(N),
            range(50, 62),
            range(90, 102),
            ASK,
            REPLY,
            [0, 1] * 6,
        ),
        prompt=f"question1: {ASK[0]}\nquestion2: {REPLY[0]}",
        target="0",
    ),
    "nli": label(
        "a.jsonl",
        jsonl(premise=ASK, hypothesis=REPLY, label=TOPICS),
        prompt=f"premise: {ASK[0]}\nhypothesis: {REPLY[0]}",
    ),
    "news": label(
        "a.jsonl",
        jsonl(
            link=[f"https://a.b/{n}" for n in range(N)],
            headline=ASK,
            category=TOPICS,
            short_description=REPLY,
            authors=["Bo Li"] * N,
            date=["2022-09-23"] * N,
        ),
        prompt=f"headline: {ASK[0]}\nshort_description: {REPLY[0]}",
    ),
    "airline tweets": label(
        "a.csv",
        table(
            [
                "tweet_id",
                "airline_sentiment",
                "airline_sentiment_confidence",
                "negativereason",
                "airline",
                "name",
                "retweet_count",
                "text",
                "tweet_created",
            ],
            range(5703061336, 5703061348),
            TOPICS,
            [0.5 + n / 100 for n in range(N)],
            ["", "Late"] * 6,
            ["AA", "BB"] * 6,
            [f"u{n}" for n in range(N)],
            [0] * N,
            ASK,
            ["2015-02-24 11:35:52 -0800"] * N,
        ),
    ),
    "spam v1 v2": label(
        "a.csv", table(["v1", "v2", "", "", ""], ["ham", "spam"] * 6, ASK, *[[""] * N] * 3), target="ham"
    ),
    "spam v1 v2 with a torn row": label(
        "a.csv",
        table(
            ["v1", "v2", "", "", ""],
            ["ham", "spam"] * 6,
            ASK,
            ["a torn end", *[""] * 11],
            ["of it", *[""] * 11],
            [""] * N,
        ),
        target="ham",
    ),
    "spam v1 v2 by pandas": label(
        "a.csv",
        table(
            ["v1", "v2", *(f"Unnamed: {n}" for n in (2, 3, 4))],
            ["ham", "spam"] * 6,
            ASK,
            ["a torn end", *[""] * 11],
            *[[""] * N] * 2,
        ),
        target="ham",
    ),
    "quoted names": label("a.csv", table(["'text'", "'label'"], ASK, TOPICS)),
    "quoted names in JSON": label("a.jsonl", jsonl(**{"“text”": ASK, "“label”": TOPICS})),
    "one column for each label": label(
        "a.csv", table(["text", *TOPIC], ASK, *([int(t == one) for t in TOPICS] for one in TOPIC))
    ),
    "one column for each of several labels": answer(
        "a.csv",
        table(["Text", "'Love'", "'Joy'", "'Hate'"], ASK, [0, 1, 0] * 4, [1, 1, 0] * 4, [0, 1] * 6),
        target="Joy",
        hint="multi_label",
    ),
    "true or false for each label": answer(
        "a.jsonl",
        jsonl(
            id=range(N),
            comment_text=ASK,
            toxic=[True, False] * 6,
            insult=[True] + [False] * 11,
            threat=[False] * N,
        ),
        target="toxic; insult",
        hint="multi_label",
    ),
    "German": label("a.csv", table(["Nachricht", "Kategorie"], ASK, TOPICS, mark=";")),
    "French": label("a.csv", table(["Texte", "Étiquette"], ASK, TOPICS, mark=";")),
    "Chinese": label(
        "a.csv",
        table(["文本", "标签"], [f"第{n}号房间太吵了" for n in range(N)], ["负面", "正面"] * 6),
        prompt="第0号房间太吵了",
        target="负面",
    ),
    "unknown names": label("a.csv", table(["zebra", "yak"], ASK, TOPICS)),
    "helpful": label("a.tsv", table(["review", "helpful"], ASK, [0, 1] * 6, mark="\t"), target="0"),
    "ticket": label(
        "a.csv",
        table(["ticket_id", "subject", "body", "queue"], range(N), IDS, ASK, TOPICS),
        prompt=f"subject: {IDS[0]}\nbody: {ASK[0]}",
    ),
    "intents.json": label(
        "intents.json",
        dump(
            {"intents": [{"tag": t, "patterns": ASK[i::3], "responses": ["Hi"]} for i, t in enumerate(TOPIC)]}
        ),
    ),
    "rasa yml": label("nlu.yml", f'version: "3.1"\n\nnlu:\n{RASA}'.encode()),
    "rasa md": label("nlu.md", MARKDOWN.encode()),
    "rasa json": label(
        "nlu.json",
        dump({"rasa_nlu_data": {"common_examples": rows(text=ASK, intent=TOPICS, entities=[[]] * N)}}),
    ),
    "fasttext": label(
        "train.txt", "".join(f"__label__{t} {a}\n" for a, t in zip(ASK, TOPICS, strict=True)).encode()
    ),
    # answers
    "dolly": answer(
        "a.jsonl",
        jsonl(
            instruction=ASK,
            context=["We like pets.", ""] * 6,
            response=REPLY,
            category=["open_qa", "closed_qa"] * 6,
        ),
        prompt=f"{ASK[0]}\n\nWe like pets.",
        format="alpaca",
    ),
    "sums without a header": answer(
        "sums.csv",
        table(None, [f"{n}+{7 * n % 5}" for n in range(N)], [n + 7 * n % 5 for n in range(N)]),
        prompt="0+0",
        target="0",
    ),
    "two texts without a header": answer("pairs.txt", table(None, ASK, REPLY, mark="\t")),
    "Dutch with a help": answer(
        "a.csv",
        table(["Vraag", "Hulp", "Antwoord"], ASK, [f"A dog is {n} pets." for n in range(N)], REPLY, mark=";"),
        prompt=f"Vraag: {ASK[0]}\nHulp: A dog is 0 pets.",
    ),
    "alpaca": answer("a.json", dump(rows(instruction=ASK, input=[""] * N, output=REPLY)), format="alpaca"),
    "alpaca with text": answer(
        "a.jsonl", jsonl(instruction=ASK, input=[""] * N, output=REPLY, text=SHARED), format="alpaca"
    ),
    "openorca": chat(
        "a.jsonl",
        jsonl(id=IDS, system_prompt=["Be kind."] * N, question=ASK, response=REPLY),
        "prompt-completion",
        "Be kind.",
    ),
    "intent and response": answer(
        "a.csv",
        table(
            ["flags", "instruction", "category", "intent", "response"],
            ["B"] * N,
            ASK,
            ["DOG"] * N,
            TOPICS,
            REPLY,
        ),
        format="alpaca",
    ),
    "counselling": answer("a.csv", table(["Context", "Response"], ASK, REPLY)),
    "plural names": answer("a.csv", table(["Questions", "Answers"], ASK, REPLY)),
    "German answers": answer("a.csv", table(["Frage", "Antwort", "Quelle"], ASK, REPLY, ["Heft"] * N)),
    "Chinese answers": answer("a.jsonl", jsonl(问题=ASK, 答案=REPLY)),
    "worked sums": answer(
        "a.jsonl",
        jsonl(question=ASK, answer=[f"{r}\n#### {n}" for n, r in enumerate(REPLY)]),
        target=f"{REPLY[0]}\n#### 0",
    ),
    "code to summary": answer("a.csv", table(["code", "summary"], ASK, REPLY)),
    "question to code": answer("a.csv", table(["question", "code"], ASK, REPLY)),
    "shell": answer("a.csv", table(["nl", "bash"], ASK, REPLY)),
    "sql": answer(
        "a.jsonl",
        jsonl(question=ASK, context=["CREATE TABLE t (a)"] * N, answer=REPLY),
        prompt=f"CREATE TABLE t (a)\n\n{ASK[0]}",
    ),
    "article and highlights": answer("a.csv", table(["id", "article", "highlights"], IDS, ASK, REPLY)),
    "letters as options": answer(
        "a.csv",
        table(["question", "A", "B", "answer"], ASK, ["yes"] * N, ["no"] * N, ["A", "B"] * 6),
        prompt=f"question: {ASK[0]}\nA: yes\nB: no",
        target="A",
    ),
    "numbers as options": answer(
        "a.csv",
        table(["question", "A", "B", "answer"], ASK, range(N), NUMBERS, ["A", "B"] * 6),
        prompt=f"question: {ASK[0]}\nA: 0\nB: 0",
        target="A",
    ),
    "sentence and options": answer(
        "a.jsonl",
        jsonl(sentence=ASK, option1=TOPICS, option2=TOPICS[::-1], answer=["1", "2"] * 6),
        prompt=f"sentence: {ASK[0]}\noption1: pets\noption2: rooms",
        target="1",
    ),
    "endings": label(
        "a.jsonl",
        jsonl(ind=range(N), ctx=ASK, endings=[["x y", "z w"]] * N, label=NUMBERS),
        prompt=f'ctx: {ASK[0]}\nendings: ["x y", "z w"]',
        target="0",
    ),
    "Q and A": answer("a.csv", table(["Q", "A"], ASK, REPLY)),
    "requests": answer(
        "a.jsonl",
        jsonl(
            request=[{"contents": [{"role": "user", "parts": [{"text": a}]}]} for a in ASK], response=REPLY
        ),
    ),
    "batch requests": chat(
        "a.jsonl",
        jsonl(custom_id=IDS, method=["POST"] * N, body=[{"model": "m", "messages": t} for t in TURNS]),
    ),
    "arc": answer(
        "a.jsonl",
        jsonl(
            id=IDS,
            question=ASK,
            choices=[{"text": ["yes", "no"], "label": ["A", "B"]}] * N,
            answerKey=["A", "B"] * 6,
        ),
        prompt=f"question: {ASK[0]}\nchoices: A. yes\nB. no",
        target="A",
    ),
    "sciq": answer(
        "a.jsonl",
        jsonl(
            question=ASK,
            distractor1=["x"] * N,
            distractor2=["y"] * N,
            correct_answer=TOPICS,
            support=[LONG] * N,
        ),
        prompt=f"{LONG}\n\n{ASK[0]}",
        target="pets",
    ),
    "squad": answer(
        "a.json",
        dump({"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": LONG, "qas": SQUAD}]}]}),
        prompt=f"{LONG}\n\n{ASK[0]}",
    ),
    "squad in parquet": answer(
        "a.parquet",
        parquet(
            id=IDS,
            title=["t"] * N,
            context=[LONG] * N,
            question=ASK,
            answers=[{"text": [r], "answer_start": [0]} for r in REPLY],
        ),
        prompt=f"{LONG}\n\n{ASK[0]}",
    ),
    "xlam": chat(
        "a.json",
        dump(
            rows(
                id=range(N),
                query=ASK,
                answers=['[{"name": "book", "arguments": {"dogs": 3}}]'] * N,
                tools=['[{"name": "book"}]'] * N,
            )
        ),
        "prompt-completion",
        'Tools:\n[{"name": "book"}]',
        "book(dogs=3)",
    ),
    "prompt and conversation": chat("a.jsonl", jsonl(prompt=ASK, prompt_id=IDS, messages=TURNS)),
    "kto": answer("a.jsonl", jsonl(prompt=ASK, completion=REPLY, label=[True, False] * 6)),
    # conversations
    "messages": chat("a.jsonl", jsonl(messages=TURNS)),
    "sharegpt": chat("a.json", dump(rows(id=IDS, conversations=SHARE)), "sharegpt"),
    "sharegpt with a system column": chat(
        "a.jsonl", jsonl(conversations=SHARE, system=["Be kind."] * N), "sharegpt", "Be kind."
    ),
    "python list in a csv": chat(
        "a.csv", table(["conversations"], [str(turns) for turns in SHARE]), "sharegpt"
    ),
    "bare conversations": chat("a.json", dump(TURNS)),
    "vertex": chat(
        "a.jsonl",
        jsonl(
            systemInstruction=[{"role": "system", "parts": [{"text": "Be kind."}]}] * N,
            contents=[
                [{"role": "user", "parts": [{"text": a}]}, {"role": "model", "parts": [{"text": r}]}]
                for a, r in zip(ASK, REPLY, strict=True)
            ],
        ),
        before="Be kind.",
    ),
    "converse": chat(
        "a.jsonl",
        jsonl(
            schemaVersion=["v1"] * N,
            system=[[{"text": "Be kind."}]] * N,
            messages=[
                [{"role": t["role"], "content": [{"text": t["content"]}]} for t in turns] for turns in TURNS
            ],
        ),
        before="Be kind.",
    ),
    "xtuner": chat(
        "a.json",
        dump(
            rows(
                conversation=[
                    [{"system": "Be kind.", "input": a, "output": r}] for a, r in zip(ASK, REPLY, strict=True)
                ]
            )
        ),
        before="Be kind.",
    ),
    "firefly": chat(
        "a.jsonl",
        jsonl(
            conversation_id=range(N),
            conversation=[[{"human": a, "assistant": r}] for a, r in zip(ASK, REPLY, strict=True)],
        ),
    ),
    "texts in turn": chat("a.jsonl", jsonl(dialog=[[a, r] for a, r in zip(ASK, REPLY, strict=True)])),
    "history": Dialect(
        "a.json",
        dump(rows(instruction=ASK, input=[""] * N, output=REPLY, history=[[["Hi", "Hello"]]] * N)),
        "alpaca",
        None,
        [("user", "Hi"), ("assistant", "Hello"), ("user", ASK[0])],
        REPLY[0],
    ),
    # preference pairs
    "preference": answer(
        "a.jsonl", jsonl(prompt=ASK, chosen=REPLY, rejected=["No."] * N), format="preference"
    ),
    "orpo": answer(
        "a.jsonl",
        jsonl(prompt=ASK, chosen=TURNS, rejected=TURNS[::-1], score_chosen=[4.5] * N),
        format="preference",
    ),
    "chosen turns alone": chat("a.jsonl", jsonl(chosen=TURNS, rejected=TURNS[::-1]), "preference"),
    "openai preference": answer(
        "a.jsonl",
        jsonl(
            input=[{"messages": t[:1]} for t in TURNS],
            preferred_output=[t[1:] for t in TURNS],
            non_preferred_output=[t[1:] for t in TURNS],
        ),
        format="preference",
    ),
    "sharegpt preference": chat(
        "a.json",
        dump(
            rows(
                conversations=[t[:1] for t in SHARE],
                chosen=[t[1] for t in SHARE],
                rejected=[t[1] for t in SHARE],
            )
        ),
        "preference",
    ),
    "hh": chat(
        "a.jsonl", jsonl(chosen=[f"\n\n{s}" for s in SHARED], rejected=[f"\n\n{s}" for s in SHARED]), "text"
    ),
    # one text
    "guanaco": chat("a.jsonl", text("### Human: {a}### Assistant: {r}"), "text"),
    "chatml": chat(
        "a.jsonl",
        text(
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n{a}<|im_end|>\n"
            "<|im_start|>assistant\n{r}<|im_end|>\n"
        ),
        "text",
        "Be kind.",
    ),
    "llama 3": chat(
        "a.jsonl",
        text(
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{a}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{r}<|eot_id|>"
        ),
        "text",
    ),
    "gemma": chat(
        "a.jsonl",
        text("<bos><start_of_turn>user\n{a}<end_of_turn>\n<start_of_turn>model\n{r}<end_of_turn>\n"),
        "text",
    ),
    "inst": chat(
        "a.jsonl", text("<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n{a} [/INST] {r} </s>"), "text", "Be kind."
    ),
    "alpaca text": chat(
        "a.jsonl",
        text("Below is a task.\n\n### Instruction:\n{a}\n\n### Response:\n{r}"),
        "text",
        "Below is a task.",
    ),
    "q and a text": chat("a.jsonl", text("Q: {a}\nA: {r}"), "text"),
    "glaive": chat(
        "a.jsonl",
        jsonl(
            system=["Be kind."] * N,
            chat=[f"USER: {a}\n\n\nASSISTANT: {r} <|endoftext|>" for a, r in zip(ASK, REPLY, strict=True)],
        ),
        "text",
        "Be kind.",
    ),
    # spans
    "doccano": answer(
        "a.jsonl",
        jsonl(id=range(N), text=NAMED, label=[[[0, t.index(" "), "PER"]] for t in NAMED]),
        NAMED[0],
        PER,
        "spans",
    ),
    "spacy pairs": answer(
        "a.json", dump([[t, {"entities": [[0, t.index(" "), "PER"]]}] for t in NAMED]), NAMED[0], PER, "spans"
    ),
    "entities": answer(
        "a.jsonl",
        jsonl(text=NAMED, entities=[[{"start": 0, "end": t.index(" "), "label": "PER"}] for t in NAMED]),
        NAMED[0],
        PER,
        "spans",
    ),
    "tokens and tags": answer("a.jsonl", jsonl(tokens=TAGGED, ner_tags=TAGS), "Ada met Bo Li", WHO, "spans"),
    "tags with class names": answer(
        "a.parquet",
        parquet(
            names({"ner_tags": {"feature": {"names": ["O", "B-WHO", "I-WHO"]}}}),
            id=IDS,
            tokens=TAGGED,
            ner_tags=[[1, 0, 1, 2]] * N,
        ),
        "Ada met Bo Li",
        WHO,
        "spans",
    ),
    "conll": answer("train.conll", CONLL.encode(), "Ada met Bo Li", WHO),
    # translations
    "translation dict": Dialect(
        "a.jsonl",
        jsonl(id=IDS, translation=[{"en": a, "fr": r} for a, r in zip(ASK, REPLY, strict=True)]),
        "translation",
        "translation",
        [("user", ASK[0])],
        REPLY[0],
    ),
    "language columns": Dialect(
        "a.csv",
        table(["English", "German"], ASK, REPLY),
        "translation",
        "translation",
        [("user", ASK[0])],
        REPLY[0],
    ),
    "language codes with an index": Dialect(
        "a.tsv",
        table(["", "en", "zh"], range(N), ASK, REPLY, mark="\t"),
        "translation",
        "translation",
        [("user", ASK[0])],
        REPLY[0],
    ),
    # marks
    "arrow marks": answer(
        "a.jsonl", jsonl(prompt=[f"{a} ->" for a in ASK], completion=[f" {r}\n" for r in REPLY])
    ),
    "stop words": answer(
        "a.jsonl",
        jsonl(prompt=[f"{a}\n\n###\n\n" for a in ASK], completion=[f" {t} END" for t in TOPICS]),
        target="pets",
    ),
}


def test_there_are_enough() -> None:
    assert len(DIALECTS) >= 80


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects(tmp_path: Path, name: str) -> None:
    want = DIALECTS[name]
    path = tmp_path / want.name
    path.write_bytes(want.content)
    loaded = read_examples(path)
    first = loaded.examples[0]
    prompt = [(message.role, message.content) for message in first.prompt]
    assert (loaded.format, loaded.hint, prompt, first.target) == (
        want.format,
        want.hint,
        want.prompt,
        want.target,
    )
    assert len(loaded.examples) + len(loaded.left_out) in (8, N)
