import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ltr import datasets
from ltr.config import DataConfig
from ltr.datasets import shop
from ltr.datasets.shop_merchants import MISFILED, MISSING
from ltr.datasets.shop_vocabulary import vocabulary
from ltr.text import analyzer

WORDS = vocabulary()
CONFIG = DataConfig(source="shop")
SMALL = DataConfig(source="shop", size=400, queries=60)
DIGEST = """
import hashlib
from ltr.config import DataConfig
from ltr.datasets import shop
built = shop.build(DataConfig(source="shop", size=400, queries=60))
frames = (built.products, built.queries, built.judgments)
print(hashlib.sha256("".join(frame.write_ndjson() for frame in frames).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def built():
    return datasets.load(CONFIG, base=Path(), quiet=True)


@pytest.fixture(scope="module")
def truth():
    return shop.truth(CONFIG)


def near(rate, count):
    """A share that ``count`` draws should come within four standard errors of."""
    return pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / count))


def digest(dataset):
    frames = (dataset.products, dataset.queries, dataset.judgments)
    return hashlib.sha256("".join(frame.write_ndjson() for frame in frames).encode()).hexdigest()


def test_one_seed_is_one_shop_in_every_process_whatever_its_hash_seed():
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    other = subprocess.run([sys.executable, "-c", DIGEST], check=True, capture_output=True, text=True, env=environment)
    assert other.stdout.strip() == digest(shop.build(SMALL))


def test_another_seed_is_another_shop():
    one, other = (shop.build(SMALL.model_copy(update={"seed": seed})) for seed in (7, 8))
    for frame in ("products", "queries", "judgments"):
        assert not getattr(one, frame).equals(getattr(other, frame))


def test_the_same_shop_in_other_words_has_the_same_truth():
    one, other = shop.build(SMALL), shop.build(SMALL, text_seed=99)
    told = {"title", "description", "category", "color", "material", "audience", "price"}
    assert (one.products["title"] != other.products["title"]).mean() > 0.9
    assert (one.queries["query"] != other.queries["query"]).mean() > 0.5
    assert_frame_equal(one.products.drop(told), other.products.drop(told))
    assert_frame_equal(one.queries.drop("query"), other.queries.drop("query"))
    assert_frame_equal(one.judgments, other.judgments)


@pytest.mark.parametrize(("size", "queries"), [(100, 20), (100, 300), (730, 41)])
def test_size_and_queries_are_kept_to_the_letter(size, queries):
    small = shop.build(DataConfig(source="shop", size=size, queries=queries))
    assert (small.products.height, small.queries.height) == (size, queries)


def test_twice_the_products_have_twice_the_judgments():
    one, two = (shop.build(DataConfig(source="shop", size=size, queries=400)) for size in (1500, 3000))
    assert two.judgments.height / one.judgments.height == pytest.approx(2, rel=0.3)


def test_the_default_shop_is_what_the_dataset_says(built):
    assert (built.products.height, built.queries.height) == (5000, 1200)
    assert list(built.fields) == built.products.columns[1:]
    assert built.text_fields.keys() <= {name for name, kind in built.fields.items() if kind in ("text", "keyword")}
    assert built.fields[built.title] == "text"
    assert (built.scale, built.gains, built.complete) == ("graded", "exponential", True)


def test_judgments_list_known_pairs_of_grade_1_to_4(built):
    assert built.judgments["product_id"].is_in(built.products["product_id"].implode()).all()
    assert built.judgments["query_id"].is_in(built.queries["query_id"].implode()).all()
    assert set(built.judgments["grade"]) == {1, 2, 3, 4}
    assert (built.judgments["weight"] == 1).all()


def test_nearly_every_query_has_something_to_find(built):
    good = built.judgments.filter(pl.col("grade") >= 2)["query_id"].n_unique()
    assert good / built.queries.height > 0.98


def test_queries_are_normalised_distinct_and_grouped_by_intent(built):
    texts = built.queries["query"]
    assert all(text and text == " ".join(text.lower().split()) for text in texts)
    assert texts.n_unique() == texts.len()
    assert 0.6 < built.queries["intent"].n_unique() / built.queries.height < 0.8


def test_queries_run_from_a_short_head_to_a_long_tail(built):
    queries = built.queries.with_columns(words=pl.col("query").str.split(" ").list.len())
    assert queries["popularity"].sum() == pytest.approx(1)
    assert queries["popularity"].is_sorted(descending=True)
    by = queries.group_by("segment").agg(pl.len(), pl.col("popularity").sum(), pl.col("words").mean())
    rows = {row["segment"]: row for row in by.to_dicts()}
    assert {name: row["len"] for name, row in rows.items()} == {"head": 120, "torso": 360, "tail": 720}
    assert rows["head"]["popularity"] > rows["torso"]["popularity"] > rows["tail"]["popularity"]
    assert rows["head"]["words"] < rows["torso"]["words"] < rows["tail"]["words"]


def test_every_way_of_asking_occurs(truth):
    intents = truth.intents
    assert set(intents["level"]) == {"type", "category", "department", "brand"}
    for column in ("brand", "family", "colour", "material", "audience", "trait", "size", "price_limit", "wish"):
        assert intents[column].count() >= 10, column
    assert intents["misspelled"].mean() == near(0.08, intents.height)


def test_fields_are_missing_at_their_rates_and_nowhere_else(built, truth):
    both = built.products.join(truth.products, on="product_id", suffix="_true")
    for name, true in {"color": "colour", "material": "material_true", "audience": "audience_true"}.items():
        has = both.filter(pl.col(true).is_not_null())
        assert has[name].null_count() / has.height == near(MISSING[name], has.height)
        assert both.filter(pl.col(true).is_null())[name].count() == 0
    for name in ("description", "price"):
        assert both[name].null_count() / both.height == near(MISSING[name], both.height)
    complete = ("title", "brand", "category", "rating_count", "stock", "popularity", "age_days")
    assert built.products.select(complete).null_count().sum_horizontal().item() == 0


def test_a_rating_is_missing_where_nobody_rated_and_a_list_price_where_nothing_is_off(built, truth):
    products = built.products
    assert (products["rating"].is_null() == (products["rating_count"] == 0)).all()
    assert products["rating"].drop_nulls().is_between(1, 5).all()
    true = truth.products
    assert (products["list_price"].is_null() == (true["price"] == true["list_price"])).all()
    assert (products["list_price"] > products["price"]).drop_nulls().all()
    assert (true["price"] > 0).all()


def test_categories_are_coarse_or_wrong_at_their_rates(built, truth):
    names = {category.name: category.words[0] for category in WORDS.categories}
    coarse = {department.name: department.words[0] for department in WORDS.departments}
    both = built.products.select("product_id", shown="category").join(truth.products, on="product_id")
    right = both["shown"] == both["category"].replace_strict(names)
    broad = (both["shown"] == both["department"].replace_strict(coarse)) & ~right
    assert broad.mean() == near(MISFILED["coarse"], both.height)
    assert 1 - (right | broad).mean() == near(MISFILED["wrong"], both.height)


def test_a_colour_is_written_in_one_of_its_words(built, truth):
    words = {shade.name: list(shade.words) for shade in WORDS.colours}
    both = built.products.join(truth.products.select("product_id", "colour"), on="product_id").drop_nulls("color")
    assert all(written in words[true] for written, true in both.select("color", "colour").iter_rows())


def test_ratings_and_sales_follow_quality_but_do_not_tell_it(truth):
    known = truth.products.drop_nans("rating")
    assert 0.4 < np.corrcoef(known["quality"], known["rating"])[0, 1] < 0.9
    assert 0.2 < np.corrcoef(truth.products["quality"], np.log1p(truth.products["popularity"]))[0, 1] < 0.8


def test_many_rated_products_are_rated_closer_to_their_quality(truth):
    off = truth.products.drop_nans("rating").with_columns(off=(pl.col("rating") - 3.8 - 0.45 * pl.col("quality")).abs())
    assert (
        off.filter(pl.col("rating_count") > 30)["off"].mean()
        < 0.6 * off.filter(pl.col("rating_count") < 5)["off"].mean()
    )


def test_premium_brands_cost_more(truth):
    products = truth.products
    medians = {kind.words[0]: kind.price for kind in WORDS.types}
    dear = np.log(products["price"] / products["type"].replace_strict(medians))
    by_tier = products.select("tier", dear=dear).group_by("tier").agg(pl.col("dear").mean()).sort("tier")["dear"]
    assert by_tier.is_sorted()
    assert by_tier[2] - by_tier[0] == pytest.approx(2 * (0.35 + 0.12 * 0.45), abs=0.1)


def test_words_alone_find_some_good_products_but_not_all(built):
    terms = analyzer("english+stop")
    titles = {product: set(terms(title)) for product, title in built.products.select("product_id", "title").iter_rows()}
    queries = {query_id: set(terms(text)) for query_id, text in built.queries.select("query_id", "query").iter_rows()}
    good = built.judgments.filter(pl.col("grade") >= 2).sample(4000, seed=7)
    shared = [bool(queries[query] & titles[product]) for query, product, *_ in good.iter_rows()]
    assert 0.3 < np.mean(shared) < 0.9


def test_truth_and_dataset_name_the_same_queries_and_products(built, truth):
    assert_frame_equal(truth.judgments, built.judgments)
    assert truth.intents["query_id"].equals(built.queries["query_id"])
    assert truth.intents["intent"].equals(built.queries["intent"])
    assert truth.products["product_id"].equals(built.products["product_id"])


def test_the_catalogue_shows_neither_type_nor_quality_nor_tier(built):
    assert not {"type", "quality", "tier", "department", "family", "traits"} & set(built.products.columns)
    assert set(built.queries.columns) == {"query_id", "query", "intent", "segment", "popularity"}
