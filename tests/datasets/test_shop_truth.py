from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.config import DataConfig
from ltr.datasets import shop
from ltr.datasets.shop_catalogue import stock
from ltr.datasets.shop_intents import Intent, intents
from ltr.datasets.shop_truth import ERRING, STEPS, STRAYING, agreement, grades, judge, scope, standing
from ltr.datasets.shop_vocabulary import vocabulary

WORDS = vocabulary()
CONFIG = DataConfig(source="shop")


def named(terms, name):
    return next(number for number, term in enumerate(terms) if term.name == name)


NAVY, BLUE, RED = (named(WORDS.colours, name) for name in ("navy", "blue", "red"))
SUEDE, LEATHER, WOOL = (named(WORDS.materials, name) for name in ("suede", "leather", "wool"))
WOMEN, MEN, UNISEX, GIRLS, KIDS = (named(WORDS.audiences, name) for name in ("women", "men", "unisex", "girls", "kids"))
FAMILY = WORDS.families.index("blue")
SHELF = stock(WORDS, 2000, np.random.default_rng(7))
PLACE = standing(WORDS, SHELF)
WANTED = intents(WORDS, SHELF, 200, np.random.default_rng(7))


def alike(**columns):
    """A shelf of products that differ in the given attribute alone."""
    count = len(next(iter(columns.values())))
    same = {name: np.repeat(getattr(SHELF, name)[:1], count, axis=0) for name in SHELF.__dataclass_fields__}
    return replace(SHELF, **same | {name: np.array(values) for name, values in columns.items()})


ATTRIBUTES = {
    "a shade: itself, its family, another, none": (
        {"shade": NAVY},
        "colour",
        [NAVY, BLUE, RED, -1],
        [1, 0.75, 0.4, 0.4],
    ),
    "a family: any shade of it": ({"family": FAMILY}, "colour", [NAVY, BLUE, RED, -1], [1, 1, 0.4, 0.4]),
    "a material and its kin": ({"material": SUEDE}, "material", [SUEDE, LEATHER, WOOL, -1], [1, 0.7, 0.45, 0.45]),
    "men and unisex": ({"audience": MEN}, "audience", [MEN, UNISEX, WOMEN, KIDS], [1, 0.85, 0.25, 0.25]),
    "girls and kids": ({"audience": GIRLS}, "audience", [GIRLS, KIDS, WOMEN, UNISEX], [1, 0.85, 0.25, 0.25]),
    "a brand": ({"brand": 3}, "brand", [3, 4], [1, 0.45]),
    "a type and its sibling": ({"kind": 0, "category": 0}, "kind", [0, 1], [1, 0.45]),
    "a size among those to be had": ({"size": 2}, "sizes", [0b111, 0b011, 0], [1, 0.35, 0.35]),
    "a price limit and a little above": ({"limit": 50.0}, "price", [50.0, 57.0, 58.0], [1, 0.6, 0.3]),
    "new": ({"wish": "new"}, "age_days", [179, 180], [1, 0.5]),
}


@pytest.mark.parametrize(("asked", "column", "values", "expected"), ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_agreement_falls_with_the_distance_from_what_was_asked(asked, column, values, expected):
    shelf = alike(**{column: values})
    fit = agreement(WORDS, shelf, standing_of(shelf), Intent("type", **asked), np.arange(len(values)))
    np.testing.assert_allclose(fit, expected)


def standing_of(shelf):
    middle = np.full(len(shelf), 0.5)
    return replace(PLACE, liked=middle, dear=middle, luxurious=middle, good=middle)


def test_on_sale_means_at_least_14_percent_off():
    shelf = alike(price=[86.0, 87.0], list_price=[100.0, 100.0])
    fit = agreement(WORDS, shelf, standing_of(shelf), Intent("type", wish="sale"), np.arange(2))
    np.testing.assert_allclose(fit, [1, 0.5])


@pytest.mark.parametrize(("wish", "column"), [("cheap", "dear"), ("premium", "luxurious"), ("top", "good")])
def test_a_wish_orders_by_its_percentile(wish, column):
    fit = agreement(WORDS, SHELF, PLACE, Intent("department", wish=wish), np.arange(len(SHELF)))
    order = getattr(PLACE, column) * (-1 if wish == "cheap" else 1)
    assert (np.diff(fit[np.argsort(order)]) >= 0).all()
    assert fit.min() == pytest.approx(0.4)
    assert fit.max() == pytest.approx(1)


def test_disagreements_multiply():
    shelf = alike(colour=[RED], brand=[4])
    fit = agreement(WORDS, shelf, standing_of(shelf), Intent("type", shade=NAVY, brand=3), np.arange(1))
    np.testing.assert_allclose(fit, [0.4 * 0.45])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, len(WANTED) - 1))
def test_asking_for_less_never_lowers_agreement(number):
    intent = WANTED[number]
    rows = scope(SHELF, intent)
    fit = agreement(WORDS, SHELF, PLACE, intent, rows)
    plain = replace(intent, family=-1, shade=-1, material=-1, trait=-1, size=-1, audience=-1, limit=0.0, wish="")
    assert (fit <= agreement(WORDS, SHELF, PLACE, plain, rows)).all()
    assert (fit > 0).all()


def test_an_intent_counts_the_attributes_that_it_names():
    assert Intent("type", kind=0, category=0, department=0).attributes == 0
    assert Intent("type", kind=0, category=0, department=0, brand=0, family=0, limit=50.0).attributes == 3
    assert Intent("brand", brand=0).attributes == 0
    assert Intent("brand", brand=0, wish="sale").attributes == 1


