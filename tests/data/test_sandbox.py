"""Hostile chat templates are refused quickly; honest ones run as transformers runs them."""

from __future__ import annotations

import pytest

from rung.data.sandbox import MAX_BYTES, Template
from rung.data.traced import own, plain, traced
from rung.errors import BaseModelError

HOSTILE = {
    "escape": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "escape by format": "{{ '{0.__class__}'.format(messages) }}",
    "escape by map": "{{ [''] | map(attribute='__class__') | list }}{{ ''['__class__'].mro() }}",
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "endless macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "recursive loop": "{% for a in [[1]] recursive %}{{ loop([a]) }}{% endfor %}",
    "times": "{{ 'a' * 10000000000 }}",
    "list times": "{{ [1] * 10000000000 }}",
    "power": "{{ 9 ** 999999999 }}",
    "padding": "{{ 'a' | center(10000000000) }}",
    "padding by method": "{{ 'a'.ljust(10000000000) }}",
    "padding by percent": "{{ '%10000000000d' % 1 }}",
    "padding by format": "{{ '%10000000000d' | format(1) }}",
    "padding by date": "{{ strftime_now('%999999999Y') }}",
    "doubling": "{% set n = namespace(s='ab') %}"
    "{% for i in range(64) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    "doubling by plus": "{% set n = namespace(s='ab') %}"
    "{% for i in range(64) %}{% set n.s = n.s + n.s %}{% endfor %}",
    "replacing": "{% set n = namespace(s='a') %}"
    "{% for i in range(64) %}{% set n.s = n.s.replace('a', 'aaaaaaaa') %}{% endfor %}",
    "joining": "{{ range(10000) | join('a' * 100000) }}",
    "joining what map gives": "{{ range(10000) | map('string') | join('a' * 100000) }}",
    "much text": "{{ lipsum(n=10000000) }}",
    "writing": "{% set s = 'a' * 100000 %}{% for i in range(10000) %}{{ s }}{% endfor %}",
    "a number of 5,000 digits": "{{ " + "9" * 5000 + " }}",
    "a place beyond every list": "{{ messages[99] + 1 }}",
    "files": "{% include '/etc/passwd' %}",
    "size": "{# " + "a" * MAX_BYTES + " #}",
    "depth": "{{ " + "(" * 9000 + "1" + ")" * 9000 + " }}",
    "changes what it is given": "{{ messages.append(1) }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates_are_refused(name: str) -> None:
    with pytest.raises(BaseModelError):
        Template(HOSTILE[name]).render([{"role": "user", "content": "hi"}])


def test_budgets_are_those_of_one_rendering() -> None:
    template = Template("{% for i in range(9000) %}{% endfor %}{{ messages[0].content }}")
    for _ in range(4):
        assert template.render([{"role": "user", "content": "hi"}]) == "hi"


def test_what_honest_templates_use_works() -> None:
    source = """{%- set ns = namespace(seen=0) %}
{%- macro turn(m) %}{{ m.role ~ ': ' ~ m['content'] | trim }}{% endmacro %}
{%- for m in messages if m.role != 'tool' %}
    {%- if loop.index0 % 2 == 1 and not loop.last %}{% continue %}{% endif %}
    {%- set ns.seen = ns.seen + 1 %}
    {%- generation %}{{ turn(m) }};{% endgeneration %}
{%- endfor %}
{{- '%s' % ns.seen }} {{ {'a': ['<', 'é']} | tojson }} {{ 'a,b'.split(',') | join('-') }}
{{- strftime_now('%B') | length > 2 }}{{ tools is none }}{{ bos_token }}"""
    messages = [{"role": r, "content": c} for r, c in (("user", " hi "), ("assistant", "x"), ("user", "ho"))]
    text = Template(source).render(messages, bos_token="<s>")
    assert text == 'user: hi;user: ho;2 {"a": ["<", "é"]} a-bTrueTrue<s>'


def test_filters_that_look_at_the_messages_work() -> None:
    source = """{{ messages | map(attribute='content') | join('+') }}
{{- (messages | selectattr('role', 'equalto', 'user') | list)[-1].content }}"""
    messages = [{"role": r, "content": c} for r, c in (("user", "a"), ("assistant", "b"))]
    assert Template(source).render(messages) == "a+ba"


@pytest.mark.parametrize(
    "source",
    [
        "{{ '<' + m.content + '>' }}",
        "{{ '<' ~ m.content ~ '>' }}",
        "<{{ m.content }}>",
        "<{{ m.content | trim | string | replace('x', 'y') }}>",
        "{% set x %}<{{ m.content }}>{% endset %}{{ x }}",
        "{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(m.content) }}",
        "{% macro f() %}<{{ caller() }}>{% endmacro %}{% call f() %}{{ m.content }}{% endcall %}",
        "{% filter trim %}<{{ m.content }}>{% endfilter %}",
        "{{ ['<', m.content, '>'] | join }}",
        "{{ '<%s>'.replace('%s', m.content) }}",
        "{{ ''.join(['<', m.content, '>']) }}",
        "{% set ns = namespace(x='<') %}{% set ns.x = ns.x + m['content'] + '>' %}{{ ns.x }}",
        "<{{ m.content if m.content else 'no' }}>",
        "<{{ (m.content | list)[0] }}{{ m.content[1:3] }}{{ m.content.split('é')[-1] }}>",
        "<{{ (m.content.split('é') | first) + (m.content.split('é') | last) }}>",
    ],
)
def test_a_message_keeps_its_origin(source: str) -> None:
    content = "one\ntwé 3"
    written = Template("{% set m = messages[0] %}" + source).render(
        [{"role": "user", "content": traced(content, 0)}]
    )
    assert written.startswith("<on")
    assert "".join(written[a:b] for a, b in own(written)) == "<>"
    assert not set(plain(written[1:-1])) - set(content)


def test_long_messages_have_a_larger_budget() -> None:
    long = traced("word " * 100_000, 0)
    source = "{% for m in messages %}{{ m.content.split('x')[-1] | trim + '</s>' }}{% endfor %}"
    written = Template(source).render([{"role": "user", "content": long}] * 300)
    assert len(written) == 300 * (499_999 + 4)


def test_a_refusal_of_the_template_keeps_its_words() -> None:
    with pytest.raises(BaseModelError, match="turns: Roles must alternate"):
        Template("{{ raise_exception('Roles must alternate') }}").render([])


def test_an_odd_template_gives_no_warning_of_python(recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(BaseModelError):
        Template("{{ 1[2] }}{{ 3('x') }}").render([])
    assert not recwarn.list
