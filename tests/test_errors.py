import inspect
import re

import pytest

from ltr import errors
from ltr.errors import DataError, JudgmentError, LtrError, MissingExtraError, suggestion

CLASSES = {
    name: value for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)
}


def drawn_tree():
    parents, path = {}, {}
    for line in errors.__doc__.splitlines():
        if found := re.match(r"^( {4}[│├└─ ]*)([A-Z]\w+Error|LtrError)\b", line):
            path[len(found[1])] = found[2]
            above = [path[indent] for indent in sorted(path) if indent < len(found[1])]
            parents[found[2]] = above[-1] if above else "Exception"
    return parents


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    assert drawn_tree() == {name: value.__base__.__name__ for name, value in CLASSES.items()}


def test_every_error_is_public_and_the_names_are_sorted():
    assert errors.__all__ == sorted([*CLASSES, "suggestion"], key=lambda name: (name[0].islower(), name))


@pytest.mark.parametrize("error", CLASSES.values(), ids=CLASSES)
def test_every_error_is_caught_as_ltr_error(error):
    with pytest.raises(LtrError):
        raise error("numba", "serve") if error is MissingExtraError else error("what is wrong")


def test_the_hint_follows_a_semicolon():
    assert str(DataError("no column 'sku'", hint="add it")) == "no column 'sku'; add it"
    assert str(DataError("no column 'sku'")) == "no column 'sku'"


def test_a_judgment_error_is_a_data_error():
    assert issubclass(JudgmentError, DataError)


def test_a_missing_extra_says_how_to_install_it():
    assert str(MissingExtraError("bm25s", "serve")) == "bm25s is not installed; pip install 'ltr[serve]'"


@pytest.mark.parametrize(
    ("given", "said"),
    {
        "a near miss": ("bm52", "did you mean 'bm25'? kinds: bm25, cosine"),
        "other capitals": ("BM25", "did you mean 'bm25'? kinds: bm25, cosine"),
        "nothing near": ("zzz", "kinds: bm25, cosine"),
        "an empty name": ("", "kinds: bm25, cosine"),
    }.values(),
)
def test_a_suggestion_names_the_nearest_and_lists_all_sorted(given, said):
    assert suggestion(given, {"cosine", "bm25"}, noun="kinds") == said


def test_of_two_names_that_differ_in_capitals_the_first_in_order_is_suggested():
    assert suggestion("sKu", ["sku", "SKU"], noun="columns") == "did you mean 'SKU'? columns: SKU, sku"
