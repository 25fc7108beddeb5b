from pathlib import Path

import polars as pl
import pytest

from ltr.errors import FeatureSetError
from ltr.features.definition import find, load, parse, read_feature_set
from ltr.features.state import build

TITLE = {"name": "title_bm25", "kind": "bm25", "field": "title"}


def one(**feature):
    return {"name": "test", "feature": [{**TITLE, **feature}]}


def test_a_feature_set_is_a_value_with_names_in_order(tmp_path):
    path = tmp_path / "set.toml"
    path.write_text(
        """
        name = "movies"
        analyzer = "english+stop"
        [[feature]]
        name = "b"
        kind = "cosine"
        fields = ["title", "overview"]
        [[feature]]
        name = "a"
        kind = "match"
        field = "title"
        missing = 0
        """
    )
    found = read_feature_set(path)
    assert (found.name, found.analyzer, found.names) == ("movies", "english+stop", ("b", "a"))
    assert found.matched_fields == {"a": "title"}
    assert found.vector_fields == ("title+overview",)
    assert found.features[1].missing == 0.0
    assert found == read_feature_set(path)


def test_also_puts_copies_after_the_feature():
    found = parse(
        {"name": "test", "feature": [{**TITLE, "also": ["relative", "rank_in_list"]}, {**TITLE, "name": "z"}]}
    )
    assert found.names == ("title_bm25", "title_bm25_relative", "title_bm25_rank", "z")
    assert [feature.scope for feature in found.features] == ["query_product", "list", "list", "query_product"]


def test_saved_and_loaded_it_is_the_same_set_with_the_same_digest(tmp_path):
    found = parse(one(k1=0.9, also=["relative"], missing=0.5))
    found.save(tmp_path / "set.json")
    loaded = load(tmp_path / "set.json")
    assert loaded == found
    assert loaded.digest == found.digest


def test_a_set_that_ships_keeps_the_digest_that_bundles_know():
    # What a set of an earlier release says must not change with the parameters that kinds are given since.
    lexical = read_feature_set(find("features/lexical.toml", base=Path()))
    assert lexical.digest == "c3d2449d89195ba3a5c953eef8c8255148ad9af66fd8e55884e8420576148543"


def test_the_form_in_the_list_keeps_the_name_and_is_part_of_the_meaning(tmp_path):
    plain, formed = parse(one()), parse(one(**{"as": "zscore"}))
    assert formed.names == plain.names
    assert formed.digest != plain.digest
    assert formed.features[0].scope == "list"
    formed.save(tmp_path / "set.json")
    assert load(tmp_path / "set.json") == formed


def test_a_set_says_which_parts_of_the_query_are_encoded():
    cosine = {"name": "c", "kind": "cosine", "field": "title"}
    assert parse({"name": "t", "feature": [TITLE | {"part": "wanted"}, cosine]}).parts == ()
    assert parse({"name": "t", "feature": [TITLE, cosine | {"part": "unwanted"}]}).parts == ("unwanted",)


def test_the_digest_is_that_of_the_meaning():
    plain = parse(one())
    assert plain.digest == parse(one(k1=1.2)).digest, "a default written out"
    assert plain.digest != parse(one(k1=1.3)).digest
    assert plain.digest != parse(one() | {"analyzer": "standard"}).digest
    assert plain.digest != parse(one(missing=0)).digest


