import json

import numpy as np
import polars as pl
import pytest

from ltr.encoders.hashing import HashingEncoder
from ltr.errors import BundleError, DataError, FeatureSetError
from ltr.features import compute, state
from ltr.text import TermStatistics

ENCODER = HashingEncoder()
MOVIES = ({"title": "Iron Man", "tags": ["suit", "robert downey"], "price": 3.0}, {"title": None}, {"title": "Iron"})
FEATURES = (
    {"kind": "bm25", "field": "title"},
    {"kind": "keyword", "field": "tags"},
    {"kind": "exact", "field": "title"},
    {"kind": "number", "field": "price"},
    {"kind": "cosine", "field": "title"},
    {"kind": "sentence_cosine", "fields": ["title", "overview"]},
)


@pytest.fixture
def built(catalogue, feature_set, fields):
    return state.build(
        catalogue(*MOVIES), feature_set(*FEATURES), fields=fields, encoder=ENCODER, as_of="2024-05-01T00:00:00Z"
    )


def test_rows_are_those_of_the_catalogue_and_minus_one_for_strangers(built):
    assert built.rows(["p2", "nobody", "p0", "p2"]).tolist() == [2, -1, 0, 2]
    assert len(built) == 3


def test_only_fields_that_a_feature_reads_are_held_and_only_as_it_reads_them(built):
    assert set(built.tokens) == {"title", "tags"}
    assert set(built.strings) == {"title"}
    assert set(built.numbers) == {"price"}
    assert set(built.vectors) == {"title"}
    assert set(built.sentences) == {"title+overview"}


def test_term_statistics_are_those_of_ltr_text(built):
    assert built.tokens["title"].statistics == TermStatistics.count([["iron", "man"], ["iron"]])
    assert built.tokens["tags"].statistics == TermStatistics.count([["suit", "robert", "downey"]])


def test_retrieval_may_ask_for_vectors_of_its_own(catalogue, feature_set, fields):
    wanted = feature_set({"kind": "bm25", "field": "title"})
    built = state.build(catalogue(*MOVIES), wanted, fields=fields, encoder=ENCODER, vector_fields=["title"])
    assert built.vectors["title"].shape == (3, ENCODER.dimension)
    assert built.vectors["title"].dtype == np.float32


def test_a_saved_state_is_the_same_state(built, tmp_path):
    built.save(tmp_path)
    loaded = state.load(tmp_path)
    assert (loaded.version, loaded.as_of, loaded.schema) == (built.version, "2024-05-01T00:00:00Z", built.schema)
    assert loaded.products.equals(built.products)
    assert loaded.vocabulary == built.vocabulary
    assert isinstance(loaded.vectors["title"], np.memmap)
    assert all(not path.name.endswith(".pkl") for path in tmp_path.iterdir())


def test_the_version_follows_from_the_content_alone(catalogue, feature_set, fields, built):
    def version(products=MOVIES, features=FEATURES, **more):
        return state.build(
            catalogue(*products), feature_set(*features), fields=fields, encoder=ENCODER, **more
        ).version  # fmt: skip

    assert version() == version(as_of="2030-01-01") == built.version
    assert version(products=(*MOVIES[:2], {"title": "Irony"})) != built.version
    assert version(features=FEATURES[:4]) != built.version


def test_the_schema_digest_is_that_of_the_promise_not_of_the_content(catalogue, feature_set, fields, built):
    other = state.build(catalogue({"title": "x"}), feature_set(*FEATURES), fields=fields, encoder=ENCODER)
    fewer = state.build(catalogue(*MOVIES), feature_set(*FEATURES[:4]), fields=fields, encoder=None)
    assert other.schema.digest == built.schema.digest != fewer.schema.digest


@pytest.mark.parametrize(
    "broken", ["state.json", "products.parquet", "vocabulary.parquet", "*.ids.npy", "*.vectors.npy"]
)
@pytest.mark.parametrize("how", ["missing", "truncated"])
def test_a_state_with_a_broken_file_is_refused_as_a_whole(built, tmp_path, broken, how):
    built.save(tmp_path)
    path = next(iter(sorted(tmp_path.glob(broken))))
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(BundleError, match=r"cannot be read.*copy the bundle again"):
        state.load(tmp_path)


def test_an_array_of_objects_is_never_unpickled(built, tmp_path):
    built.save(tmp_path)
    path = next(iter(tmp_path.glob("*.ids.npy")))
    np.save(path, np.array([{"a": 1}], dtype=object))
    with pytest.raises(BundleError, match="pickle"):
        state.load(tmp_path)


def test_a_header_that_is_no_header_is_refused(built, tmp_path):
    built.save(tmp_path)
    (tmp_path / "state.json").write_text(json.dumps([1]))
    with pytest.raises(BundleError):
        state.load(tmp_path)


FAULTS = {
    "absent": ({"kind": "bm25", "field": "titel"}, r"feature 'f0' \(bm25\) names field 'titel', which the catalogue lacks; did you mean 'title'\? fields of that kind: brand, overview, tags, title"),
    "one of several": ({"kind": "cosine", "fields": ["title", "plot"]}, "names field 'plot', which the catalogue lacks"),
    "number as text": ({"kind": "bm25", "field": "price"}, "names field 'price', which is of type number, not text or keyword"),
    "text as number": ({"kind": "number", "field": "title"}, "which is of type text, not number or boolean; fields of that type: price, sold, year"),
    "list kind": ({"kind": "relative", "field": "cost"}, "names field 'cost', which the catalogue lacks"),
    "engine's field": ({"kind": "match", "field": "name"}, "names field 'name', which the catalogue lacks"),
}  # fmt: skip


@pytest.mark.parametrize(("feature", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_feature_over_a_field_that_is_not_there_is_an_error_naming_both(
    catalogue, feature_set, fields, feature, message
):
    with pytest.raises(FeatureSetError, match=message):
        state.build(catalogue({}), feature_set(feature), fields=fields, encoder=ENCODER)


def test_a_number_field_that_holds_text_is_a_data_error(feature_set, fields):
    products = pl.DataFrame({"product_id": ["p"], "price": ["cheap"]})
    with pytest.raises(DataError, match="a number field is not numeric"):
        state.build(products, feature_set({"kind": "number", "field": "price"}), fields=fields, encoder=None)


def test_an_empty_catalogue_has_a_state(feature_set, fields, catalogue):
    wanted = feature_set(*FEATURES, {"kind": "ngram", "field": "title"})
    built = state.build(catalogue(), wanted, fields=fields, encoder=ENCODER)
    assert np.isnan(compute.online("iron", ["p0"], wanted, built, encoder=ENCODER)).all()
