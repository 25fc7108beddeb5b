import json

import polars as pl
import pytest

from ltr.bundle_retriever import read_body, retriever_of
from ltr.config import parse
from ltr.errors import ConfigError, DataError, FeatureSetError
from ltr.features import definition
from ltr.retrieval.embedded import Embedded

PRODUCTS = pl.DataFrame({"product_id": ["p1", "p2"], "title": ["red shoe", "blue shoe"]})


def experiment(**retrieval):
    return parse({"name": "test", "data": {"source": "files"}, "retrieval": retrieval})


def body(tmp_path, text):
    (tmp_path / "query.json").write_text(text, encoding="utf-8")
    return read_body(experiment(engine="elasticsearch", body="query.json"), base=tmp_path)


def test_the_embedded_engine_knows_the_scores_of_single_fields_alone():
    asked = {"fields": {"title": 1.0}, "body": None, "vectors": None, "encoder": None}
    plain = definition.parse({"name": "test", "feature": [{"name": "m", "kind": "match", "field": "title"}]})
    built = retriever_of(experiment(), plain, PRODUCTS, **asked)
    assert isinstance(built, Embedded)
    assert built.retrieve(pl.DataFrame({"query_id": ["q"], "query": ["blue"]}), depth=5)["product_id"].to_list() == [
        "p2"
    ]
    phrase = {"name": "m", "kind": "match", "field": "title", "query": "match_phrase"}
    with pytest.raises(FeatureSetError, match="asks more of the engine"):
        retriever_of(experiment(), definition.parse({"name": "test", "feature": [phrase]}), PRODUCTS, **asked)


def test_a_body_is_kept_as_it_is(tmp_path):
    given = {"query": {"bool": {"must": {"match": {"name": "{{query}}"}}, "filter": {"term": {"sold": True}}}}}
    assert body(tmp_path, json.dumps(given)) == given
    assert read_body(experiment(), base=tmp_path) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"query\.json is not JSON"),
        ("[]", r"is no search body with \{\{query\}\} in it"),
        ('{"query": {"match_all": {}}}', r"is no search body with \{\{query\}\} in it"),
    ],
)
def test_a_body_that_asks_nothing_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        body(tmp_path, text)


def test_a_body_that_is_not_there_and_keys_of_the_other_engine_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"query\.json does not exist"):
        read_body(experiment(engine="elasticsearch", body="query.json"), base=tmp_path)
    with pytest.raises(ConfigError, match='index is for a search engine: set engine = "elasticsearch"'):
        experiment(index="shop")
    with pytest.raises(ConfigError, match="body and fields both say what is searched"):
        experiment(engine="elasticsearch", body="query.json", fields={"title": 1})
    with pytest.raises(ConfigError, match=r"data\.index is missing"):
        parse({"name": "test", "data": {"source": "elasticsearch"}})


def test_an_experiment_says_where_its_engine_is_and_does_not_show_who_may_ask():
    found = experiment(engine="elasticsearch", url="https://me:secret@search:9200", index="shop")
    assert (found.engine_url, found.index) == ("https://me:secret@search:9200", "shop")
    assert "secret" not in repr(found)
    assert experiment(engine="elasticsearch").index == "test"


def test_only_the_embedded_engine_has_its_vectors_in_the_state():
    assert experiment(vector="title").state_vector == "title"
    assert experiment(engine="elasticsearch", vector="title").state_vector is None
    assert experiment().state_vector is None
