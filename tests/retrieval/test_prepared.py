import json

from hypothesis import given
from hypothesis import strategies as st

from ltr.engine import fill
from ltr.retrieval.prepared import CHARACTERS, WORDS, bounded, prepare
from ltr.text import analyzer

TEMPLATE = {
    "query": {
        "bool": {"must": [{"match": {"title": "{{query}}"}}], "filter": {"term": {"text": "about {{ query }}!"}}}
    },
    "size": 10,
    "ranges": [None, True, 0.5, "{{other}}"],
}

# Whatever a keyboard, a clipboard or an attacker may send; no half of a surrogate pair, which ``bounded`` takes out before.
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ['"}}]}', "{{query}}", "\\", "\x00\x1f\u2028", "title:red^3 OR (", "</script>", '{"match_all":{}}', "日本語 ガラス"]
)


@given(TEXTS)
def test_a_prepared_template_is_the_json_of_the_filled_one(text):
    assert json.loads(prepare(TEMPLATE).filled(text)) == fill(TEMPLATE, query=text)


def test_a_template_without_a_hole_stays_as_it_is():
    assert json.loads(prepare({"match_all": {}}).filled("red")) == {"match_all": {}}


@given(st.text())
def test_a_bounded_text_is_a_beginning_that_requests_can_carry(text):
    found = bounded(text)
    clean = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert clean.startswith(found)
    found.encode()
    assert bounded(found) == found


@given(st.lists(st.sampled_from(["red", "42.5", "men's", "東京", "wi-fi", "—", "ü"]), max_size=200))
def test_as_many_words_stay_as_are_allowed(words):
    text, terms = " ".join(words), analyzer("standard")
    kept = terms(bounded(text))
    assert kept == terms(text)[: len(kept)]
    assert len(kept) == min(len(terms(text)), WORDS)


def test_no_word_is_cut_in_two():
    words = [f"word{number}" for number in range(10_000)]
    assert bounded(" ".join(words)).split() == words[:WORDS]
    long = " ".join(["w" * 300] * 10)
    assert bounded(long).split() == ["w" * 300] * (CHARACTERS // 301)


def test_a_text_without_blanks_is_cut_all_the_same():
    assert len(bounded("x" * 5_000)) == CHARACTERS
    assert bounded("東" * 5_000) == "東" * WORDS


def test_halves_of_surrogate_pairs_become_replacement_characters():
    assert bounded("red \ud83d shoe") == "red \ufffd shoe"
    assert bounded("red \ud83d\ude00 shoe") == "red 😀 shoe"
