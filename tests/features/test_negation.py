import pytest

from ltr.features.negation import content, split

QUERIES = {
    "wine glasses without stem": ("wine glasses", "stem"),
    "Containers W/O lids": ("Containers", "lids"),
    "gift not included batteries": ("gift", "included batteries"),
    "jam no sugar without seeds": ("jam", "sugar without seeds"),
    "soap free  of perfume": ("soap", "perfume"),
    "pan non-stick": ("pan", "-stick"),
    "without prejudice": ("without prejudice", "prejudice"),
    "lids without": ("lids without", ""),
    "red shoe": ("red shoe", ""),
    "": ("", ""),
    "nonstick withoutdoor knot": ("nonstick withoutdoor knot", ""),
    "chanel no 5": ("chanel no 5", ""),
    "chanel No. 5 without box": ("chanel No. 5", "box"),
}


@pytest.mark.parametrize(("query", "parts"), QUERIES.items(), ids=[query or "empty" for query in QUERIES])
def test_a_query_is_parted_at_its_first_negation(query, parts):
    assert split(query, "english") == parts
    assert split(query, "english+stop") == parts


@pytest.mark.parametrize("analyzer", ["standard", "french", "standard+stop"])
def test_another_language_parts_nothing(analyzer):
    assert split("wine glasses without stem", analyzer) == ("wine glasses without stem", "")


def test_content_leaves_out_words_that_say_nothing():
    assert content("A lid, and the box!", "english") == ["lid", "box"]
    assert content("a lid", "french") == ["a", "lid"]
