"""Kinds of files that people have, each in a small version of our own: read as meant, or clearly refused."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rung.config import Columns
from rung.data.formats import Loaded, read_examples
from rung.errors import DataError

N = 12
ASK = [f"Can you move my visit of the {n + 2}th to a later day?" for n in range(N)]
REPLY = [f"Your visit of the {n + 2}th is now in week {n + 20}, at the same desk." for n in range(N)]
TOPIC = ["move", "cancel", "parking"]
TOPICS = [TOPIC[n % 3] for n in range(N)]
USER = [{"role": "user", "content": ask} for ask in ASK]
BOT = [{"role": "assistant", "content": reply} for reply in REPLY]
CHATS = [list(turns) for turns in zip(USER, BOT, strict=True)]
FIRST = [("user", ASK[0]), ("assistant", REPLY[0])]
LABELLED = [("user", ASK[0]), ("assistant", "move")]

Read = Callable[..., Loaded]


def table(header: Sequence[str] | None, *columns: Sequence[Any], mark: str = ",") -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=mark)
    writer.writerows([header] if header else [])
    writer.writerows(zip(*columns, strict=True))
    return buffer.getvalue()


def lines(**columns: Sequence[Any]) -> str:
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(name: str, content: str | bytes, said: Columns | None = None) -> Loaded:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_examples(path, said or Columns())

    return read


def first(loaded: Loaded) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in loaded.examples[0].messages]


def targets(loaded: Loaded) -> dict[str, int]:
    return dict(Counter(example.target for example in loaded.examples))


def refusal(read: Read, name: str, content: str | bytes, said: Columns | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read(name, content, said)
    return str(caught.value)


def test_separators_of_completion_models(read: Read) -> None:
    labels = read(
        "a.jsonl", lines(prompt=[f"{a}\n\n###\n\n" for a in ASK], completion=[f" {t} END" for t in TOPICS])
    )
    assert (first(labels), targets(labels)) == (LABELLED, dict.fromkeys(TOPIC, 4))
    assert labels.warnings == (
        r"every prompt ends with '\n\n###\n\n' and every target ends with ' END': "
        "marks of completion models, left out",
    )
    arrow = read("b.jsonl", lines(prompt=[f"{a} ->" for a in ASK], completion=[f" {r}\n" for r in REPLY]))
    assert first(arrow) == FIRST
    hashes = read("c.jsonl", lines(prompt=ASK, completion=[f" {n}###" for n in range(N)]))
    assert [example.target for example in hashes.examples[:2]] == ["0", "1"]


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        ("a.gz", gzip.compress(lines(text=ASK, label=TOPICS).encode()), None),
        (
            "a.csv",
            table(["text", "label"], ASK, TOPICS, mark=";").replace("visit", "Besüch").encode("cp1252"),
            "Windows-1252",
        ),
        ("a.tsv", table(["text", "label"], ASK, TOPICS, mark="\t").encode("utf-16"), "read as UTF-16 text"),
        ("b.csv", "sep=;\r\n" + table(["text", "label"], ASK, TOPICS, mark=";"), None),
        ("a.jsonl", "# from the desk\n" + lines(text=ASK, label=TOPICS), "1 comment line left out"),
        ("b.jsonl", "// from the desk\n" + lines(text=ASK, label=TOPICS), "1 comment line left out"),
    ],
)
def test_containers(read: Read, name: str, content: str | bytes, note: str | None) -> None:
    loaded = read(name, content)
    assert (loaded.format, loaded.hint) == ("text-label", "classification")
    assert targets(loaded) == dict.fromkeys(TOPIC, 4)
    assert [note in said for said in loaded.warnings] == ([True] if note else [])


def test_a_context_is_part_of_the_prompt(read: Read) -> None:
    tables = [f"CREATE TABLE visits_{n} (day, desk)" for n in range(N)]
    asked = [f"Which days has desk {n}?" for n in range(N)]
    sql = [f"SELECT day FROM visits_{n} WHERE desk = {n}" for n in range(N)]
    loaded = read("a.jsonl", lines(question=asked, answer=sql, context=tables))
    assert loaded.format == "prompt-completion"
    assert first(loaded) == [("user", f"{tables[0]}\n\n{asked[0]}"), ("assistant", sql[0])]
    assert loaded.parts_line == "prompt: context, question; target: answer"


def test_empty_columns_of_a_spreadsheet(read: Read) -> None:
    empty = [""] * N
    loaded = read("a.csv", table(["v1", "v2", "", "", ""], ["ham", "spam"] * 6, ASK, empty, empty, empty))
    assert (loaded.hint, loaded.parts_line) == ("classification", "prompt: v2; target: v1")
    assert targets(loaded) == {"ham": 6, "spam": 6}
    some = ["", "see you", *[""] * (N - 2)]
    loaded = read("b.csv", table(["v1", "v2", "", ""], ["ham", "spam"] * 6, ASK, some, empty))
    assert loaded.parts_line == "prompt: v2; target: v1; not used: column 3"


def test_several_fields_are_named_together(read: Read) -> None:
    rows = lines(notice=ASK, Room=["mint", "teal"] * 6, Desk=["a", "b", "c"] * 4, Floor=[None] * N)
    text = refusal(read, "a.jsonl", rows)
    assert "`rung check a.jsonl --prompt notice --completion Room,Desk,Floor`" in text
    loaded = read("a.jsonl", rows, Columns(prompt=("notice",), completion=("Room", "Desk", "Floor")))
    assert first(loaded)[-1] == ("assistant", '{"Room": "mint", "Desk": "a", "Floor": null}')


def test_a_dict_of_languages(read: Read) -> None:
    pairs = [{"en": a, "xx": r} for a, r in zip(ASK, REPLY, strict=True)]
    loaded = read("a.jsonl", lines(id=[f"s{n}" for n in range(N)], translation=pairs))
    assert (loaded.format, loaded.hint, loaded.languages) == ("translation", "translation", ("English", "xx"))
    assert first(loaded) == FIRST
    assert (
        "read as translation from en to xx; the other way round: --prompt xx --completion en"
        in loaded.warnings
    )
    back = read("a.jsonl", lines(translation=pairs), Columns(prompt=("xx",), completion=("en",)))
    assert first(back) == [("user", REPLY[0]), ("assistant", ASK[0])]


def test_parallel_text_files(read: Read, tmp_path: Path) -> None:
    (tmp_path / "talk.xx").write_text("\n".join(REPLY))
    text = refusal(read, "talk.en", "\n".join(ASK))
    assert (
        r"is plain text, one sentence a line. rung needs both sides in one file: paste talk.en talk.xx"
        in text
    )
    assert r"sed '1i en\txx' > pairs.tsv" in text


def test_values_of_json(read: Read) -> None:
    found = [{"desk": topic, "week": n} for n, topic in enumerate(TOPICS)]
    assert first(read("a.jsonl", lines(prompt=ASK, completion=found)))[-1][1] == '{"desk": "move", "week": 0}'
    calls = [[{"method": "GET", "url": f"/visits/{n}"}] for n in range(N)]
    assert (
        first(read("b.jsonl", lines(question=ASK, answer=calls)))[-1][1]
        == '[{"method": "GET", "url": "/visits/0"}]'
    )
    numbers = read("c.jsonl", lines(text=ASK, label=[n % 3 / 2 for n in range(N)]))
    assert (numbers.hint, targets(numbers)) == ("classification", {"0.0": 4, "0.5": 4, "1.0": 4})


@pytest.mark.parametrize("columns", [{"prompt": ASK, "completion": REPLY}, {"messages": CHATS}])
def test_unwanted_answers_are_left_out(read: Read, columns: dict[str, Any]) -> None:
    loaded = read("a.jsonl", lines(**columns, label=[True, False] * 6))
    assert (len(loaded.examples), first(loaded)) == (6, FIRST)
    assert [row for row, _ in loaded.left_out] == [2, 4, 6, 8, 10, 12]
    assert {why for _, why in loaded.left_out} == {"'label' is false, which marks an answer as unwanted"}


def test_weights_of_turns(read: Read) -> None:
    def chat(n: int, earlier: int, last: int) -> list[dict[str, Any]]:
        return [
            USER[n],
            {**BOT[n], "weight": earlier},
            {"role": "user", "content": "Sure?"},
            {**BOT[0], "weight": last},
        ]

    loaded = read("a.jsonl", lines(messages=[chat(n, n % 2, 1) for n in range(N)]))
    assert [message.learn for message in loaded.examples[0].messages] == [True, False, True, True]
    assert [message.learn for message in loaded.examples[1].messages] == [True] * 4
    assert loaded.warnings == ()
    loaded = read("b.jsonl", lines(messages=[chat(n, 1, int(n > 2)) for n in range(N)]))
    assert [row for row, _ in loaded.left_out] == [1, 2, 3]
    assert loaded.left_out[0][1].startswith("its target has weight 0")


def test_a_table_without_a_header(read: Read) -> None:
    loaded = read("a.tsv", table(None, ASK, TOPICS, mark="\t"))
    assert (loaded.hint, targets(loaded), first(loaded)) == (
        "classification",
        dict.fromkeys(TOPIC, 4),
        LABELLED,
    )
    assert any("the first line looks like a row, not like column names" in note for note in loaded.warnings)


def test_files_that_are_no_tables(read: Read) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n"
    for name in ("a.jsonl", "a.csv", "a.gz", "a.parquet"):
        assert "is a Git LFS pointer, not the file itself. Run `git lfs pull`" in refusal(read, name, pointer)
    conll = read("a.conll", "".join(f"meet O\nAda B-WHO\nin O\nHull{n} B-CITY\n\n" for n in range(N)))
    assert first(conll) == [
        ("user", "meet Ada in Hull0"),
        ("assistant", '{"WHO": ["Ada"], "CITY": ["Hull0"]}'),
    ]
    asks = [f"    - {ask.replace('visit', '[visit](thing)')}\n" for ask in ASK]
    intents = [f"- intent: {topic}\n  examples: |\n{''.join(asks[i::3])}" for i, topic in enumerate(TOPIC)]
    rasa = read("nlu.yml", 'version: "3.1"\n\nnlu:\n' + "".join(intents))
    assert (rasa.hint, targets(rasa), first(rasa)) == ("classification", dict.fromkeys(TOPIC, 4), LABELLED)


def test_labels_that_are_numbers(read: Read) -> None:
    binary = read(
        "a.csv", table(["text", "label"], ASK, [0, 1] * 6), Columns(label_names={"0": "no", "1": "yes"})
    )
    assert targets(binary) == {"no": 6, "yes": 6}
    assert targets(read("b.csv", table(["text", "label"], ASK, ["1.0", "2.0"] * 6))) == {"1.0": 6, "2.0": 6}


@pytest.mark.parametrize(
    ("name", "content", "line", "messages"),
    [
        (
            "a.csv",
            table(["qs", "intents"], ASK, [f" {t}" for t in TOPICS]),
            "prompt: qs; target: intents",
            LABELLED,
        ),
        (
            "b.csv",
            table(["Frage", "Antwort", "Quelle"], ASK, REPLY, ["Heft"] * N),
            "prompt: Frage; target: Antwort; not used: Quelle",
            FIRST,
        ),
        (
            "c.csv",
            table(["", "instruction", "Category"], range(N), ASK, TOPICS),
            "prompt: instruction; target: Category; id: column 1",
            LABELLED,
        ),
        ("d.csv", table(["Text", "Label"], ASK, TOPICS), "prompt: Text; target: Label", LABELLED),
        ("e.jsonl", lines(input=ASK, output=REPLY), "prompt: input; target: output", FIRST),
        ("f.jsonl", lines(query=ASK, response=REPLY), "prompt: query; target: response", FIRST),
        (
            "g.tsv",
            table(["review", "helpful"], ASK, TOPICS, mark="\t"),
            "prompt: review; target: helpful",
            LABELLED,
        ),
    ],
)
def test_names_of_columns(
    read: Read, name: str, content: str, line: str, messages: list[tuple[str, str]]
) -> None:
    loaded = read(name, content)
    assert (loaded.parts_line, first(loaded)) == (line, messages)


def test_class_names_in_parquet(read: Read) -> None:
    features = {"text": {"dtype": "string"}, "label": {"names": TOPIC, "_type": "ClassLabel"}}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    numbers = [TOPIC.index(topic) for topic in TOPICS[:-1]] + [-1]
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ASK, "label": numbers}).replace_schema_metadata(about), buffer)
    loaded = read("a.parquet", buffer.getvalue())
    assert (first(loaded), targets(loaded)) == (LABELLED, {"move": 4, "cancel": 4, "parking": 3, "": 1})
    assert loaded.warnings == (
        "the numbers in 'label' are read by the class names in the file (move, cancel, parking)",
    )


def test_a_table_with_vertical_bars(read: Read) -> None:
    titles = [f"Well, visit {n}" for n in range(N)]
    texts = [f"Fine, quick, desk {n} was open" for n in range(N)]
    loaded = read(
        "a.csv", table(["id", "title", "text", "rating"], range(N), titles, texts, [5, 1, 3] * 4, mark="|")
    )
    assert loaded.parts_line == "prompt: title, text; target: rating; id: id"
    assert first(loaded) == [("user", f"title: {titles[0]}\ntext: {texts[0]}"), ("assistant", "5")]
    uneven = refusal(read, "b.csv", "id|title\n1|a|b\n")
    assert "row 1 (line 2) has 3 cells where the header has 2, with a vertical bar between" in uneven


@pytest.mark.parametrize(
    "columns",
    [
        {"prompt": ASK, "chosen": REPLY, "rejected": ["No."] * N},
        {"chosen": CHATS, "rejected": [[turn, {"role": "assistant", "content": "No."}] for turn in USER]},
        {
            "input": [{"messages": [turn]} for turn in USER],
            "preferred_output": [[turn] for turn in BOT],
            "non_preferred_output": [[{"role": "assistant", "content": "No."}]] * N,
        },
        {
            "conversations": [[{"from": "human", "value": ask}] for ask in ASK],
            "chosen": [{"from": "gpt", "value": reply} for reply in REPLY],
            "rejected": [{"from": "gpt", "value": "No."}] * N,
        },
    ],
)
def test_of_a_pair_the_chosen_answer_is_learned(read: Read, columns: dict[str, Any]) -> None:
    loaded = read("a.jsonl", lines(**columns))
    assert (loaded.format, first(loaded)) == ("preference", FIRST)
    assert {example.facts["rejected"] for example in loaded.examples} == {"No."}
    assert loaded.warnings == ()


@pytest.mark.parametrize("names", [("text", "text_pair"), ("sentence1", "sentence2"), ("subject", "text")])
def test_several_inputs_are_joined_under_their_names(read: Read, names: tuple[str, str]) -> None:
    loaded = read("a.csv", table(["id", *names, "label"], range(N), ASK, REPLY, TOPICS))
    assert first(loaded) == [("user", f"{names[0]}: {ASK[0]}\n{names[1]}: {REPLY[0]}"), ("assistant", "move")]
    assert loaded.parts_line == f"prompt: {', '.join(names)}; target: label; id: id"


def test_spans_of_a_text(read: Read) -> None:
    texts = [f"ada{n} waits in hull" for n in range(N)]
    spans = [
        [
            {"start": len(t) - 4, "end": len(t), "label": "CITY"},
            {"start": 0, "end": t.index(" "), "label": "PERSON"},
        ]
        for t in texts
    ]
    loaded = read("a.jsonl", lines(text=texts, entities=[*spans[:-1], []]))
    assert first(loaded) == [("user", texts[0]), ("assistant", '{"PERSON": ["ada0"], "CITY": ["hull"]}')]
    assert loaded.examples[-1].target == "{}"
    wrong = [*spans[:-1], [{"start": 0, "end": 99, "label": "CITY"}]]
    assert "line 12 has an entity from 0 to 99 where the text has 19" in refusal(
        read, "b.jsonl", lines(text=texts, entities=wrong)
    )


def test_system_and_history_are_kept(read: Read) -> None:
    system = ["Answer as a calm clerk."] * N
    history = [[["Hello", "Hello, how can I help?"]]] * N
    loaded = read(
        "a.jsonl", lines(instruction=ASK, input=[""] * N, output=REPLY, system=system, history=history)
    )
    before = [("user", "Hello"), ("assistant", "Hello, how can I help?")]
    assert (loaded.format, first(loaded)) == ("alpaca", [("system", system[0]), *before, *FIRST])
    loaded = read("b.jsonl", lines(conversations=CHATS, system=system))
    assert first(loaded) == [("system", system[0]), *FIRST]


@pytest.mark.parametrize(
    ("form", "before"),
    [
        (
            "<|im_start|>system\nBe calm.<|im_end|>\n<|im_start|>user\n{a}<|im_end|>\n"
            "<|im_start|>assistant\n{r}<|im_end|>",
            True,
        ),
        ("<s>[INST] {a} [/INST] {r} </s>", False),
        ("Be calm.\n\n### Instruction:\n{a}\n\n### Response:\n{r}", True),
        ("Q: {a}\nA: {r}", False),
    ],
)
def test_conversations_in_one_text(read: Read, form: str, before: bool) -> None:
    texts = [form.format(a=ask, r=reply) for ask, reply in zip(ASK, REPLY, strict=True)]
    loaded = read("a.jsonl", lines(text=texts))
    assert first(loaded) == [*([("system", "Be calm.")] if before else []), *FIRST]
    assert loaded.format == "text"
    assert "each text is cut into prompt and answer at " in loaded.warnings[0]


def test_a_text_without_marks(read: Read) -> None:
    text = refusal(read, "a.jsonl", lines(text=REPLY))
    assert "holds text without a prompt (column 'text')" in text
    assert "rung compares prompts with tuning and needs to know where the answer begins" in text
    assert first(read("a.jsonl", lines(text=REPLY), Columns(text="text"))) == [("assistant", REPLY[0])]


def test_tool_calls(read: Read) -> None:
    tools = [{"type": "function", "function": {"name": "move", "parameters": {}}}]
    chats = [
        [
            {"role": "developer", "content": "You run the desk."},
            turn,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "c",
                        "type": "function",
                        "function": {"name": "move", "arguments": json.dumps({"week": n, "who": "Ada"})},
                    }
                ],
            },
        ]
        for n, turn in enumerate(USER)
    ]
    loaded = read("a.jsonl", lines(messages=chats, tools=[tools] * N))
    system = f"You run the desk.\n\nTools:\n{json.dumps(tools)}"
    assert (loaded.format, first(loaded)) == (
        "messages",
        [("system", system), ("user", ASK[0]), ("assistant", 'move(week=0, who="Ada")')],
    )
    names = ("human", "function_call", "observation", "gpt")
    said = [
        (ask, '{"name": "move", "arguments": {"week": 9}}', '{"ok": true}', reply)
        for ask, reply in zip(ASK, REPLY, strict=True)
    ]
    shared = [
        [{"from": name, "value": value} for name, value in zip(names, one, strict=True)] for one in said
    ]
    loaded = read("b.jsonl", lines(conversations=shared))
    assert first(loaded) == [
        ("user", ASK[0]),
        ("assistant", "move(week=9)"),
        ("tool", '{"ok": true}'),
        FIRST[1],
    ]


def test_equal_reasons_are_said_once(read: Read) -> None:
    chats = [[{"role": "clerk", "content": "a"}, turn] for turn in BOT]
    text = refusal(read, "a.jsonl", lines(messages=chats))
    assert "each of lines 1 to 5 and 7 more has the unknown role 'clerk' in turn 1" in text
    assert text.count("clerk' in turn") == 1


def test_typed_parts(read: Read) -> None:
    parts = [[{"type": "reasoning", "value": "Hm."}, {"type": "text", "value": reply}] for reply in REPLY]
    loaded = read(
        "a.jsonl",
        lines(
            messages=[
                [turn, {"role": "assistant", "content": p}] for turn, p in zip(USER, parts, strict=True)
            ]
        ),
    )
    assert first(loaded) == FIRST
    assert loaded.warnings == ("12 parts of reasoning left out of the answers",)
    image = [{"type": "image", "value": "x"}]
    text = refusal(
        read, "b.jsonl", lines(messages=[[{"role": "user", "content": image}, turn] for turn in BOT])
    )
    assert "has a part of type 'image' in turn 1" in text


def test_documents(read: Read) -> None:
    rows = [{"text": ask, "label": topic} for ask, topic in zip(ASK, TOPICS, strict=True)]
    wrapped = read("a.json", json.dumps({"version": 2, "data": rows}, indent=1))
    assert (first(wrapped), len(wrapped.examples)) == (LABELLED, N)
    two = refusal(read, "b.json", json.dumps({"train": rows[:9], "test": rows[9:]}))
    assert "holds 2 lists of rows: 'train' (9), 'test' (3). Save each as a separate file; " in two
    assert "the test rows go to --test" in two
    intents = [{"tag": t, "patterns": ASK[i::3], "responses": REPLY[:1]} for i, t in enumerate(TOPIC)]
    chatbot = read("c.json", json.dumps({"intents": intents}))
    assert (first(chatbot), targets(chatbot)) == (LABELLED, dict.fromkeys(TOPIC, 4))
    assert "responses are not used" in chatbot.warnings
    qas = [
        {
            "id": n,
            "question": ask,
            "answers": [{"text": reply, "answer_start": 0}] * (n != 3),
            "is_impossible": n == 3,
        }
        for n, (ask, reply) in enumerate(zip(ASK, REPLY, strict=True))
    ]
    squad = read(
        "d.json",
        json.dumps({"version": "2.0", "data": [{"paragraphs": [{"context": "Desks.", "qas": qas}]}]}),
    )
    assert first(squad) == [("user", f"Desks.\n\n{ASK[0]}"), FIRST[1]]
    assert (len(squad.examples), "1 question without an answer left out" in squad.warnings) == (N - 1, True)
    other = refusal(read, "e.json", json.dumps({"version": "1", "body": {"x": 1}}))
    assert "is one JSON object with the keys 'version', 'body'; rung reads a list of rows" in other


def test_long_labels_and_scripts_without_spaces(read: Read) -> None:
    long = [f"{topic}, or any other wish that a guest may have about a visit" for topic in TOPICS]
    loaded = read("a.csv", table(["text", "label"], ASK, long))
    assert (loaded.hint, len(targets(loaded))) == ("classification", 3)
    chinese = read(
        "b.csv", table(["文本", "标签"], [f"第{n}号房间太吵了" for n in range(N)], ["负面", "正面"] * 6)
    )
    assert (chinese.hint, targets(chinese)) == ("classification", {"负面": 6, "正面": 6})