def test_intents_differ_and_price_limits_are_round():
    assert len(set(WANTED)) == len(WANTED) == 200
    limits = [each.limit for each in WANTED if each.limit]
    assert limits
    assert all(limit % 5 == 0 for limit in limits)


def test_preference_rises_with_quality_and_sales_and_falls_with_the_price():
    kind = SHELF.kind == np.bincount(SHELF.kind).argmax()
    there = kind & (SHELF.stock > 0)
    rank = PLACE.liked[there].argsort().argsort()
    assert np.corrcoef(rank, SHELF.quality[there])[0, 1] > 0.4
    assert np.corrcoef(rank, np.log1p(SHELF.popularity[there]))[0, 1] > 0.4
    assert PLACE.liked[SHELF.stock == 0].max() <= 0.3


def test_percentiles_are_of_the_whole_shop():
    for values in (PLACE.dear, PLACE.luxurious, PLACE.good):
        np.testing.assert_allclose(np.sort(values), np.arange(len(SHELF)) / (len(SHELF) - 1))


def test_a_full_match_has_grade_2_to_4_and_each_of_them_occurs():
    utility = 0.6 + 0.4 * PLACE.liked
    assert set(np.searchsorted(STEPS, utility, side="right")) == {2, 3, 4}


def test_a_judge_is_one_off_in_a_tenth_and_strays_in_a_hundredth():
    for base in range(5):
        written = judge(np.full(20_000, base), np.random.default_rng(base))
        rate = ERRING if base else STRAYING
        assert np.abs(written - base).max() == 1
        assert written.min() >= 0
        assert written.max() <= 4
        assert (written != base).mean() == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / 20_000))


def test_only_products_in_scope_are_graded_above_0_and_pairs_come_sorted():
    numbers, rows, written = grades(WORDS, SHELF, WANTED, np.random.default_rng(7))
    for number in range(0, len(WANTED), 10):
        assert set(rows[numbers == number]) <= set(scope(SHELF, WANTED[number]))
    assert set(written) == {1, 2, 3, 4}
    keys = numbers * len(SHELF) + rows
    assert (np.diff(keys) > 0).all()


def test_an_intent_is_answered_by_some_product_in_full():
    fits = [agreement(WORDS, SHELF, PLACE, each, scope(SHELF, each)).max() for each in WANTED if not each.wish]
    assert min(fits) == 1


@pytest.fixture(scope="module")
def truth():
    return shop.truth(CONFIG)


def mean_grade(truth, asked, where):
    """Mean grade over all products of the type asked for, split by an expression over intent and product."""
    pairs = truth.intents.filter(pl.col("level") == "type", *asked).join(
        truth.products, on="type", suffix="_of_product"
    )
    pairs = pairs.join(truth.judgments, on=["query_id", "product_id"], how="left").with_columns(
        pl.col("grade").fill_null(0)
    )
    return dict(pairs.drop_nulls("grade").group_by(where).agg(pl.col("grade").mean()).rows())


def test_the_right_colour_beats_the_wrong_one(truth):
    grade = mean_grade(truth, [pl.col("family").is_not_null()], pl.col("family") == pl.col("family_of_product"))
    assert grade[True] > grade[False] + 0.5


def test_the_right_shade_beats_the_family_and_that_the_wrong_one(truth):
    families = {term.name: term.family for term in WORDS.colours}
    kin = pl.col("colour").replace_strict(families) == pl.col("family_of_product")
    exact = pl.col("colour") == pl.col("colour_of_product")
    where = pl.when(exact).then(pl.lit("exact")).when(kin).then(pl.lit("kin")).otherwise(pl.lit("wrong"))
    grade = mean_grade(truth, [pl.col("colour").is_not_null()], where)
    assert grade["exact"] > grade["kin"] > grade["wrong"]


@pytest.mark.parametrize("attribute", ["brand", "material", "audience"])
def test_the_right_value_of_an_attribute_beats_the_wrong_one(truth, attribute):
    same = pl.col(attribute) == pl.col(f"{attribute}_of_product")
    grade = mean_grade(truth, [pl.col(attribute).is_not_null()], same.fill_null(False))
    assert grade[True] > grade[False] + 0.5


def test_the_right_trait_beats_its_absence(truth):
    grade = mean_grade(truth, [pl.col("trait").is_not_null()], pl.col("traits").list.contains(pl.col("trait")))
    assert grade[True] > grade[False] + 0.5


def test_what_is_affordable_beats_what_is_not(truth):
    grade = mean_grade(truth, [pl.col("price_limit").is_not_null()], pl.col("price") <= pl.col("price_limit"))
    assert grade[True] > grade[False] + 0.5


def test_among_full_matches_the_better_product_has_the_higher_grade(truth):
    plain = [pl.col(name).is_null() for name in ("brand", "family", "colour", "material", "audience", "trait", "size")]
    plain += [pl.col("price_limit").is_null(), pl.col("wish").is_null()]
    grade = mean_grade(truth, plain, pl.col("quality") > 0)
    assert grade[True] > grade[False] + 0.3


def test_all_wordings_of_an_intent_share_its_grades_slips_included(truth):
    pairs = truth.judgments.join(truth.intents.select("query_id", "intent", "misspelled"), on="query_id")
    lists = pairs.group_by("query_id", "intent", "misspelled").agg(
        pl.col("product_id").sort().str.join(" "), pl.col("grade").sort_by("product_id").cast(pl.String).str.join(" ")
    )
    by_intent = lists.group_by("intent").agg(
        pl.len(), pl.col("product_id", "grade").n_unique(), pl.col("misspelled").n_unique().alias("both")
    )
    assert by_intent.filter(pl.col("both") == 2).height > 10
    assert by_intent["product_id"].max() == by_intent["grade"].max() == 1
