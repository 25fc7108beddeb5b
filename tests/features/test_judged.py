"""Kinds learnt from judgments: worked out by hand, cross-fitted, equal in batch and online, and bounded."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltr.errors import BundleError, BundleMismatchError, EncoderError, JudgmentError
from ltr.features import compute, definition, memory, state

PRODUCTS = pl.DataFrame({"product_id": ["p1", "p2", "p3"], "title": ["red shoe", "blue shoe", "hat"]})
QUERIES = pl.DataFrame({"query_id": ["q1", "q2", "q3"], "query": ["red shoe", "red shoes", "hat"]})
JUDGED = pl.DataFrame(
    [("q1", "p1", 2.0), ("q1", "p2", 0.0), ("q2", "p1", 1.0), ("q3", "p3", 2.0), ("q3", "p1", 0.0)],
    schema=["query_id", "product_id", "grade"],
    orient="row",
).with_columns(weight=1.0)
GAINS = np.array([0.0, 1.0, 2.0])
SAYS = ("grade", "weight", "relevant", "irrelevant")
BY_SPELLING = [
    {"name": "rate", "kind": "judged_rate"},
    {"name": "count", "kind": "judged_count"},
    *({"name": f"{says}_alike", "kind": "judged_neighbours", "by": "ngram", "says": says} for says in SAYS),
]  # fmt: skip


def the_set(*entries):
    features = [{"name": "length", "kind": "length", "field": "title"}, *entries]
    return definition.parse({"name": "learnt", "feature": features})


def remembered(groups=None, *, encoder=None):
    own = groups or {query: query for query in QUERIES["query_id"]}
    return memory.remember(QUERIES, JUDGED, gains=GAINS, groups=own, encoder=encoder)


def values(query, product, *, own=None, judged=None):
    """The learnt features of one pair by name, as a list of the query's fold sees them."""
    wanted = the_set(*BY_SPELLING)
    built = state.build(PRODUCTS, wanted, fields={"title": "text"}, encoder=None)
    judged = judged or remembered()
    folds = None if own is None else np.array([judged.folds[own]])
    offsets = np.array([0, 1])
    found = compute.matrix(wanted, built, [query], [product], offsets, memory=judged.on(built), own=folds)
    return dict(zip(wanted.names, found[0].tolist(), strict=True))


def trigram_cosine(left, right, texts):
    """The cosine by the definition: sets of trigrams of the padded text, weighted by log((N + 1) ÷ (df + ½))."""

    def grams(text):
        return {f" {text} "[at : at + 3] for at in range(len(text))}

    def weight(gram):
        return math.log((len(texts) + 1) / (sum(gram in grams(text) for text in texts) + 0.5))

    def norm(text):
        return math.sqrt(sum(weight(gram) ** 2 for gram in grams(text)))

    return sum(weight(gram) ** 2 for gram in grams(left) & grams(right)) / (norm(left) * norm(right))


def test_rate_and_count_are_those_of_other_folds():
    mean = (1 + 0 + 0.5 + 1 + 0) / 5
    assert values("shoe", "p1")["rate"] == pytest.approx((1 + 0.5 + 0 + 5 * mean) / (3 + 5))
    assert values("shoe", "p1")["count"] == 3
    folds = remembered().folds
    assert len(set(folds.values())) == 3  # these ids fall into three folds
    others = (0.5 + 1 + 0) / 3
    assert values("red shoe", "p1", own="q1")["rate"] == pytest.approx((0.5 + 0 + 5 * others) / (2 + 5))
    assert values("red shoe", "p1", own="q1")["count"] == 2


def test_neighbours_weigh_grades_by_how_alike_the_queries_are():
    texts = QUERIES["query"].to_list()
    similar = {text: trigram_cosine("red shoes", text, texts) for text in texts}
    kernel = {text: math.exp((s - 1) / 0.1) for text, s in similar.items()}
    told = values("red shoes", "p1")
    total = sum(kernel[text] * grade for text, grade in zip(texts, (1.0, 0.5, 0.0), strict=True))
    assert told["weight_alike"] == pytest.approx(sum(kernel.values()), rel=1e-5)
    assert told["grade_alike"] == pytest.approx((total + 0.1 * told["rate"]) / (sum(kernel.values()) + 0.1), rel=1e-5)
    assert told["relevant_alike"] == pytest.approx(1.0)
    assert told["irrelevant_alike"] == pytest.approx(similar["hat"], abs=1e-6)


def test_a_query_does_not_see_its_own_judgments_nor_those_of_its_group():
    alone = values("red shoe", "p1", own="q1")
    assert alone["relevant_alike"] == pytest.approx(
        trigram_cosine("red shoe", "red shoes", QUERIES["query"].to_list()), rel=1e-5
    )
    together = remembered({"q1": "red", "q2": "red", "q3": "hat"})
    grouped = values("red shoe", "p1", own="q1", judged=together)
    assert (grouped["count"], math.isnan(grouped["relevant_alike"])) == (1, True)