FAULTS = {
    "unknown kind": (one(kind="bm52"), r"test.toml: feature 'title_bm25' has kind 'bm52'; did you mean 'bm25'\? kinds: agreement, bm25"),
    "no kind": (one(kind=None), "has no kind; kinds: agreement"),
    "unknown key": (one(fild=1), r"feature 'title_bm25' \(bm25\): unknown key 'fild'; did you mean 'field'\? keys: also, as, b, field, fields"),
    "unknown set key": (one() | {"analyser": "english"}, r"test.toml: unknown key 'analyser'; did you mean 'analyzer'\?"),
    "value off range": (one(b=2), r"feature 'title_bm25' \(bm25\): b = 2: input should be less than or equal to 1"),
    "value of another type": (one(k1="much"), "k1 = 'much'"),
    "choice": ({"name": "t", "feature": [TITLE | {"kind": "phrase", "per": "list"}]}, "per = 'list' is unknown; values: field, query"),
    "no field": ({"name": "t", "feature": [{"name": "x", "kind": "bm25"}]}, "feature 'x' \\(bm25\\): needs either field = '...' or fields"),
    "field and fields": (one(fields=["title"]), "needs either field"),
    "one field twice": ({"name": "t", "feature": [{"name": "x", "kind": "bm25", "fields": ["a", "a"]}]}, "name one field twice"),
    "number without field": ({"name": "t", "feature": [{"name": "x", "kind": "number"}]}, "key 'field' is missing"),
    "name": (one(name="Title"), "feature 'Title'; a name is a letter a-z"),
    "no name": ({"name": "t", "feature": [{"kind": "bm25"}]}, "feature None; a name is"),
    "set name": (one() | {"name": "my set"}, "name = 'my set'; a name is"),
    "reserved": (one(name="grade"), "has the name of a column that features travel with; rename it"),
    "twice": ({"name": "t", "feature": [TITLE, TITLE]}, "feature 'title_bm25' occurs more than once"),
    "twice by a copy": ({"name": "t", "feature": [TITLE | {"also": ["relative"]}, TITLE | {"name": "title_bm25_relative"}]}, "'title_bm25_relative' occurs more than once"),
    "analyzer": (one() | {"analyzer": "englisch"}, "analyzer 'englisch' is unknown; did you mean 'english'"),
    "empty": ({"name": "t"}, r"test.toml has no feature; write each under \[\[feature\]\]"),
    "features no list": ({"name": "t", "feature": {"a": 1}}, "has no feature"),
    "missing": (one(missing="zero"), "missing = 'zero'; give a finite number"),
    "missing infinite": (one(missing=float("inf")), "missing = inf; give a finite number"),
    "also": (one(also=["relativ"]), r"also names 'relativ'; did you mean 'relative'\?"),
    "also no list": (one(also="relative"), r"also = 'relative'; give a list of"),
    "also of a query": ({"name": "t", "feature": [{"name": "n", "kind": "query_length", "also": ["relative"]}]}, "also copies what differs between products; query_length has query scope"),
    "of nothing": ({"name": "t", "feature": [TITLE, {"name": "r", "kind": "relative", "of": "title_bm52"}]}, r"test.toml: feature 'r' \(relative\): of names feature 'title_bm52', which the set does not have; did you mean 'title_bm25'\? features that differ between products: title_bm25$"),
    "of a list kind": ({"name": "t", "feature": [TITLE | {"also": ["relative"]}, {"name": "r", "kind": "relative", "of": "title_bm25_relative"}]}, "of names feature 'title_bm25_relative', which has list scope; did you mean 'title_bm25'"),
    "of a query kind": ({"name": "t", "feature": [TITLE, {"name": "n", "kind": "query_length"}, {"name": "r", "kind": "rank_in_list", "of": "n"}]}, r"'r' \(rank_in_list\): of names feature 'n', which has query scope; features"),
    "of itself": ({"name": "t", "feature": [{"name": "r", "kind": "relative", "of": "r"}]}, "of names feature 'r', which has list scope"),
    "as": (one(**{"as": "zscor"}), r"as = 'zscor'; did you mean 'zscore'\? forms: rank_in_list, relative, zscore"),
    "as of a query": ({"name": "t", "feature": [{"name": "n", "kind": "query_length", "as": "zscore"}]}, "as compares the products of a list, in which all share one query_length"),
    "by nothing": ({"name": "t", "feature": [TITLE, {"name": "c", "kind": "agreement", "field": "brand", "by": "title_bm52"}]}, r"'c' \(agreement\): by names feature 'title_bm52', which the set does not have; did you mean 'title_bm25'"),
    "part": (one(part="wnated"), "part = 'wnated' is unknown; did you mean 'wanted'"),
    "one alternative": ({"name": "t", "feature": [{"name": "c", "kind": "conflict", "field": "title", "alternatives": [["men"]]}]}, "give 2 to 62 lists of words, none of them empty"),
    "match twice": ({"name": "t", "feature": [TITLE | {"kind": "match"}, TITLE | {"kind": "match", "name": "again"}]}, "features 'title_bm25' and 'again' ask the engine the same of 'title'"),
}  # fmt: skip


