import pytest

from ltr.engine import connect
from ltr.engine.mapping import Subfield, read, read_properties
from ltr.errors import EngineError
from made.foreign_index import standing
from made.front_door import front_door

PLAIN = {"number_of_replicas": 0}


@pytest.fixture(scope="module")
def engine(engine_url):
    return connect(engine_url)


@pytest.fixture(scope="module")
def foreign(engine):
    with standing(engine, []) as index:
        yield index


@pytest.fixture
def placed(engine):
    """Makes indexes of given mappings, removed afterwards."""
    stack = []

    def make(mappings, documents=()):
        context = standing(engine, list(documents), mappings=mappings, settings=PLAIN)
        stack.append(context)
        return context.__enter__()

    yield make
    for context in reversed(stack):
        context.__exit__(None, None, None)


def test_objects_are_flattened_and_a_nested_path_is_kept():
    fields = read_properties(
        {
            "brand": {"properties": {"name": {"type": "keyword"}, "seat": {"properties": {"land": {"type": "ip"}}}}},
            "parts": {
                "type": "nested",
                "properties": {"name": {"type": "text"}, "makers": {"properties": {"id": {"type": "long"}}}},
            },
        }
    )
    assert {name: (each.type, each.kind, each.nested) for name, each in fields.items()} == {
        "brand.name": ("keyword", "keyword", None),
        "brand.seat.land": ("ip", "keyword", None),
        "parts.name": ("text", "text", "parts"),
        "parts.makers.id": ("long", "number", "parts"),
    }


def test_a_nested_object_within_another_has_the_inner_path():
    inner = {"type": "nested", "properties": {"eu": {"type": "integer"}}}
    fields = read_properties({"variants": {"type": "nested", "properties": {"sizes": inner}}})
    assert fields["variants.sizes.eu"].nested == "variants.sizes"


def test_what_a_field_says_of_itself_is_kept():
    fields = read_properties(
        {
            "title": {
                "type": "text",
                "analyzer": "german",
                "index_options": "docs",
                "copy_to": ["everything"],
                "fields": {
                    "raw": {"type": "keyword", "normalizer": "lower"},
                    "pairs": {"type": "text", "analyzer": "p"},
                },
            },
            "everything": {"type": "text"},
            "image": {"type": "keyword", "index": False, "doc_values": False},
            "vector": {"type": "dense_vector", "dims": 384},
            "knn": {"type": "knn_vector", "dimension": 128},
            "other": {"type": "alias", "path": "price"},
            "price": {"type": "scaled_float", "scaling_factor": 100},
            "place": {"type": "geo_point"},
        }
    )
    title = fields["title"]
    assert (title.analyzer, title.positions) == ("german", False)
    assert title.subfields == {"raw": Subfield("keyword", None, "lower"), "pairs": Subfield("text", "p")}
    assert fields["everything"].fed
    assert not title.fed
    assert (fields["image"].indexed, fields["image"].doc_values) == (False, False)
    assert [(fields[name].vector, fields[name].dims) for name in ("vector", "knn")] == [(True, 384), (True, 128)]
    assert (fields["other"].alias, fields["other"].kind, fields["other"].stored) == ("price", "number", False)
    assert (fields["price"].kind, fields["price"].doc_values) == ("number", True)
    assert fields["place"].kind is None


def test_an_object_that_is_switched_off_holds_nothing():
    assert read_properties({"erp": {"type": "object", "enabled": False}, "empty": {"type": "object"}}) == {}


def test_the_index_of_somebody_elses_script_is_read_as_it_is(engine, foreign):
    told = read(engine, foreign)
    assert told.indices == (foreign,)
    assert (told.source, told.whole, told.differing) == (True, True, ())
    fields = told.fields
    assert fields["bezeichnung"].subfields["wortpaare"] == Subfield("text", "wortpaare")
    assert fields["hersteller.name"].kind == "text"
    assert fields["merkmale.wert"].nested == "merkmale"
    assert fields["preis"].alias == "preis_eur"
    assert fields["bild_vektor"].dims == 4
    assert fields["suchtext"].fed
    assert not [name for name in fields if name.startswith("erp")]


def test_an_alias_and_a_pattern_are_read_as_one_and_differences_are_told(engine, placed):
    older = placed(
        {"properties": {"price": {"type": "keyword"}, "stock": {"type": "integer"}, "old": {"type": "text"}}}
    )
    newer = placed({"properties": {"price": {"type": "float"}, "stock": {"type": "long"}}})
    alias = f"{older}-both"
    engine.call("POST", "/_aliases", {"actions": [{"add": {"indices": [older, newer], "alias": alias}}]})
    told = read(engine, alias)
    last = max(older, newer)
    assert told.indices == tuple(sorted([older, newer]))
    assert told.fields["price"].type == ("float" if last == newer else "keyword")
    assert "old" in told.fields
    (sentence,) = told.differing  # an integer and a long are both numbers
    assert "'price'" in sentence
    assert min(older, newer) in sentence
    assert read(engine, f"{older},{newer}").fields == told.fields


def test_an_index_without_source_says_so(engine, placed):
    index = placed({"_source": {"enabled": False}, "properties": {"title": {"type": "text"}}})
    assert not read(engine, index).source


def test_a_runtime_field_is_in_no_document(engine, placed):
    index = placed({"properties": {"title": {"type": "text"}}, "runtime": {"origin": {"type": "keyword"}}})
    field = read(engine, index).fields["origin"]
    assert (field.runtime, field.stored) == (True, False)


def test_an_index_that_is_not_there_is_named_with_those_that_are(engine, foreign):
    with pytest.raises(EngineError, match=f"no index '{foreign[:-1]}'.*did you mean '{foreign}'"):
        read(engine, foreign[:-1])
    with pytest.raises(EngineError, match=r"no index 'ini-nothing-\*'"):
        read(engine, "ini-nothing-*")


def test_an_index_without_a_field_is_refused(engine, placed):
    with pytest.raises(EngineError, match="has no field"):
        read(engine, placed({"dynamic": False}))


def refusing(*words):
    """A rule: a key that may not see the metadata."""

    def rule(request, _forward):
        if any(word in request.path for word in words):
            reason = "action [indices:admin/mappings/get] is unauthorized for API key id [x]"
            return 403, {"error": {"type": "security_exception", "reason": reason}, "status": 403}
        return None

    return rule


def test_where_the_mapping_is_refused_searches_tell_the_fields(engine_url, engine, foreign):
    with front_door(engine_url, refusing("_mapping", "_alias")) as (url, _):
        told = read(connect(url), foreign)
        assert not told.whole
        whole = read(engine, foreign).fields
        own = {name for name, each in whole.items() if each.alias is None}
        # Searches do not tell an alias from its target.
        assert told.fields.keys() == own | {"preis"}
        for name in own:
            assert (told.fields[name].type, told.fields[name].nested) == (whole[name].type, whole[name].nested), name
            assert told.fields[name].doc_values == whole[name].doc_values, name
            assert told.fields[name].subfields.keys() == whole[name].subfields.keys(), name
        with pytest.raises(EngineError, match=r"no index 'ini-none'; check its name, and that your key may read it"):
            read(connect(url), "ini-none")


def test_without_any_leave_the_refusal_is_the_servers_own(engine_url, foreign):
    with (
        front_door(engine_url, refusing("_mapping", "_field_caps")) as (url, _),
        pytest.raises(EngineError, match=r"403.*unauthorized"),
    ):
        read(connect(url), foreign)