def test_a_product_that_nobody_judged_has_the_mean_and_one_that_is_unknown_has_nothing():
    products = PRODUCTS.vstack(pl.DataFrame({"product_id": ["new"], "title": ["scarf"]}))
    wanted = the_set(*BY_SPELLING)
    built = state.build(products, wanted, fields={"title": "text"}, encoder=None)
    found = compute.matrix(wanted, built, ["hat"], ["new", "gone"], np.array([0, 2]), memory=remembered().on(built))
    new, gone = (dict(zip(wanted.names, row.tolist(), strict=True)) for row in found)
    assert (new["rate"], new["grade_alike"], new["count"], new["weight_alike"]) == (
        pytest.approx(0.5),
        pytest.approx(0.5),
        0,
        0,
    )
    assert math.isnan(new["relevant_alike"])
    assert all(math.isnan(value) for name, value in gone.items())


words = st.lists(st.sampled_from(["red", "blue", "shoe", "shoes", "hat", "é", ""]), max_size=4).map(" ".join)


@given(
    texts=st.lists(words, min_size=1, max_size=6),
    asked=st.lists(st.sampled_from(["p1", "p2", "p3", "gone"]), max_size=6),
)
def test_online_is_batch_bit_for_bit(texts, asked):
    wanted = the_set(*BY_SPELLING, {"name": "rate_relative", "kind": "relative", "of": "rate"})
    built = state.build(PRODUCTS, wanted, fields={"title": "text"}, encoder=None)
    placed = remembered().on(built)
    offsets = np.arange(len(texts) + 1) * len(asked)
    batch = compute.matrix(wanted, built, texts, asked * len(texts), offsets, memory=placed)
    for at, text in enumerate(texts):
        online = compute.online(text, asked, wanted, built, memory=placed)
        assert np.array_equal(online, batch[offsets[at] : offsets[at + 1]], equal_nan=True)
    assert not np.isinf(batch).any()


@given(st.data())
def test_what_a_list_sees_does_not_change_with_its_own_grades(data):
    grade = data.draw(st.sampled_from([0.0, 1.0, 2.0]))
    changed = JUDGED.with_columns(grade=pl.when(pl.col("query_id") == "q1").then(grade).otherwise("grade"))
    groups = {query: query for query in QUERIES["query_id"]}
    seen = [
        values(
            "red shoe", "p1", own="q1", judged=memory.remember(QUERIES, each, gains=GAINS, groups=groups, encoder=None)
        )
        for each in (JUDGED, changed)
    ]
    assert seen[0] == seen[1]
    assert seen[0]["count"] == 2


class TwoDimensions:
    """An encoder of two directions: texts with a shoe, and others."""

    name, digest, dimension = "two", "0" * 64, 2

    def encode_queries(self, texts):
        return np.array([[1.0, 0.0] if "shoe" in text else [0.0, 1.0] for text in texts], dtype=np.float32)


def test_neighbours_by_meaning_use_the_query_vectors():
    wanted = the_set({"name": "alike", "kind": "judged_neighbours", "by": "cosine", "says": "relevant"})
    assert wanted.encodes
    built = state.build(PRODUCTS, wanted, fields={"title": "text"}, encoder=None)
    placed = remembered(encoder=TwoDimensions()).on(built)
    found = compute.online("a shoe", ["p1", "p3"], wanted, built, memory=placed, encoder=TwoDimensions())
    assert found[:, 1].tolist() == [1.0, 0.0]
    with pytest.raises(EncoderError, match="give the encoder of the memory"):
        compute.online("a shoe", ["p1"], wanted, built, memory=remembered().on(built), encoder=TwoDimensions())


def test_a_saved_memory_is_the_same_and_follows_the_catalogue(tmp_path):
    judged = remembered()
    judged.save(tmp_path / "judged")
    loaded = memory.load(tmp_path / "judged")
    assert loaded.folds == judged.folds
    wanted = the_set(*BY_SPELLING)
    smaller = state.build(PRODUCTS.filter(pl.col("product_id") != "p1"), wanted, fields={"title": "text"}, encoder=None)
    found = compute.online("hat", ["p3", "p1"], wanted, smaller, memory=loaded.on(smaller))
    assert found[0, wanted.names.index("count")] == 1
    assert np.isnan(found[1]).all()
    (tmp_path / "judged" / "queries.parquet").write_bytes(b"PAR1")
    with pytest.raises(BundleError, match="train again, or copy the bundle again"):
        memory.load(tmp_path / "judged")


