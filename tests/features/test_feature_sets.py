from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ltr.config import DataConfig
from ltr.datasets import esci, load, msrd, shop
from ltr.encoders.hashing import HashingEncoder
from ltr.features import compute, memory, read_feature_set, state
from ltr.features.clauses import unsupported

FEATURES = Path(__file__).parents[2] / "features"
CATALOGUES = {
    "movie_search": msrd.FIELDS,
    "movie_engine": msrd.FIELDS,
    "product_search": shop.FIELDS,
    "product_behavior": shop.FIELDS,
    "esci_search": esci.FIELDS,
    "lexical": {"title": "text"},
}
LOG = pl.DataFrame(
    {
        "query": ["red shoe", "Red Shoe"],
        "product_id": ["p0", "p1"],
        "position": [1, 2],
        "clicked": [True, False],
        "purchase": [True, False],
        "shown_at": [datetime(2024, 5, 1, tzinfo=UTC)] * 2,
    }
)
LOGGED = {"impressions": LOG, "examination": [1.0, 0.5], "as_of": "2024-05-02"}
NUMBERS = {"number": pl.Float64(), "boolean": pl.Boolean()}


def remembered(product_id):
    """One judged query."""
    queries = pl.DataFrame({"query_id": ["q"], "query": ["red shoe"]})
    judgments = pl.DataFrame({"query_id": ["q"], "product_id": [product_id], "grade": [1.0], "weight": [1.0]})
    return memory.remember(queries, judgments, gains=np.array([0.0, 1.0]), groups={"q": "q"}, encoder=HashingEncoder())


def test_every_shipped_set_is_tested():
    assert {path.stem for path in FEATURES.glob("*.toml")} == CATALOGUES.keys()


@pytest.mark.parametrize("name", CATALOGUES)
def test_a_shipped_set_fits_its_catalogue_and_yields_finite_values_or_missing_ones(name):
    wanted = read_feature_set(FEATURES / f"{name}.toml")
    assert wanted.name == name
    fields = CATALOGUES[name]
    types = {field: NUMBERS.get(type_, pl.String()) for field, type_ in fields.items()}
    products = pl.DataFrame(
        [
            {"product_id": "p0"} | {field: 3 if types[field].is_numeric() else None for field in types},
            {"product_id": "p1"},
        ],
        schema={"product_id": pl.String, **types},
    ).with_columns(title=pl.Series(["Red Shoe", "Hat"]))
    log = LOGGED if wanted.counts else {}
    built = state.build(products, wanted, fields=fields, encoder=HashingEncoder(), **log)
    match = {feature: [1.0, 2.0] for feature in wanted.match}
    asked = {"match": match, "encoder": HashingEncoder(), "memory": remembered("p0").on(built)}
    found = compute.online("red shoe", ["p0", "p1"], wanted, built, **asked)
    assert found.shape == (2, len(wanted.names))
    lexical = wanted.names.index("title_bm25" if "title_bm25" in wanted.names else "title_match")
    assert found[0, lexical] > 0


def test_an_engine_can_work_out_every_feature_of_the_set_that_is_for_engines():
    assert unsupported(read_feature_set(FEATURES / "movie_engine.toml")) == {}
    assert "title_cosine" in unsupported(read_feature_set(FEATURES / "movie_search.toml"))


@pytest.mark.parametrize("name", ["movie_search", "product_search", "product_behavior", "esci_search"])
def test_the_first_cosine_is_the_titles_which_the_comparison_takes_as_semantic_search(name):
    wanted = read_feature_set(FEATURES / f"{name}.toml")
    first = next(feature for feature in wanted.features if feature.kind == "cosine")
    assert first.sources[0].fields == ("title",)


def test_movies_are_found_by_title_person_and_year(data_home, close):
    dataset = load(DataConfig(source="msrd"), base=Path(), quiet=True)
    wanted = read_feature_set(FEATURES / "movie_search.toml")
    products = dataset.products.filter(pl.col("title").is_in(["Enchanted", "Disenchanted", "Iron Man", "Iron Man 3"]))
    built = state.build(products, wanted, fields=dataset.fields, encoder=HashingEncoder())
    ids = products["product_id"].to_list()
    match = {feature: [0.0] * len(ids) for feature in wanted.match}

    def best(query, feature):
        asked = {"match": match, "encoder": HashingEncoder(), "memory": remembered(ids[0]).on(built)}
        found = compute.online(query, ids, wanted, built, **asked)
        return products["title"][int(found[:, wanted.names.index(feature)].argmax())]

    assert best("enchanted 2007", "year_in_query") == "Enchanted"
    assert best("iron man", "title_bm25") == "Iron Man"
    assert best("gwyneth paltrow ben kingsley", "actors_named") == "Iron Man 3"
