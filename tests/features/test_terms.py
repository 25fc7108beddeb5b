import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from ltr.features.terms import GAP, MAX_SENTENCES, characters, join, plain, read, sentences, spell, tokenise, trigrams
from ltr.text import TermStatistics, analyzer, idf

values = st.lists(st.lists(st.text(alphabet="ab é'-", max_size=8), max_size=3), max_size=6)


def test_null_and_empty_values_are_left_out():
    products = pl.DataFrame({"a": ["x", None, ""], "b": [["y", None, ""], None, ["z"]], "n": [1, None, 2]})
    assert read(products, ["a", "b"]) == [["x", "y"], [], ["z"]]
    assert read(products, ["n"]) == [["1"], [], ["2"]]


@given(values)
def test_tokens_are_the_terms_of_each_value_with_a_gap_between(cells):
    vocabulary = {}
    tokens = tokenise(cells, "standard", vocabulary)
    names = {number: term for term, number in vocabulary.items()} | {GAP: None}
    for row, product in enumerate(cells):
        found = [names[number] for number in tokens.ids[tokens.bounds[row] : tokens.bounds[row + 1]].tolist()]
        analysed = [terms for value in product if (terms := analyzer("standard")(value))]
        expected = [term for terms in analysed for term in [None, *terms]][1:]
        assert found == expected
        assert tokens.lengths[row] == sum(map(len, analysed))
    assert tokens.lengths[-1] == 0, "the product that the catalogue lacks"


@given(values)
def test_statistics_are_those_of_the_analysed_products(cells):
    tokens = tokenise(cells, "english", {})
    analysed = [[term for value in product for term in analyzer("english")(value)] for product in cells]
    expected = TermStatistics.count(analysed)
    assert tokens.statistics == expected
    assert tokens.average_length == expected.average_length
    assert tokens.idf[-1] == idf(0, expected.documents)


@given(values, values)
def test_joined_tokens_are_those_of_the_values_one_after_another(one, other):
    rows = min(len(one), len(other))
    vocabulary = {}
    parts = [tokenise(cells[:rows], "standard", vocabulary) for cells in (one, other)]
    both = join(parts)
    together = tokenise([a + b for a, b in zip(one, other, strict=False)], "standard", vocabulary)
    assert both.ids.tolist() == together.ids.tolist()
    assert both.bounds.tolist() == together.bounds.tolist()


@given(values)
def test_the_trigrams_of_a_row_are_the_union_of_those_of_its_values(cells):
    strings = spell(cells)
    grams, bounds, counts = strings.trigrams
    for row, product in enumerate(cells):
        expected = sorted({gram for value in product if plain(value) for gram in trigrams(plain(value)).tolist()})
        assert grams[bounds[row] : bounds[row + 1]].tolist() == expected
        assert counts[row] == len(expected)
    assert bounds[-1] == bounds[-2]


@given(values)
def test_characters_are_the_code_points_of_each_value(cells):
    strings = spell(cells)
    codes, cuts = strings.characters
    found = ["".join(map(chr, part)) for part in np.split(codes, cuts[1:-1])] if strings.values else []
    assert found == list(strings.values)


def test_sentences_end_at_marks_and_lines_and_are_bounded():
    assert sentences(["Dr. med. Who? 3.5 in. wide. Red", "a\r\n\nb", "…", "鉄。男"]) == [
        "Dr. med.", "Who?", "3.5 in. wide.", "Red", "a", "b", "鉄。", "男",
    ]  # fmt: skip
    assert len(sentences(["x\n" * 1000])) == MAX_SENTENCES


@given(st.text(alphabet="ab é日🙂", max_size=12))
def test_the_trigrams_of_a_query_are_those_of_a_value(value):
    from ltr.features import spelling_kernels

    assert spelling_kernels.trigrams(characters(plain(value))).tolist() == trigrams(plain(value)).tolist()