def test_a_product_that_very_many_queries_judged_keeps_the_surest(monkeypatch):
    monkeypatch.setattr(memory, "MOST", 2)
    sure = JUDGED.with_columns(weight=pl.when(pl.col("query_id") == "q3").then(3.0).otherwise("weight"))
    groups = {query: query for query in QUERIES["query_id"]}
    wanted = the_set(*BY_SPELLING)
    built = state.build(PRODUCTS, wanted, fields={"title": "text"}, encoder=None)
    placed = memory.remember(QUERIES, sure, gains=GAINS, groups=groups, encoder=None).on(built)
    assert placed.bounds.tolist() == [0, 2, 3, 4, 4]
    assert placed.weights[:2].tolist() == [1.0, 3.0]


def test_a_set_that_learns_needs_judged_queries_of_the_same_catalogue():
    wanted = the_set(*BY_SPELLING)
    assert wanted.learnt == ("rate", "count", *(f"{says}_alike" for says in SAYS))
    built = state.build(PRODUCTS, wanted, fields={"title": "text"}, encoder=None)
    with pytest.raises(BundleMismatchError, match="learnt from judgments: \\['rate'"):
        compute.online("hat", ["p3"], wanted, built)
    other = state.build(PRODUCTS.head(2), wanted, fields={"title": "text"}, encoder=None)
    with pytest.raises(BundleMismatchError, match="a catalogue of 2 products, the state of 3"):
        compute.online("hat", ["p3"], wanted, built, memory=remembered().on(other))
    with pytest.raises(JudgmentError, match="no judged query"):
        memory.remember(QUERIES, JUDGED.clear(), gains=GAINS, groups={}, encoder=None)


SHOP = pl.DataFrame(
    {
        "product_id": ["a", "b", "c"],
        "title": ["running shoe", "evening dress", "mug"],
        "brand": ["Ace", "Ace", "Zed"],
    }
)
ASKED = pl.DataFrame({"query_id": ["1", "2", "3", "4"], "query": ["ace shoe", "ace dress", "red mug", "ace"]})
ANSWERED = pl.DataFrame(
    [("1", "a", 2.0), ("2", "b", 2.0), ("3", "c", 2.0), ("4", "a", 2.0), ("4", "b", 1.0), ("4", "c", 0.0)],
    schema=["query_id", "product_id", "grade"],
    orient="row",
).with_columns(weight=1.0)


def intents(query, *, own=None):
    """What the query is taken to speak of: the title, the brand."""
    features = [{"name": f"in_{field}", "kind": "judged_intent", "field": field} for field in ("title", "brand")]
    wanted = definition.parse({"name": "intent", "feature": features})
    built = state.build(SHOP, wanted, fields={"title": "text", "brand": "text"}, encoder=None)
    groups = {"1": "q1", "2": "q2", "3": "q3", "4": "q9"}  # four folds
    judged = memory.remember(ASKED, ANSWERED, gains=GAINS, groups=groups, encoder=None)
    assert len(set(judged.folds.values())) == 4
    folds = None if own is None else np.array([judged.folds[own]])
    found = compute.matrix(wanted, built, [query], ["a"], np.array([0, 1]), memory=judged.on(built), own=folds)
    return found[0].tolist()


def test_a_word_speaks_of_the_field_that_answered_other_queries_with_it():
    # Shares of the query's terms that the field of the relevant products has.
    title, brand = [0.5, 0.5, 0.5, 0.0], [0.5, 0.5, 0.0, 1.0]
    means = np.mean(title), np.mean(brand)

    def word(shares, mean):
        return (sum(shares) + 5 * mean) / (len(shares) + 5)

    assert intents("ace") == pytest.approx([word([0.5, 0.5, 0.0], means[0]), word([0.5, 0.5, 1.0], means[1])])
    assert intents("ace mug") == pytest.approx(
        [
            (word([0.5, 0.5, 0.0], means[0]) + word([0.5], means[0])) / 2,
            (word([0.5, 0.5, 1.0], means[1]) + word([0.0], means[1])) / 2,
        ]
    )
    # "red" is a word of no product, and says no more than the mean.
    assert intents("red") == pytest.approx(means)
    assert all(math.isnan(value) for value in intents(""))


def test_the_intent_of_a_judged_query_is_learnt_from_the_others():
    means = np.mean([0.5, 0.5, 0.5]), np.mean([0.5, 0.5, 0.0])
    assert intents("ace", own="4") == pytest.approx([(1.0 + 5 * means[0]) / 7, (1.0 + 5 * means[1]) / 7])


def test_a_query_that_was_never_judged_sees_what_a_list_of_no_fold_sees():
    wanted, judged = the_set(*BY_SPELLING), remembered()
    built = state.build(PRODUCTS, wanted, fields={"title": "text"}, encoder=None)
    products = [*PRODUCTS["product_id"], "nowhere"]

    def ask(own):
        placed, offsets = judged.on(built), np.array([0, len(products)])
        return compute.matrix(wanted, built, ["iron man"], products, offsets, memory=placed, own=own)

    assert ask(None).tobytes() == ask(np.array([-1])).tobytes()