@pytest.mark.parametrize(("table", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_names_the_file_the_feature_and_the_nearest_choice(table, message):
    with pytest.raises(FeatureSetError, match=message):
        parse(table, where="test.toml")


def test_a_file_that_is_no_toml_is_a_feature_set_error(tmp_path):
    (tmp_path / "bad.toml").write_text("name = ")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(FeatureSetError, match=r"bad\.toml is not TOML"):
        read_feature_set(tmp_path / "bad.toml")
    with pytest.raises(FeatureSetError, match=r"gone\.toml does not exist"):
        read_feature_set(tmp_path / "gone.toml")
    with pytest.raises(FeatureSetError, match=r"bad\.json cannot be read"):
        load(tmp_path / "bad.json")


def test_a_set_remembers_its_file_for_messages_and_is_equal_wherever_it_is_from(tmp_path):
    path = tmp_path / "set.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "test"\n[[feature]]\nname = "title_bm25"\nkind = "bm25"\nfield = "titel"\n')
    found = read_feature_set(path)
    assert found.where == str(path)
    assert found == parse(one(field="titel"))
    products = pl.DataFrame({"product_id": ["1"], "title": ["red shoe"]})
    message = rf"^{path}: feature 'title_bm25' \(bm25\) names field 'titel', which the catalogue lacks"
    with pytest.raises(FeatureSetError, match=message):
        build(products, found, fields={"title": "text"}, encoder=None)


def test_a_path_to_a_directory_asks_for_the_file_in_it(tmp_path):
    with pytest.raises(FeatureSetError, match=rf"'.': {tmp_path} is no file; name the .toml file in it"):
        find(".", base=tmp_path)


def test_a_path_starts_from_the_experiment_then_from_the_working_directory(tmp_path, monkeypatch):
    experiment, work = tmp_path / "experiment", tmp_path / "work"
    for directory in (experiment, work):
        (directory / "features").mkdir(parents=True)
    monkeypatch.chdir(work)
    (work / "features" / "a.toml").touch()
    assert find("features/a.toml", base=experiment) == work / "features" / "a.toml"
    (experiment / "features" / "a.toml").touch()
    assert find("features/a.toml", base=experiment) == experiment / "features" / "a.toml"
    assert find(str(work / "features" / "a.toml"), base=experiment) == work / "features" / "a.toml"


def test_a_set_that_ships_is_found_from_anywhere_unless_there_is_one_nearer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find("features/lexical.toml", base=tmp_path).read_text(encoding="utf-8").startswith("#")
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "lexical.toml").write_text("")
    assert find("features/lexical.toml", base=tmp_path) == tmp_path / "features" / "lexical.toml"
    with pytest.raises(FeatureSetError, match=r"did you mean 'features/movie_search\.toml'"):
        find("features/../features/movie_serch.toml", base=tmp_path)


def test_a_path_to_nothing_says_where_it_looked_and_what_there_is(tmp_path, monkeypatch):
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "movies.toml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FeatureSetError, match=r"neither at .*base.* nor at .*; did you mean 'features/movies\.toml'\?"):
        find("features/movie.toml", base=tmp_path / "base")


def sets(tmp_path, **texts):
    for name, text in texts.items():
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    return tmp_path


COVER = '[[feature]]\nname = "cover"\nkind = "coverage"\nfield = "title"\n'
EXACT = '[[feature]]\nname = "exact"\nkind = "exact"\nfield = "title"\n'


def test_a_set_that_extends_another_has_its_features_first_and_its_analyzer(tmp_path):
    home = sets(
        tmp_path,
        below=f'name = "below"\nanalyzer = "standard"\n{COVER}',
        above=f'name = "above"\nextends = "below.toml"\n{EXACT}',
    )
    found = read_feature_set(home / "above.toml")
    assert (found.name, found.analyzer, found.names) == ("above", "standard", ("cover", "exact"))


def test_a_name_of_the_extended_set_is_taken(tmp_path):
    home = sets(tmp_path, below=f'name = "below"\n{COVER}', above=f'name = "above"\nextends = "below.toml"\n{COVER}')
    with pytest.raises(FeatureSetError, match=r"feature 'cover' occurs more than once"):
        read_feature_set(home / "above.toml")


@pytest.mark.parametrize(
    ("extends", "said"),
    {
        "itself": ('"above.toml"', "comes back to"),
        "nothing": ('"blow.toml"', "blow.toml"),
        "a number": ("3", "extends = 3"),
    }.values(),
    ids=["itself", "nothing", "a number"],
)
def test_a_set_cannot_extend(tmp_path, extends, said):
    home = sets(tmp_path, above=f'name = "above"\nextends = {extends}\n{COVER}')
    with pytest.raises(FeatureSetError, match=said):
        read_feature_set(home / "above.toml")
