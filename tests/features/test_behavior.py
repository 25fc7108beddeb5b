"""Kinds of behaviour: worked out by their formulas, blind to what comes later, equal in batch and online."""

import math
from datetime import timedelta

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from ltr.features import compute, counts, state
from made.behaviour import (
    BUY,
    CART,
    CLICK,
    EXAMINATION,
    FIELDS,
    LOG,
    PRODUCTS,
    START,
    ask,
    built,
    feature_set,
    log,
    same,
)

NAN = math.nan


def test_a_count_is_what_happened_to_the_product_before_the_day():
    same(ask({"kind": "count"}), {"p1": 2, "p2": 1, "p3": 0, "p4": 1, "new": NAN})
    same(ask({"kind": "count", "of": "impressions"}), {"p1": 3, "p2": 2, "p3": 1, "p4": 1, "new": NAN})
    same(ask({"kind": "count", "of": "purchases"}), {"p1": 1, "p2": 0, "p3": 0, "p4": 0, "new": NAN})
    same(ask({"kind": "count", "of": "add_to_carts"}), {"p1": 1, "p2": 0, "p3": 0, "p4": 1, "new": NAN})
    same(ask({"kind": "count", "of": "revenue"}), {"p1": 9.99, "p2": 0, "p3": 0, "p4": 0, "new": NAN})


def test_a_count_may_be_of_the_query_of_both_or_of_a_brand():
    same(ask({"kind": "count", "by": "query_product"}), {"p1": 2, "p2": 1, "p3": 0, "p4": 0, "new": NAN})
    same(ask({"kind": "count", "by": "query"}), dict.fromkeys(("p1", "p2", "p3", "p4", "new"), 3))
    same(ask({"kind": "count", "by": "query"}, query="socks", ids=["p1"]), {"p1": 0})
    ace = {"kind": "count", "by": "field", "field": "brand"}
    same(ask(ace), {"p1": 3, "p2": 3, "p3": NAN, "p4": 1, "new": NAN})
    same(ask(ace | {"by": "field_query"}), {"p1": 3, "p2": 3, "p3": NAN, "p4": 0, "new": NAN})


def test_several_values_of_a_field_count_as_one():
    same(ask({"kind": "count", "by": "field", "field": "tags"}), {"p1": 2, "p2": 1, "p3": NAN, "p4": 1, "new": NAN})


def test_wordings_of_one_query_are_one_query():
    for query in ("shoe", " SHOE", "ｓｈｏｅ"):
        same(ask({"kind": "count", "by": "query_product"}, query=query, ids=["p1", "p2"]), {"p1": 2, "p2": 1})


def test_a_window_is_so_many_whole_days_before_the_day():
    clicks = {"kind": "count", "of": "impressions"}
    for window, expected in {1: 0, 2: 1, 4: 1, 5: 2, 9: 2, 10: 3, 99: 3}.items():
        same(ask(clicks | {"window": window}, ids=["p1"]), {"p1": expected})
    same(ask(clicks | {"window": 3}, day=11, ids=["p1"]), {"p1": 1})
    same(ask(clicks | {"window": 3}, day=8, ids=["p1"]), {"p1": 1})
    same(ask(clicks, day=0, ids=["p1"]), {"p1": 0})


def test_with_a_half_life_an_event_counts_half_after_that_many_days():
    found = ask({"kind": "count", "half_life": 2.5}, ids=["p1"])
    same(found, {"p1": 0.5 ** (10 / 2.5) + 0.5 ** (5 / 2.5)})
    found = ask({"kind": "count", "half_life": 2.5, "window": 6}, ids=["p1"])
    same(found, {"p1": 0.5 ** (5 / 2.5)})
    same(ask({"kind": "count", "half_life": 0.01}, ids=["p1"]), {"p1": 0})


