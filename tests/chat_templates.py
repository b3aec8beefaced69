"""Chat templates in the style of well-known ones; tokenizers and random conversations for them."""

from __future__ import annotations

import random
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from rung.records import Message

SPECIAL = ("<pad>", "<s>", "<|im_start|>", "<|im_end|>", "<|sep|>", "<|turn|>")
OPEN = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
TURN = "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
CHATML = "{% for m in messages %}" + TURN + "{% endfor %}" + OPEN
DEFAULT_SYSTEM = (  # SmolLM2, Qwen2: a system turn of its own where the conversation has none
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful model.<|im_end|>\n' }}{% endif %}"
    + TURN
    + "{% endfor %}"
    + OPEN
)
BRACKETS = """\
{%- if messages[0]['role'] == 'system' -%}
    {%- set turns = messages[1:] -%}{%- set intro = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' -%}
{%- else -%}{%- set intro = '' -%}{%- set turns = messages -%}{%- endif -%}
{%- for m in turns -%}
    {%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}
        {{- raise_exception('Roles must alternate user/assistant/user/assistant/...') -}}
    {%- endif -%}
    {%- set content = intro + m.content if loop.index0 == 0 else m.content -%}
    {%- if m.role == 'user' -%}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
    {%- else -%}{{ ' ' + content.strip() + ' ' + eos_token }}{%- endif -%}
{%- endfor -%}"""  # Llama 2: the system text inside the first user turn
HEADERS = """\
{%- set ns = namespace(out='') %}
{%- for m in messages %}
    {%- set content = '<|im_start|>' + m['role'] + '<|sep|>\n\n' %}
    {%- if m.role == 'tool' %}{%- set content = content + (m.content | tojson) + '<|turn|>' %}
    {%- else %}{%- set content = content + m['content'] | trim + '<|turn|>' %}{%- endif %}
    {%- if loop.index0 == 0 %}{%- set content = bos_token + content %}{%- endif %}
    {%- set ns.out = ns.out ~ content %}
{%- endfor %}
{{- ns.out }}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant<|sep|>\n\n' }}{%- endif %}"""  # Llama 3
MODEL = """\
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for m in messages %}
    {%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Conversation roles must alternate') }}
    {%- endif %}
    {%- set role = 'model' if m['role'] == 'assistant' else m['role'] %}
    {{- '<|im_start|>' + role + '\n' + m['content'] | trim + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>model\n' }}{%- endif %}"""  # Gemma: no system role
SPACES = """\
{{- bos_token }}
{%- if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set turns = messages[1:] %}
{%- else %}{% set turns = messages %}{% endif %}
{%- for m in turns %}
    {%- if m.role == 'user' %}
        {%- if loop.last and system is defined %}{{ '[INST] ' + system + '\n\n' + m.content + '[/INST]' }}
        {%- else %}{{ '[INST] ' + m.content + '[/INST]' }}{% endif %}
    {%- elif m.role == 'assistant' %}{{ ' ' + m.content|trim + eos_token }}
    {%- else %}{{ raise_exception('Only user and assistant roles are supported') }}{% endif %}
{%- endfor %}"""  # Mistral: the system text in the last user turn
THOUGHTS = """\
{%- set ns = namespace(last=messages|length - 1, found=false) %}
{%- for m in messages[::-1] %}
    {%- if not ns.found and m.role == 'user' and not m.content.startswith('<result>') %}
        {%- set ns.last = messages|length - 1 - loop.index0 %}{% set ns.found = true %}
    {%- endif %}
{%- endfor %}
{%- for m in messages %}
    {%- if m.role == 'assistant' %}
        {%- set content, thought = m.content, '' %}
        {%- if '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\n' }}
        {%- if loop.index0 > ns.last and (loop.last or thought) %}
            {{- '<think>\n' + thought.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
        {%- else %}{{- content }}{% endif %}
        {{- '<|im_end|>\n' }}
    {%- else %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}
    {%- if '/no_think' in messages[-1].content %}{{- '<think>\n\n</think>\n\n' }}{% endif %}
{%- endif %}"""  # Qwen3: thoughts of earlier answers are dropped, a word opens the answer another way
EMPTY_SYSTEM = (  # skips a system turn without a text
    "{% for m in messages %}{% if m.role != 'system' or m.content | trim %}"
    + TURN
    + "{% endif %}{% endfor %}"
    + OPEN
)
NO_TOOLS = (  # writes nothing of a tool's turn
    "{% for m in messages %}{% if m.role in ['system', 'user', 'assistant'] %}"
    + TURN
    + "{% endif %}{% endfor %}"
    + OPEN
)
WORDS = """\
{%- macro turn(m) %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>' }}{% endmacro %}
{%- set json = messages | map(attribute='content') | join(' ') %}
{%- if 'JSON' in json %}{{- '<|im_start|>system\nWrite JSON.<|im_end|>' }}{% endif %}
{%- if messages[0].content[:5] == 'Hello' or messages[-1].content | length > 60 %}{{- 'Polite.' }}{% endif %}
{%- for m in messages %}
    {%- set said %}{{ turn(m) }}{% endset %}
    {%- if m.content.endswith('?') %}{{- 'Asked:' }}{% endif %}
    {{- said }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}"""  # switches on words and lengths
