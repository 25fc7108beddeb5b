"""Templates: values are data wherever they stand, never syntax."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.engine.template import fill, names, read_body
from ltr.errors import ConfigError, DataError

NASTY = [
    '"',
    "\\",
    '"}]}',
    "{{query}}",
    "{{size}}",
    "a OR b*",
    "title:x~2",
    "\n",
    '{"match_all":{}}',
    "é\u2028\x00",
    "\\1",
]
TEMPLATE = {"query": {"match": {"title": "{{query}}"}}, "from": "{{from}}", "aggs": ["{{query}} x", 1, None, True]}


@pytest.mark.parametrize("text", NASTY)
def test_a_query_is_put_in_as_it_is(text):
    filled = fill(TEMPLATE, query=text)
    assert filled["query"]["match"]["title"] == text
    assert filled["aggs"][0] == f"{text} x"
    assert json.loads(json.dumps(filled)) == filled


@given(text=st.text())
def test_what_is_put_in_is_not_looked_into_again(text):
    assert fill({"a": "{{query}}", "b": "{{other}}"}, query=text, other="{{query}}") == {"a": text, "b": "{{query}}"}
    assert fill("<{{query}}>", query=text) == f"<{text}>"


def test_a_lone_name_takes_a_value_of_any_type():
    assert fill({"size": "{{size}}", "ids": "{{ ids }}"}, size=10, ids=["a"]) == {"size": 10, "ids": ["a"]}
    assert fill("size {{size}}", size=10) == "size 10"


def test_what_has_no_value_stays():
    assert fill(TEMPLATE) == TEMPLATE
    assert fill("{{a}} {{b}}", a=1) == "1 {{b}}"


def test_keys_and_the_template_itself_are_left_alone():
    template = {"{{query}}": ["{{query}}"]}
    assert fill(template, query="q") == {"{{query}}": ["q"]}
    assert template == {"{{query}}": ["{{query}}"]}


def test_names_are_found_anywhere_in_values():
    assert names(TEMPLATE) == {"query", "from"}
    assert names({"a": [{"b": "x {{ size }} y {{query}}"}]}) == {"size", "query"}
    assert names([1, None, "plain {query}"]) == set()


def test_a_body_is_read_from_a_file_that_says_where_the_words_go(tmp_path):
    path = tmp_path / "query.json"
    path.write_text('{"query": {"match": {"title": "{{ query }}"}}, "size": 3}', encoding="utf-8")
    assert read_body(path) == {"query": {"match": {"title": "{{ query }}"}}, "size": 3}
    for text, message in (
        ("{", "--body .* is not JSON"),
        ("[]", "no search body"),
        ('{"query": {}}', "no search body"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=message):
            read_body(path, option="--body")
    with pytest.raises(DataError, match="does not exist"):
        read_body(tmp_path / "none.json")