def test_a_rate_is_smoothed_towards_that_of_all_together():
    every = 5 / 8
    found = ask({"kind": "rate", "smoothing": 4})
    same(
        found,
        {"p1": (2 + 4 * every) / 7, "p2": (1 + 4 * every) / 6, "p3": (0 + 4 * every) / 5, "p4": (1 + 4 * every) / 5, "new": every},
    )  # fmt: skip


def test_the_rate_of_a_pair_is_smoothed_towards_the_products():
    every = 5 / 8
    product = {"p1": (2 + 3 * every) / 6, "p3": (0 + 3 * every) / 4, "p4": (1 + 3 * every) / 4, "new": every}
    found = ask({"kind": "rate", "by": "query_product", "smoothing": 3}, query="hat", ids=list(product))
    pair = {
        "p1": product["p1"],
        "p3": (0 + 3 * product["p3"]) / 4,
        "p4": (1 + 3 * product["p4"]) / 4,
        "new": every,
    }
    same(found, pair)
    same(ask({"kind": "rate", "by": "query_product", "smoothing": 3}, query="socks", ids=list(product)), product)


def test_the_rate_of_a_brand_for_a_query_is_smoothed_towards_the_brands():
    every = 5 / 8
    ace = (3 + 2 * every) / (5 + 2)
    found = ask({"kind": "rate", "by": "field_query", "field": "brand", "smoothing": 2}, query="shoe", ids=["p1", "p3"])
    same(found, {"p1": (3 + 2 * ace) / (5 + 2), "p3": every})


def test_the_rate_of_a_query_is_smoothed_towards_that_of_all_together():
    same(ask({"kind": "rate", "by": "query", "smoothing": 1}, ids=["p1"]), {"p1": (3 + 5 / 8) / 6})


def test_a_corrected_rate_is_divided_by_what_was_looked_at():
    units = [round(share * 2**20) / 2**20 for share in (1 + 1 + 0.5, 0.5 + 0.25, 0.5, 1, 0.25)]
    every = 5 / sum(units)
    found = ask({"kind": "rate", "corrected": True, "smoothing": 2}, ids=["p1", "p2"])
    same(found, {"p1": (2 + 2 * every) / (units[0] + 2), "p2": (1 + 2 * every) / (units[1] + 2)})


def test_a_rate_may_be_of_the_clicks():
    found = ask({"kind": "rate", "of": "purchases", "per": "clicks", "smoothing": 2}, ids=["p1", "p3"])
    every = 1 / 5
    same(found, {"p1": (1 + 2 * every) / (2 + 2), "p3": every})


def test_a_bare_rate_is_missing_where_nothing_was_shown():
    same(ask({"kind": "rate", "smoothing": 0}), {"p1": 2 / 3, "p2": 1 / 2, "p3": 0, "p4": 1, "new": NAN})


def test_before_the_first_day_there_is_no_rate_and_every_count_is_0():
    for wanted in ({"kind": "rate"}, {"kind": "rate", "by": "query_product", "window": 7}):
        same(ask(wanted, day=0, ids=["p1", "new"]), {"p1": NAN, "new": NAN})
    same(ask({"kind": "count"}, day=0, ids=["p1", "new"]), {"p1": 0, "new": NAN})


def test_a_click_after_midnight_is_not_known_the_day_before():
    late = log(("shoe", "p1", 1, 3, CLICK)).with_columns(clicked_at=pl.lit(START + timedelta(days=4, minutes=5)))
    clicks = {"kind": "count", "of": "clicks"}
    assert ask(clicks, rows=late, day=4, ids=["p1"])["p1"] == 0
    assert ask(clicks, rows=late, day=5, ids=["p1"])["p1"] == 1
    early = late.with_columns(clicked_at=pl.lit(START - timedelta(days=40)))
    assert ask(clicks | {"window": 2}, rows=early, day=5, ids=["p1"])["p1"] == 1, "a clock that jumps back"