LINES = """\
{%- for m in messages %}
    {%- if m.role == 'system' %}{{ ['<|sep|>', m.content.replace('\r\n', '\n'), '\n\n'] | join }}
    {%- elif m.role == 'user' %}{{ '\n'.join(['### Question:', m.content, '']) }}
    {%- elif m.role == 'assistant' %}{{ '### Answer:\n{}'.replace('{}', m.content) + eos_token + '\n' }}
    {%- else %}{{ '### Result: ' ~ {'output': m.content, 'ok': true} | tojson ~ '\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '### Answer:\n' }}{% endif %}"""  # Alpaca: no special tokens between turns
SWITCH = """\
{%- set ns = namespace(think=true) %}
{%- macro shown(content) -%}
    {%- if content is string %}{{- content }}
    {%- elif content is iterable %}{%- for part in content %}{{- part.text }}{% endfor %}
    {%- endif %}
{%- endmacro -%}
{%- for m in messages %}
    {%- set content = shown(m.content) %}
    {%- if m.role == 'system' and '/no_think' in content %}
        {%- set ns.think = false %}{%- set content = content.replace('/no_think', '') | trim %}
    {%- elif m.role == 'assistant' %}
        {%- set parts = content.split('</think>') %}
        {%- if parts | length > 1 %}{%- set content = (parts | last).lstrip('\n') %}{% endif %}
    {%- endif %}
    {%- if m.role == 'tool' %}
        {%- if messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>tool\n[' }}{% endif %}
        {{- content }}{{ ']<|im_end|>\n' if loop.last or messages[loop.index0 + 1].role != 'tool' else ', ' }}
    {%- else %}{{- '<|im_start|>' ~ m.role ~ '\n' ~ content -}}{{ '<|im_end|>\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}
    {%- if not ns.think and (messages | selectattr('role', 'equalto', 'user') | list | length) %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}"""  # SmolLM3, Nemotron: a word of the system text is a switch and is taken out
TITLE = (  # begins with the first words of the conversation, and has them once more in their place
    "{{ 'Title: ' + messages[-1].content[:9] + '\n' }}" + CHATML
)
TEMPLATES = {
    "chatml": CHATML,
    "default system": DEFAULT_SYSTEM,
    "brackets": BRACKETS,
    "headers": HEADERS,
    "model": MODEL,
    "spaces": SPACES,
    "thoughts": THOUGHTS,
    "empty system": EMPTY_SYSTEM,
    "no tools": NO_TOOLS,
    "words": WORDS,
    "lines": LINES,
    "switch": SWITCH,
    "title": TITLE,
}

TEXTS = (
    "Hello there!",
    "What is the capital of France?",
    "  two  spaces at the ends ",
    "\n\nlines\n\nand lines\n",
    'He said "naïve 日本語 🙂" \\ C:\\new\r\n',
    "Write JSON. /no_think",
    "<think>\nfirst this,\nthen that</think>\n\nThe answer is 4.",
    "<think>nothing more</think>",
    "no opening</think>\nso it is",
    "<result>12</result>",
    "user",
    "assistant\n",
    "[INST] [/INST]",
    "{{ messages }} {% raise %}",
    "é" * 70,
    "",
    " ",
)


def byte_level(template: str | None = CHATML, **more: Any) -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {symbol: i for i, symbol in enumerate(alphabet)}
    merges = [("Ċ", "Ċ"), ("Ġ", "t"), ("h", "e"), ("l", "l"), ("Ġ", "Ġ")]
    vocab |= {a + b: len(vocab) + i for i, (a, b) in enumerate(merges)}
    core = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    names = {"bos_token": "<s>", "eos_token": "<|im_end|>", "pad_token": "<pad>"} | more
    return PreTrainedTokenizerFast(tokenizer_object=core, chat_template=template, **names)


def spaced(template: str | None, scheme: str) -> PreTrainedTokenizerFast:
    """A SentencePiece-like tokenizer that writes a space before a text."""
    letters = ["<unk>", "▁", "\n", *sorted(set("[/INST]Helloyuthrasigdcme:UA.,SPw"))]
    core = Tokenizer(models.BPE({text: i for i, text in enumerate(letters)}, [], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    core.decoder = decoders.Metaspace(prepend_scheme=scheme)
    core.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in ("<s>", "</s>")])
    start = core.token_to_id("<s>")
    core.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A $B", [("<s>", start)])
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=core, chat_template=template, **names)


def conversation(draw: random.Random) -> list[Message]:
    """Turns that end with a question or a tool's result, now and then in an unusual order."""
    system = [Message("system", draw.choice(TEXTS))] if draw.random() < 0.4 else []
    turns = [Message("user", draw.choice(TEXTS))]
    for _ in range(draw.randrange(4)):
        turns.append(Message("assistant", draw.choice(TEXTS), learn=draw.random() < 0.8))
        turns.append(Message("user" if draw.random() < 0.8 else "tool", draw.choice(TEXTS)))
    if draw.random() < 0.1:
        draw.shuffle(turns)
    return [*system, *turns]