EVERY = feature_set(
    *(
        {"kind": kind, "by": by, **at, **more}
        for kind in ("count", "rate")
        for by, at in {"product": {}, "query": {}, "query_product": {}, "field": {"field": "brand"}, "field_query": {"field": "brand"}}.items()
        for more in ({}, {"window": 3}, {"half_life": 1.5, "of": "purchases"})
    ),
    {"kind": "rate", "by": "query_product", "corrected": True, "window": 9, "half_life": 4},
    {"kind": "rate", "smoothing": 0, "also": ["relative", "zscore"]},
)  # fmt: skip
IDS = ["p1", "p2", "p3", "p4", "new"]
rows = st.tuples(
    st.sampled_from(["shoe", "SHOE", "hat", "cap", ""]),
    st.sampled_from([*IDS, "gone"]),
    st.integers(1, 5),
    st.integers(0, 9),
    st.sampled_from([(), CLICK, CART, BUY]),
)
logs = st.lists(rows, max_size=25).map(lambda drawn: log(*drawn))


def bits(matrix):
    return matrix.view(np.uint32).tolist()


def values(wanted, held, query="shoe"):
    return bits(compute.online(query, IDS, wanted, held))


def oracle(feature, rows, query, product, day):
    """The formulas over the log, row by row."""
    params = feature.params
    brands = dict(PRODUCTS.select("product_id", pl.col("brand").str.to_lowercase()).iter_rows())

    def total(measure, keep):
        found = 0.0
        for row in rows.iter_rows(named=True):
            age = day - (row["shown_at"].date() - START.date()).days
            if age < 1 or (params.window and age > params.window) or not keep(row):
                continue
            columns = {"clicks": "clicked", "add_to_carts": "add_to_cart", "purchases": "purchase"}
            examined = round(EXAMINATION[min(row["position"], 3) - 1] * 2**20) / 2**20
            amount = {"impressions": 1, "examined": examined}.get(measure)
            amount = row[columns[measure]] if amount is None else amount
            found += amount * (0.5 ** (age / params.half_life) if params.half_life else 1)
        return found

    asked = counts.key_of(query)
    own = {
        "product": lambda row: row["product_id"] == product and product in brands,
        "query": lambda row: counts.key_of(row["query"]) == asked,
        "field": lambda row: brands.get(product) is not None and brands.get(row["product_id"]) == brands[product],
    }
    chain = {"field_query": ["field", "field_query"], "query_product": ["product", "query_product"]}.get(
        params.by, [params.by]
    )

    def keep(by):
        return lambda row: all(own[part](row) for part in by.split("_"))

    if feature.kind == "count":
        missing = ("product" in params.by and product not in brands) or (
            "field" in params.by and brands.get(product) is None
        )
        return NAN if missing else total(params.of, keep(params.by))
    shown = total(params.divisor, lambda _row: True)
    value = total(params.of, lambda _row: True) / shown if shown else NAN
    for by in chain:
        counted, shown = total(params.of, keep(by)), total(params.divisor, keep(by))
        above, below = counted + (params.smoothing and params.smoothing * value), shown + params.smoothing
        value = above / below if below else NAN
    return value


@given(logs, st.integers(0, 11), st.sampled_from(["shoe", "hat", "never"]))
@settings(max_examples=40)
def test_every_value_is_that_of_its_formula(rows, day, query):
    own = [at for at, feature in enumerate(EVERY.features) if feature.kind in ("count", "rate")]
    found = compute.online(query, IDS, EVERY, built(EVERY, rows, day))
    expected = [[oracle(EVERY.features[at], rows, query, product, day) for at in own] for product in IDS]
    np.testing.assert_allclose(found[:, own], np.array(expected, dtype=np.float32), rtol=1e-5, equal_nan=True)
    assert not np.isinf(found).any()


@given(logs, logs, st.integers(1, 6), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_no_value_changes_when_later_events_are_added(past, later, day, random):
    """Whatever is logged on the day itself or after it, in whatever order the log is read."""
    past = past.filter(pl.col("shown_at") < START + timedelta(days=day))
    moved = pl.col("shown_at") + timedelta(days=day)
    later = later.with_columns(moved, query=pl.col("query") + " newer")
    same_words = later.with_columns(pl.col("query").str.strip_suffix(" newer"))
    order = list(range(past.height + 2 * later.height))
    random.shuffle(order)
    whole = pl.concat([past, later, same_words])[order]
    before, after = built(EVERY, past, day), built(EVERY, whole, day)
    assert values(EVERY, before) == values(EVERY, after)
    assert after.version == before.version
    # The same for a list of that day in a state that knows what came later.
    wiser = built(EVERY, whole, 30)
    lists = pl.DataFrame(
        {"query_id": "q", "query": "shoe", "product_id": IDS, "as_of": START + timedelta(days=day, hours=7)}
    )
    found = compute.pairs(lists, EVERY, wiser).select(EVERY.names).to_numpy()
    assert bits(np.ascontiguousarray(found)) == values(EVERY, before)


@given(logs, st.lists(st.tuples(st.sampled_from(["shoe", "hat", "x"]), st.none() | st.integers(0, 12)), min_size=1))
@settings(max_examples=40)
def test_batch_is_online_bit_for_bit_for_lists_of_any_day(rows, lists):
    frame = pl.DataFrame(
        [
            {"search_id": f"s{at}", "query_id": query, "query": query, "product_id": product,
             "as_of": None if day is None else START + timedelta(days=day, minutes=1)}
            for at, (query, day) in enumerate(lists)
            for product in IDS
        ],
        schema_overrides={"as_of": pl.Datetime("us", "UTC")},
    )  # fmt: skip
    held = built(EVERY, rows, 10)
    pairs = compute.pairs(frame, EVERY, held).select(EVERY.names).to_numpy()
    for at, (query, day) in enumerate(lists):
        own = np.ascontiguousarray(pairs[at * len(IDS) : (at + 1) * len(IDS)])
        # The state ends at day 10: a later list sees no more than that.
        day = 10 if day is None else min(day, 10)
        assert bits(own) == bits(compute.online(query, IDS, EVERY, built(EVERY, rows, day)))


@given(logs)
@settings(max_examples=20)
def test_a_saved_state_counts_the_same(tmp_path_factory, rows):
    held = built(EVERY, rows)
    directory = tmp_path_factory.mktemp("state")
    held.save(directory)
    loaded = state.load(directory)
    assert values(EVERY, loaded) == values(EVERY, held)
    assert loaded.behaviour.digest == held.behaviour.digest
    assert loaded.behaviour.totals == held.behaviour.totals


def test_counts_follow_products_into_another_catalogue():
    wanted = feature_set({"kind": "count"}, {"kind": "count", "by": "field_query", "field": "brand"})
    held = built(wanted)
    newer = pl.DataFrame({"product_id": ["p9", "gone", "p1"], "brand": ["ace", None, "Zed"], "tags": [[], [], []]})
    moved = state.build(
        newer, wanted, fields=FIELDS, encoder=None, as_of=held.as_of, behaviour=held.behaviour
    )  # fmt: skip
    found = compute.online("shoe", ["p9", "gone", "p1", "p2"], wanted, moved)
    np.testing.assert_array_equal(found, [[0, 3], [1, NAN], [2, 0], [NAN, NAN]])


def test_the_version_of_a_state_covers_what_was_counted():
    wanted = feature_set({"kind": "count"})
    versions = {(rows.height, day): built(wanted, rows, day).version for rows in (LOG, LOG.head(3)) for day in (5, 10)}
    assert versions[8, 5] == versions[3, 5], "the same two rows are of earlier days"
    assert len(set(versions.values())) == 3
    assert built(feature_set({"kind": "query_length"})).behaviour is None, "no feature reads it"
